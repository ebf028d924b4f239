"""What every command gets: settings, the client, and the ways to talk; created for one call and closed after it."""

from __future__ import annotations

import os
import select
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.base import Flags
from scheduler.cli.clean import clean, width
from scheduler.cli.errors import BOLD, DIM, paint, warn
from scheduler.cli.program import as_called
from scheduler.cli.streams import DONE, moves, put, tell
from scheduler.client.config import TOKEN_VARIABLE, sound_token
from scheduler.core.errors import Fatal

if TYPE_CHECKING:
    from scheduler.cli.settings import Configuration
    from scheduler.cli.tables import Row, Sheet
    from scheduler.client.http import Client
    from scheduler.client.transport import Progress

NO_SERVER = "DURE-1005"
NOT_CONFIRMED = "DURE-1007"
NO_LOGIN = "DURE-4001"
NO_PROJECT = "DURE-1009"
TIMEOUT_SECONDS = 30.0
TRIES = 4
WAIT_SAID_SECONDS = 3.0
TOO_MANY = "DURE-8003"
PAGES_MAX = 200
TURN_SECONDS = 0.1


def _typed_line() -> str:
    """What is typed next. Waits in short turns: an interrupt just before a read would be heard only at the next key."""
    while not select.select([sys.stdin], [], [], TURN_SECONDS)[0]:
        pass
    return sys.stdin.readline()


