"""Where the command line's values come from: flags, DURE_ variables, the project's file, the context; and tokens.

Nothing here reads YAML or decides about errors of files: the command line hands in what it read. A token belongs to
the server it was stored for and is never sent to another; a project's ``dure.yaml`` may therefore name only a server
that the user already knows.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scheduler.core.errors import Fatal

CONFIG_WRONG = "DURE-1030"
CREDENTIALS_WRONG = "DURE-1031"
SERVER_UNKNOWN = "DURE-1032"
NO_CONTEXT = "DURE-1006"

CREDENTIALS_BYTES_MAX = 1024 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO
SETTINGS = ("server", "org", "project")
ENVIRONMENT = {"server": "DURE_SERVER", "org": "DURE_ORG", "project": "DURE_PROJECT"}
TOKEN_VARIABLE = "DURE_TOKEN"  # noqa: S105 - the variable's name, not a secret
CONTEXT_VARIABLE = "DURE_CONTEXT"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Context:
    """A named server with the organisation and project one works in there."""

    name: str
    server: str = ""
    org: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class Contexts:
    """The contexts of config.yaml, and the one in use."""

    current: str = ""
    items: tuple[Context, ...] = ()

    def find(self, name: str) -> Context | None:
        """The context of this name."""
        return next((item for item in self.items if item.name == name), None)

    def with_context(self, context: Context, *, use: bool) -> Contexts:
        """These contexts with one added or replaced."""
        items = [context if item.name == context.name else item for item in self.items]
        if context not in items:
            items.append(context)
        return Contexts(context.name if use or not self.current else self.current, tuple(items))

    def without(self, name: str) -> Contexts:
        """These contexts without one."""
        left = tuple(item for item in self.items if item.name != name)
        return Contexts("" if self.current == name else self.current, left)


@dataclass(frozen=True, slots=True)
class Value:
    """A setting and where it came from: a flag, a variable, a file, or ``default``."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Layer:
    """One place that may set some of the settings; ``origin`` says which."""

    origin: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its origin; an unset one is "" from ``default``."""

    context: Value
    server: Value
    org: Value
    project: Value

    def rows(self) -> list[tuple[str, Value]]:
        """(name, value) in the order of precedence's own documentation."""
        return [("context", self.context), *((name, getattr(self, name)) for name in SETTINGS)]


def config_dir(env: Mapping[str, str]) -> Path:
    """DURE_CONFIG_DIR, or ``dure`` under XDG_CONFIG_HOME or ~/.config."""
    if env.get("DURE_CONFIG_DIR"):
        return Path(env["DURE_CONFIG_DIR"])
    base = env.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "dure"


def environment_layers(env: Mapping[str, str]) -> list[Layer]:
    """One layer for each DURE_ variable that is set, so that each value names its own variable."""
    return [Layer(f"${variable}", {name: env[variable]}) for name, variable in ENVIRONMENT.items() if env.get(variable)]


def resolve(layers: Sequence[Layer], contexts: Contexts, chosen: Value | None) -> Settings:
    """The settings: each from the first layer that has it, then from the context, then empty.

    chosen: a context named by a flag, a variable or the project's file; None takes the current one.
    Raises Fatal when the named context does not exist.
    """
    picked = chosen or (Value(contexts.current, "config.yaml") if contexts.current else Value("", DEFAULT))
    context = contexts.find(picked.text)
    if picked.text and context is None:
        known = ", ".join(item.name for item in contexts.items) or "none yet"
        raise Fatal(NO_CONTEXT, f'no context "{picked.text}" (from {picked.origin})', f"contexts: {known}")
    bottom = Layer(f"context {picked.text}", {name: getattr(context, name) for name in SETTINGS} if context else {})
    values = {name: _first(name, [*layers, bottom]) for name in SETTINGS}
    return Settings(context=picked, **values)


def _first(name: str, layers: Sequence[Layer]) -> Value:
    for layer in layers:
        if layer.values.get(name):
            return Value(layer.values[name], layer.origin)
    return Value("", DEFAULT)


