"""Reads and writes config.yaml, and the ``dure.yaml`` of a project; mistakes in them are findings with their places."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from scheduler.cli.base import Flags
from scheduler.cli.clean import shortened
from scheduler.client.config import (
    CONFIG_WRONG,
    CONTEXT_VARIABLE,
    Context,
    Contexts,
    Credentials,
    Layer,
    Settings,
    Value,
    config_dir,
    environment_layers,
    require_known_server,
    resolve,
    write_private,
)
from scheduler.core.errors import DureError, Fatal

CONFIG_FILE = "config.yaml"
CREDENTIALS_FILE = "credentials.json"
PROJECT_FILE = "dure.yaml"
FILE_BYTES_MAX = 256 * 1024
PARENTS_MAX = 64
CONTEXTS_MAX = 100
BAD_VALUE = "DURE-1008"
CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
ORG_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
PROJECT_NAME = re.compile(r"(?=.{1,81}\Z)(?:[a-z0-9-]+/)?[a-z0-9-]+", re.ASCII)


def read_bytes(path: Path) -> bytes | None:
    """A settings file's bytes, or None when there is none; raises Fatal when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            return stream.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Fatal(CONFIG_WRONG, f"{path} cannot be read: {error.strerror}", "check the file") from error


def load_contexts(folder: Path) -> Contexts:
    """The contexts of config.yaml; none without the file. Raises Fault with every mistake in it."""
    path = folder / CONFIG_FILE
    content = read_bytes(path)
    if not content:
        return Contexts()
    from scheduler.cli.settings_files import read_contexts

    return read_contexts(content, str(path))


def save_contexts(folder: Path, contexts: Contexts) -> None:
    """Write config.yaml as a whole; raises Fatal for what ``load_contexts`` would refuse, and writes nothing."""
    import yaml

    from scheduler.cli.settings_files import read_contexts

    items = [
        {name: value for name in Context.__slots__ if (value := str(getattr(item, name)))} for item in contexts.items
    ]
    body = {"current": contexts.current, "contexts": items}
    if len(items) > CONTEXTS_MAX:
        raise Fatal(CONFIG_WRONG, f"there are {len(items)} contexts, at most {CONTEXTS_MAX}", "dure context rm NAME")
    path = folder / CONFIG_FILE
    text: str = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    try:
        read_contexts(text.encode(), str(path))
    except DureError as error:
        raise Fatal(BAD_VALUE, f"{path} could not be read with this in it: {error.message}", error.fix) from error
    write_private(path, text)


def check_context_name(name: str) -> None:
    """Raise Fatal for a name that no context can have."""
    if not CONTEXT_NAME.fullmatch(name):
        fix = "use letters, digits, dots and dashes, at most 63, and begin with a letter or digit"
        raise Fatal(BAD_VALUE, f"{shortened(name)} is no name of a context", fix)


def given_places(**values: str) -> dict[str, str]:
    """The places (server, org, project) that were given; raises Fatal for one that no context may hold."""
    given = {name: value for name, value in values.items() if value}
    for name, pattern, form in (("org", ORG_NAME, "ORG"), ("project", PROJECT_NAME, "PROJECT or ORG/PROJECT")):
        if name in given and not pattern.fullmatch(given[name]):
            fix = f"write {form} with small letters, digits and dashes"
            raise Fatal(BAD_VALUE, f"--{name} {shortened(given[name])} is no name", fix)
    return given


def project_layer(start: Path) -> Layer | None:
    """The nearest ``dure.yaml`` in ``start`` or a folder above; raises Fault with every mistake in it."""
    for folder in (start, *start.parents[:PARENTS_MAX]):
        path = folder / PROJECT_FILE
        content = read_bytes(path) if path.is_file() else None
        if content is not None:
            from scheduler.cli.settings_files import read_project_file

            return Layer(str(path), read_project_file(content, str(path)))
    return None


def working_folder() -> Path:
    """The present folder; raises Fatal when it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise Fatal(CONFIG_WRONG, "the present folder no longer exists", "cd to another folder") from error


class Configuration:
    """Everything that decides where a call goes: read once, at the first need."""

    def __init__(self, flags: Flags, env: Mapping[str, str]) -> None:
        """Read the files; raises Fatal or Fault."""
        self.folder = config_dir(env)
        self.credentials = Credentials(self.folder / CREDENTIALS_FILE)
        self.contexts = load_contexts(self.folder)
        project = project_layer(working_folder())
        self.project_file = project.origin if project else ""
        flag = Layer("--server", {"server": flags.server})
        layers = [flag, *environment_layers(env), *([project] if project else [])]
        self.settings = self._normal(resolve(layers, self.contexts, self._context(flags, env, project)))
        if self.settings.server.origin == self.project_file:
            require_known_server(self.settings.server, self.project_file, self._known_servers())

    def _context(self, flags: Flags, env: Mapping[str, str], project: Layer | None) -> Value | None:
        if flags.context:
            return Value(flags.context, "--context")
        if env.get(CONTEXT_VARIABLE):
            return Value(env[CONTEXT_VARIABLE], f"${CONTEXT_VARIABLE}")
        if project and project.values.get("context"):
            return Value(project.values["context"], project.origin)
        return None

    @staticmethod
    def _normal(settings: Settings) -> Settings:
        if not settings.server.text:
            return settings
        from scheduler.client.address import normal_server

        server = Value(normal_server(settings.server.text), settings.server.origin)
        return Settings(settings.context, server, settings.org, settings.project)

    def _known_servers(self) -> frozenset[str]:
        return frozenset(item.server for item in self.contexts.items) | frozenset(self.credentials.load())

    def project_path(self, given: str = "") -> str:
        """ORG/PROJECT from an option or the settings; "" when no project is known."""
        project, org = given or self.settings.project.text, self.settings.org.text
        if not project or "/" in project:
            return project
        return f"{org}/{project}" if org else ""
