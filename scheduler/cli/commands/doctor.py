"""``dure doctor``."""

from __future__ import annotations

import os
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from scheduler.cli import exits
from scheduler.cli.base import EXITS_API, command, output_option
from scheduler.cli.commands.explain import own_version
from scheduler.cli.session import Session
from scheduler.client.address import sends_in_clear
from scheduler.core.errors import DureError

PYTHON_LEAST = (3, 11)
OFFSET_WARN_SECONDS = 5
TIMEOUT_SECONDS = 5.0
SERVER_FIX = "check the server, its address (dure config show --origin) and the network between"
OK, WARN, FAIL = "ok", "warn", "fail"


class Line(NamedTuple):
    """One check: ok, warn or fail, what was found, what to do, and the exit code that a failure stands for."""

    result: str
    check: str
    detail: str
    fix: str = ""
    code: int = exits.OK


@command("doctor", exit_codes=EXITS_API, examples=("dure doctor", "dure doctor -o json"), see_also=("config show",))
@output_option("table", "json", "jsonl", "yaml", "csv")
def doctor(session: Session, output: str) -> int:
    """Check installation, settings, server and login.

    Each line is ok, warn or fail, with what to do. The exit code is that of the first failure.
    """
    from scheduler.cli.sheets import DOCTOR
    from scheduler.cli.tables import Row

    lines = list(_lines(session))
    rows = [Row({"result": x.result, "check": x.check, "detail": x.detail, "fix": x.fix}) for x in lines]
    session.emit_rows("CheckList", rows, DOCTOR, output)
    return next((line.code for line in lines if line.result == FAIL), exits.OK)


def _lines(session: Session) -> Iterator[Line]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= PYTHON_LEAST
    yield Line(OK if good else FAIL, "python", found, "" if good else "install Python 3.11 or newer", exits.USAGE)
    yield Line(OK, "dure", own_version())
    settings = _guarded("settings", lambda: _settings(session))
    yield settings
    if settings.result == FAIL:
        return
    yield _folder(session)
    server = _guarded("server", lambda: _server(session))
    yield server
    if server.result == FAIL:
        return
    yield _guarded("clock", lambda: _clock(session))
    yield _guarded("login", lambda: _login(session))


def _guarded(check: str, run: Callable[[], Line]) -> Line:
    try:
        return run()
    except DureError as error:
        # Whoever reads this is in the doctor's already.
        fix = SERVER_FIX if "dure doctor" in error.fix else error.fix
        return Line(FAIL, check, error.message, fix, exits.exit_code(error))


def _settings(session: Session) -> Line:
    settings = session.config.settings
    if not settings.server.text:
        return Line(FAIL, "settings", "no server is known", "dure login --server URL, or dure up", exits.USAGE)
    session.token()  # reads the credentials and checks who may read them
    detail = f"server {settings.server.text} from {settings.server.origin}"
    return Line(OK, "settings", detail)


def _folder(session: Session) -> Line:
    folder = session.config.folder
    if not folder.exists():
        return Line(OK, "config folder", f"{folder} (not made yet)")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Line(
            WARN, "config folder", f"{folder} can be changed by other users", f"chmod 700 {shlex.quote(str(folder))}"
        )
    return Line(OK, "config folder", str(folder))


def _server(session: Session) -> Line:
    client = session.connect(session.server, "", timeout_seconds=TIMEOUT_SECONDS, tries=1)
    theirs, own = client.version().version, own_version()
    detail = f"{session.server} answers, version {theirs}"
    if theirs.split(".")[:2] != own.split(".")[:2]:
        return Line(WARN, "server", f"{detail}; this is {own}", "use the server's version")
    if sends_in_clear(session.server):
        return Line(WARN, "server", f"{detail}, not encrypted", "use its https address")
    return Line(OK, "server", detail)


def _clock(session: Session) -> Line:
    client = session.connect(session.server, "", timeout_seconds=TIMEOUT_SECONDS, tries=1)
    started = time.time()
    date = client.server_date()
    here = (started + time.time()) / 2
    try:
        offset = round(here - parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError):
        return Line(WARN, "clock", "the server tells no time")
    if abs(offset) > OFFSET_WARN_SECONDS:
        detail = f"this machine is {abs(offset)} s {'ahead of' if offset > 0 else 'behind'} the server"
        return Line(WARN, "clock", detail, "let NTP set the clock")
    return Line(OK, "clock", f"within {OFFSET_WARN_SECONDS} s of the server")


def _login(session: Session) -> Line:
    token = session.token()
    if not token:
        return Line(FAIL, "login", f"no token for {session.server}", "dure login", exits.LOGIN_NEEDED)
    client = session.connect(session.server, token, timeout_seconds=TIMEOUT_SECONDS, tries=1)
    who = client.whoami()
    origin = "DURE_TOKEN" if os.environ.get("DURE_TOKEN") else "the stored token"
    detail = f"{who.user} by {origin}, {len(who.grants)} role{'' if len(who.grants) == 1 else 's'}"
    if not who.grants:
        return Line(WARN, "login", detail, "ask an administrator: dure member add")
    return Line(OK, "login", detail)