def require_known_server(server: Value, project_file: str, known: frozenset[str]) -> None:
    """Raise Fatal when a project's file alone names the server and the user never chose it."""
    if server.origin == project_file and server.text not in known:
        fix = f"if you trust it: dure context add NAME --server {shlex.quote(server.text)}"
        message = f"{project_file} names the server {server.text}, which you have not used before"
        raise Fatal(SERVER_UNKNOWN, message, fix)


@dataclass(frozen=True, slots=True)
class Token:
    """A stored token and the user it speaks for."""

    token: str
    user: str = ""


class Credentials:
    """Tokens by server, in a file that nobody else can read (mode 0600)."""

    def __init__(self, path: Path) -> None:
        """``path`` need not exist."""
        self.path = path

    def load(self) -> dict[str, Token]:
        """Tokens by server; none without the file. Raises Fatal when the file is damaged or open to others."""
        try:
            # O_NONBLOCK: a pipe in the file's place must not stop us.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(descriptor, "rb") as stream:
                self._check_owner(os.fstat(stream.fileno()))
                content = stream.read(CREDENTIALS_BYTES_MAX)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._wrong(f"cannot be read: {error.strerror}", "check the file") from error
        try:
            return _tokens(json.loads(content))
        except (ValueError, RecursionError) as error:
            raise self._wrong("is damaged", f"delete it and log in again: rm {shlex.quote(str(self.path))}") from error

    def token(self, server: str) -> Token | None:
        """The token stored for a server."""
        return self.load().get(server)

    def put(self, server: str, token: Token) -> None:
        """Store a token; raises Fatal when the present file is not safe to replace."""
        self._save({**self.load(), server: token})

    def remove(self, server: str) -> bool:
        """Forget a server's token; whether there was one."""
        tokens = self.load()
        if tokens.pop(server, None) is None:
            return False
        self._save(tokens)
        return True

    def _save(self, tokens: Mapping[str, Token]) -> None:
        body = {"version": 1, "tokens": {name: {"token": t.token, "user": t.user} for name, t in tokens.items()}}
        write_private(self.path, json.dumps(body, indent=2, sort_keys=True) + "\n")

    def _check_owner(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise self._wrong("is no file", "remove it")
        if status.st_uid != os.geteuid():
            raise self._wrong("belongs to another user", "use a folder of your own: DURE_CONFIG_DIR")
        if status.st_mode & OTHERS:
            raise self._wrong(
                "can be read by other users", f"chmod 600 {shlex.quote(str(self.path))}; then revoke tokens you doubt"
            )

    def _wrong(self, how: str, fix: str) -> Fatal:
        return Fatal(CREDENTIALS_WRONG, f"{self.path} {how}", fix)


def _tokens(data: Any) -> dict[str, Token]:
    """Tokens of the file's content; raises ValueError when it has another shape."""
    found = data.get("tokens") if isinstance(data, dict) and data.get("version") == 1 else None
    if not isinstance(found, dict):
        raise ValueError("no tokens")
    tokens = {}
    for server, entry in found.items():
        if not isinstance(entry, dict):
            raise ValueError("no token")
        token, user = entry.get("token"), entry.get("user", "")
        if not isinstance(token, str) or not isinstance(user, str) or not sound_token(token):
            raise ValueError("no token")
        tokens[server] = Token(token, user)
    return tokens


def sound_token(token: str) -> bool:
    """Whether a text can be sent as a bearer token at all: visible ASCII, at most 4,096 characters."""
    return 0 < len(token) <= 4_096 and token.isascii() and token.isprintable() and " " not in token


def write_private(path: Path, text: str) -> None:
    """Replace a file's text as a whole, readable by the owner alone. Raises Fatal when that cannot be done."""
    partial = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(partial).replace(path)
    except OSError as error:
        if partial:
            Path(partial).unlink(missing_ok=True)
        fix = "check the folder's permissions, or choose another: DURE_CONFIG_DIR"
        raise Fatal(CONFIG_WRONG, f"{path} cannot be written: {error.strerror}", fix) from error


def update_context(contexts: Contexts, name: str, changes: Mapping[str, str]) -> Contexts:
    """The contexts with some settings of one changed; a new name becomes a new context."""
    context = contexts.find(name) or Context(name)
    return contexts.with_context(replace(context, **dict(changes)), use=False)
