"""Names for the shell to complete: asked of the server for at most NETWORK_SECONDS, kept for KEPT_SECONDS.

A shell waits while the user has pressed a key: nothing here prints, raises or takes long, and where a name cannot be
had there is none. Only what is a plain word is offered, whatever a server says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.arguments import SLASHED
from scheduler.cli.base import Flags
from scheduler.core.errors import DureError

if TYPE_CHECKING:
    from scheduler.cli.session import Session
    from scheduler.client.http import Client

NETWORK_SECONDS = 0.3
KEPT_SECONDS = 30
NAMES_MAX = 200
JOBS_ASKED = 100
CACHE_BYTES_MAX = 256 * 1024
GPU_COUNTS = (1, 2, 4, 8)
WORD = re.compile(SLASHED, re.ASCII)
TIERS = ("guaranteed", "borrow", "scavenge")

Asked = Callable[["Client"], Iterable[str]]


def _jobs(client: Client) -> Iterable[str]:
    found = client.jobs({"limit": JOBS_ASKED, "all": "true"}).items
    return [*(job.name for job in found), *(job.id for job in found)]


REMOTE: Mapping[str, Asked] = {
    "jobs": _jobs,
    "job names": lambda client: [job.name for job in client.jobs({"limit": NAMES_MAX, "all": "true"}).items],
    "projects": lambda client: [f"{item.org}/{item.name}" for item in client.projects().items],
    "orgs": lambda client: [item.name for item in client.orgs().items],
    "classes": lambda client: [line.name for line in client.quota().items if line.level == "class"],
    "flavors": lambda client: [line.flavor for line in client.gpus().items],
    "periods": lambda client: [item.id for item in client.periods().items],
    "invoices": lambda client: [item.number for item in client.invoices().items],
    "tokens": lambda client: [item.id for item in client.tokens().items if not item.revoked],
    "users": lambda client: [item.user for item in client.members().items],
}
"""What only the server knows."""


def _contexts(_session: Session) -> Iterable[str]:
    from scheduler.cli.settings import load_contexts
    from scheduler.client.config import config_dir

    return [item.name for item in load_contexts(config_dir(os.environ)).items]


def _codes(_session: Session) -> Iterable[str]:
    from scheduler.schema.codes import CODES

    return sorted(CODES)


LOCAL: Mapping[str, Callable[[Session], Iterable[str]]] = {
    "contexts": _contexts,
    "codes": _codes,
    "tiers": lambda session: TIERS,
    "gpus": lambda session: [f"{flavor}:{count}" for flavor in _remote(session, "flavors") for count in GPU_COUNTS],
}
"""What is known here, or made of what the server knows."""


def offered(ctx: click.Context, kind: str, incomplete: str) -> list[str]:
    """Names of a kind that begin with what was typed, at most NAMES_MAX; none where they cannot be had."""
    try:
        from scheduler.cli.session import open_session

        with open_session(_flags(ctx)) as session:
            known = LOCAL[kind](session) if kind in LOCAL else _remote(session, kind)
            return [name for name in known if name.startswith(incomplete)][:NAMES_MAX]
    except Exception:  # a user who completes a word has not asked for an error
        return []


def _flags(ctx: click.Context) -> Flags:
    """The global options of the line so far, wherever they stand in it."""
    found = Flags()
    place: click.Context | None = ctx
    while place is not None:
        given = place.params
        found = found.over(Flags(server=given.get("server") or "", context=given.get("context") or ""))
        place = place.parent
    return found


def _remote(session: Session, kind: str) -> Sequence[str]:
    """The server's names, or those that it gave a moment ago."""
    server, token = session.server, session.token()
    if not token:
        return []
    path = cache_file(server, token, os.environ)
    cached = _read(path)
    entry = cached.get(kind)
    if isinstance(entry, dict) and 0 <= time.time() - float(entry["at"]) < KEPT_SECONDS:
        return _words(entry["names"])
    names = _asked(server, token, REMOTE[kind])
    if names is None:
        return []
    kept = _words(names)
    from scheduler.client.config import write_private

    with suppress(DureError):  # where it cannot be kept, it is asked again next time
        write_private(path, json.dumps({**cached, kind: {"at": time.time(), "names": kept}}))
    return kept


def _asked(server: str, token: str, ask: Asked) -> list[str] | None:
    """What the server answers in time. A thread of its own: looking up a host name has no time limit."""
    from scheduler.client.http import Client
    from scheduler.client.transport import Policy

    found: list[list[str]] = []

    def run() -> None:
        try:
            with Client(server, token, timeout_seconds=NETWORK_SECONDS, policy=Policy(tries=1)) as client:
                found.append(list(ask(client)))
        except Exception:
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS)
    return found[0] if found else None


def _words(names: Iterable[Any]) -> list[str]:
    """What of it a shell may be given."""
    words = (name for name in names if isinstance(name, str) and WORD.fullmatch(name))
    return list(dict.fromkeys(words))[:NAMES_MAX]


def cache_file(server: str, token: str, env: Mapping[str, str]) -> Path:
    """Where the names of a server and user are kept: a name that tells neither."""
    base = env.get("XDG_CACHE_HOME", "")
    folder = Path(base) if base.startswith("/") else Path.home() / ".cache"
    owner = hashlib.sha256(f"{server}\0{token}".encode()).hexdigest()[:16]
    return folder / "dure" / f"names-{owner}.json"


def _read(path: Path) -> dict[str, Any]:
    """What is kept; nothing where that cannot be read or is not ours."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(descriptor, "rb") as stream:
            if os.fstat(descriptor).st_uid != os.geteuid():
                return {}
            found = json.loads(stream.read(CACHE_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