class Session:
    """One call of the command line."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self._opened: list[Client] = []
        self._wait_said = False

    @cached_property
    def config(self) -> Configuration:
        """Settings, contexts and credentials; raises Fatal or Fault when a file is wrong."""
        from scheduler.cli.settings import Configuration

        return Configuration(self.flags, os.environ)

    @property
    def server(self) -> str:
        """The server's address; raises Fatal when none is known."""
        if not self.config.settings.server.text:
            fix = "dure login --server URL, set DURE_SERVER, or start one here: dure up"
            raise Fatal(NO_SERVER, "no server is known", fix)
        return self.config.settings.server.text

    def token(self) -> str:
        """DURE_TOKEN, or the token stored for the server; "" when there is none."""
        given = os.environ.get(TOKEN_VARIABLE, "").strip()
        if given:
            if not sound_token(given):
                raise Fatal(NO_LOGIN, f"{TOKEN_VARIABLE} does not hold a token", "dure token create prints one")
            return given
        stored = self.config.credentials.token(self.server)
        return stored.token if stored else ""

    @cached_property
    def client(self) -> Client:
        """The client with the user's token; raises Fatal when nobody is logged in."""
        token = self.token()
        if not token:
            fix = f"dure login --server {shlex.quote(self.server)}, or set {TOKEN_VARIABLE}"
            raise Fatal(NO_LOGIN, f"you are not logged in to {self.server}", fix)
        return self.connect(self.server, token)

    def client_that_tries(self, tries: int) -> Client:
        """The client, or one for a question that is not worth so many tries; raises Fatal when nobody is logged in."""
        client = self.client
        return client if tries >= TRIES else self.connect(self.server, self.token(), tries=tries)

    def connect(
        self, server: str, token: str, *, timeout_seconds: float = TIMEOUT_SECONDS, tries: int = TRIES
    ) -> Client:
        """A client that is closed with the session."""
        from scheduler.client.http import Client
        from scheduler.client.transport import Policy

        policy = Policy(tries=tries)
        client = Client(server, token, timeout_seconds=timeout_seconds, policy=policy, around=self._patience)
        self._opened.append(client)
        return client

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """While the server is waited for: on a terminal it is said once, after WAIT_SAID_SECONDS."""
        if self._wait_said or self.flags.quiet or not sys.stderr.isatty():
            yield
            return
        timer = threading.Timer(WAIT_SAID_SECONDS, self._say_waiting)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _say_waiting(self) -> None:
        self._wait_said = True
        self.talk(f"waiting for {self.server} ...")

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress | None]:
        """A bar for what takes long, told in bytes: on a terminal only, and never with --quiet."""
        from scheduler.cli.progress import Bar

        if self.flags.quiet or not moves(sys.stderr):
            yield None
            return
        drawn = Bar(label, sys.stderr)
        try:
            yield drawn.moved
        finally:
            drawn.clear()

    def close(self) -> None:
        """Close the clients."""
        for client in self._opened:
            client.close()

    # Talking: standard error for people, standard output for data.

    def talk(self, text: str = "") -> None:
        """A line for people; silent with --quiet."""
        if not self.flags.quiet:
            tell(clean(text) + "\n")

    def warn(self, text: str) -> None:
        """A warning, also with --quiet."""
        warn(text)

    def next(self, *steps: tuple[str, str]) -> None:
        """The commands that are useful now: (label, command), with ``dure`` as this program was called."""
        if self.flags.quiet:
            return
        columns = max(width(label) for label, _ in steps)
        for label, command in steps:
            space = " " * (columns - width(label) + 2)
            shown = clean(as_called(command))
            tell(f"  {paint(label, DIM, sys.stderr)}{space}{paint(shown, BOLD, sys.stderr)}\n")

    def data(self, text: str) -> None:
        """A line of data."""
        put(text + "\n")

    def emit(self, body: Any, sheet: Sheet, output: str, items: Sequence[Any] | None = None) -> None:
        """Print a body, or the items of a listing, in the shape that ``-o`` names."""
        from scheduler.cli.render import render, stdout_view

        put(render(body, sheet, output, stdout_view(self.now_ms()), items))
        if items == [] and output in ("table", "wide") and sheet.empty:
            self.talk(sheet.empty)

    def emit_rows(self, kind: str, rows: Sequence[Row], sheet: Sheet, output: str) -> None:
        """Print a list that was made here, in the form that the API's lists have."""
        from scheduler.schema.body_base import API_VERSION

        items = [row.values for row in rows]
        self.emit({"apiVersion": API_VERSION, "kind": kind, "items": items, "next": ""}, sheet, output, rows)

    def emit_row(self, kind: str, row: Row, sheet: Sheet, output: str) -> None:
        """Print one thing that was made here, in the form that the API's answers have."""
        from scheduler.cli.tables import Row
        from scheduler.schema.body_base import API_VERSION

        self.emit(Row({"apiVersion": API_VERSION, "kind": kind, **row.values}), sheet, output)

    def told(self, body: Any, sheet: Sheet, output: str, sentence: str) -> None:
        """What became of a thing: one line such as ``job/ID queued``, or the body in another shape."""
        self.made(sentence)
        if output == "table":
            self.data(clean(sentence))
        else:
            self.emit(body, sheet, output)

    def made(self, sentence: str) -> None:
        """Note a change that was made: told where the output itself cannot be written."""
        meta = click.get_current_context().meta
        meta[DONE] = joined((str(meta.get(DONE, "")), clean(sentence)))

    def all_pages(self, fetch: Callable[[str], Any]) -> Any:
        """A listing with the items of all its pages; ``fetch`` gets the cursor. Raises Fatal after PAGES_MAX."""
        page = fetch("")
        items = list(page.items)
        for _ in range(PAGES_MAX):
            if not page.next:
                return page.model_copy(update={"items": items})
            page = fetch(page.next)
            items += page.items
        raise Fatal(TOO_MANY, f"the list has more than {len(items)} items", "narrow it by its options")

    def confirm(self, question: str, *, yes: bool, consent: bool = False) -> None:
        """Ask before something that one may not want; without a terminal nothing is asked and it is done.

        ``consent``: it cannot be taken back. Then only a typed yes will do, and where nothing can be asked it is
        refused. Raises click.Abort when the answer is no, and Fatal when an answer is needed and cannot be given.
        """
        if yes:
            return
        terminal = sys.stdin.isatty() and sys.stderr.isatty()
        if not terminal and not consent:
            return
        if not terminal or self.flags.no_input:
            why = "--no-input forbids to ask" if self.flags.no_input else "there is no terminal to ask on"
            raise Fatal(NOT_CONFIRMED, f"this needs your consent, and {why}: {question}", "add --yes")
        tell(f"{clean(question)} {'[y/N]' if consent else '[Y/n]'} ")
        answer = _typed_line()
        # ㅛ is what the key Y writes on a Korean keyboard.
        agreed = ("y", "yes", "ㅛ") if consent else ("", "y", "yes", "ㅛ")
        if not answer or answer.strip().lower() not in agreed:
            tell("nothing was done")
            raise click.Abort

    def now_ms(self) -> int:
        """Now, by this machine's clock."""
        return time.time_ns() // 1_000_000

    def wait(self, seconds: float) -> None:
        """Pause between two looks at the server."""
        time.sleep(seconds)

    def project(self, given: str = "") -> str:
        """ORG/PROJECT: the option, the settings, or the only project there is; raises Fatal when it stays open."""
        found = self.config.project_path(given)
        if found:
            return found
        projects = [f"{item.org}/{item.name}" for item in self._projects().items]
        named = [path for path in projects if not given or path.endswith(f"/{given}")]
        if len(named) == 1:
            return named[0]
        shown = ", ".join(projects[:8]) or "none that you may use"
        what = f"project {given} is ambiguous or unknown" if given else "no project is chosen"
        raise Fatal(NO_PROJECT, f"{what}; projects: {shown}", "--project ORG/PROJECT, or dure context add")

    def _projects(self) -> Any:
        return self.all_pages(lambda cursor: self.client.projects(cursor=cursor))


@contextmanager
def open_session(flags: Flags) -> Iterator[Session]:
    """A session that is closed at the end."""
    session = Session(flags)
    try:
        yield session
    finally:
        session.close()


def joined(parts: Iterable[str], mark: str = ", ") -> str:
    """Texts with a mark between those that are not empty."""
    return mark.join(part for part in parts if part)
