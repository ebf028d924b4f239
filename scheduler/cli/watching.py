"""Watch the queue: drawn anew in place on a terminal; elsewhere only what has changed, a line for each change."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from scheduler.cli import exits
from scheduler.cli.clean import clean
from scheduler.cli.errors import YELLOW, colourful, paint
from scheduler.cli.render import Page, plain, render, stdout_view, to_json
from scheduler.cli.sheets import JOBS
from scheduler.cli.streams import flush, moves, put
from scheduler.cli.tables import ENDED, Column, gang, instant_text, state_text
from scheduler.core.errors import DureError, Retry
from scheduler.schema.times import rfc3339

if TYPE_CHECKING:
    from scheduler.cli.session import Session
    from scheduler.schema.bodies import JobBody

PAUSE_SECONDS_MAX = 60
WATCH_SECONDS_MAX = 30 * 86_400
MARKED_SECONDS = 10
"""So long a row is marked, and a job that has ended is still shown."""
LOOKS_MAX = 20
"""At most so many jobs that have left the list are looked up in one round."""
MARKS = {"added": "+", "changed": "*", "ended": "-"}
LEGEND = "+ new  * changed  - ended   Ctrl-C ends"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
FRAME_LINES = 3
"""Heading, status, and the line on which the cursor rests."""


class Change(NamedTuple):
    """What happened to a job: listed (there from the beginning), added, changed, ended, or left (no longer shown)."""

    kind: str
    job: JobBody


class Shown(Protocol):
    """Where the rounds go."""

    def round(self, jobs: Sequence[JobBody], changes: Sequence[Change], at_ms: int) -> None:
        """One answer of the server."""

    def trouble(self, sentence: str, seconds: float) -> None:
        """The server gave none; it is asked again after so many seconds."""


def _face(job: JobBody) -> tuple[Any, ...]:
    """What of a job counts as a change: not what grows by itself."""
    return job.state, job.reason, job.tier, job.attempt, job.attempt_state, job.exit_code, job.message


class Watch:
    """Asks for the list again and again, and knows what has changed since the round before."""

    def __init__(self, session: Session, fetch: Callable[[], Sequence[JobBody]], shown: Shown, seconds: int) -> None:
        """``seconds`` between two rounds."""
        self._session = session
        self._fetch = fetch
        self._shown = shown
        self._seconds = seconds
        self._known: dict[str, JobBody] | None = None

    def run(self, *, until_empty: bool) -> int:
        """Watch until Ctrl-C, or until nothing is listed any more; returns the exit code.

        What a person must change (a login, an option) is raised; a server that is away is asked ever more seldom.
        """
        end_ms, failures = self._session.now_ms() + WATCH_SECONDS_MAX * 1_000, 0
        try:
            while self._session.now_ms() < end_ms:
                try:
                    jobs = self._round()
                except Retry as error:
                    failures += 1
                    pause = min(PAUSE_SECONDS_MAX, self._seconds * 2**failures)
                    self._shown.trouble(error.message, pause)
                    self._session.wait(pause)
                    continue
                failures = 0
                if until_empty and not jobs:
                    return exits.OK
                self._session.wait(self._seconds)
        except KeyboardInterrupt:
            return exits.INTERRUPTED
        return exits.OK

    def _round(self) -> Sequence[JobBody]:
        jobs = self._fetch()
        at_ms = self._session.now_ms()
        changes = self._changes({job.id: job for job in jobs})
        self._shown.round(jobs, changes, at_ms)
        return jobs

    def _changes(self, now: dict[str, JobBody]) -> list[Change]:
        before, self._known = self._known, now
        if before is None:
            return [Change("listed", job) for job in now.values()]
        found = [Change("added", job) for name, job in now.items() if name not in before]
        found += [
            Change("changed", job) for name, job in now.items() if name in before and _face(job) != _face(before[name])
        ]
        gone = [job for name, job in before.items() if name not in now]
        return [*found, *(self._gone(job, look=number < LOOKS_MAX) for number, job in enumerate(gone))]

    def _gone(self, job: JobBody, *, look: bool) -> Change:
        """What became of a job that is no longer in the list."""
        if look:
            with suppress(DureError):  # the list could be had: that one job cannot be looked up is no trouble
                job = self._session.client.job(job.id)
        return Change("ended" if job.state in ENDED else "left", job)


class Lines:
    """One line for each change: words, or with ``jsonl`` an object with ``at``, ``change`` and the whole ``job``."""

    def __init__(self, session: Session, output: str) -> None:
        self._session = session
        self._json = output == "jsonl"

    def round(self, jobs: Sequence[JobBody], changes: Sequence[Change], at_ms: int) -> None:
        """Print the changes and bring them out at once."""
        at = rfc3339(at_ms)
        for kind, job in changes:
            if self._json:
                put(to_json({"at": at, "change": kind, "job": plain(job)}, indent=None) + "\n")
            else:
                put(clean(_line(at_ms, kind, job)) + "\n")
        flush()

    def trouble(self, sentence: str, seconds: float) -> None:
        """Say it."""
        self._session.talk(f"{sentence}; trying again in {seconds:g} s")


def _line(at_ms: int, kind: str, job: JobBody) -> str:
    state, size = state_text(job), gang(job, stdout_view(at_ms))
    return f"{_clock(at_ms)}  {kind:<7}  {job.id:<12}  {state:<28}  {size:<14}  {job.name}"


def _clock(at_ms: int) -> str:
    """The time of day in Korea, to the second."""
    return f"{instant_text(rfc3339(at_ms))[11:16]}:{at_ms // 1_000 % 60:02d}"


class Screen:
    """The list in place, with marks at the rows that have just changed."""

    def __init__(self, session: Session, output: str, seconds: int) -> None:
        self._session = session
        self._output = output
        self._seconds = seconds
        self._jobs: Sequence[JobBody] = ()
        self._at_ms = 0
        self._marks: dict[str, tuple[str, int, JobBody]] = {}
        mark = Column("", lambda row, view: self._marks[row.id][0] if row.id in self._marks else " ")
        self._sheet = replace(JOBS, columns=(mark, *JOBS.columns))

    def round(self, jobs: Sequence[JobBody], changes: Sequence[Change], at_ms: int) -> None:
        """Draw the list of now."""
        self._marks = {name: entry for name, entry in self._marks.items() if at_ms < entry[1]}
        for kind, job in changes:
            if kind in MARKS:
                self._marks[job.id] = MARKS[kind], at_ms + MARKED_SECONDS * 1_000, job
        self._jobs, self._at_ms = jobs, at_ms
        self._draw("")

    def trouble(self, sentence: str, seconds: float) -> None:
        """Say it above the list as it was."""
        self._draw(f"{sentence}; trying again in {seconds:g} s")

    def table(self, page: Page | None = None) -> str:
        """The list with the jobs that have just ended."""
        here = {job.id for job in self._jobs}
        ended = [job for mark, _, job in self._marks.values() if mark == MARKS["ended"] and job.id not in here]
        rows = [*self._jobs, *ended]
        shape = "wide" if self._output == "wide" else "table"
        return render(None, self._sheet, shape, stdout_view(self._at_ms), rows, page) or f"{JOBS.empty}\n"

    def _draw(self, trouble: str) -> None:
        columns, lines = shutil.get_terminal_size()
        heading = f"dure queue   {_clock(self._at_ms)}   every {self._seconds} s   {LEGEND}"
        rows = self.table(Page(True, colourful(sys.stdout), columns)).splitlines()
        room = max(1, lines - FRAME_LINES)
        if len(rows) > room:
            hidden = len(rows) - room + 1
            rows = [*rows[: room - 1], f"… {hidden} more: enlarge the terminal, or choose with --project, --state"]
        status = paint(clean(trouble)[:columns], YELLOW, sys.stdout) if trouble else ""
        text = "".join(f"{line}{TO_LINE_END}\r\n" for line in (heading[:columns], status, *rows))
        put(f"{HOME}{text}{TO_SCREEN_END}")
        flush()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """The terminal's other screen, without a cursor; what was last seen stays on the first one."""

        def ended(_number: int, _frame: object) -> None:
            raise SystemExit(exits.TERMINATED)

        before = signal.signal(signal.SIGTERM, ended)
        put(ENTER)
        flush()
        try:
            yield
        finally:
            put(LEAVE + (self.table() if self._at_ms else ""))
            flush()
            signal.signal(signal.SIGTERM, before)


def watch(
    session: Session, fetch: Callable[[], Sequence[JobBody]], output: str, seconds: int, *, until_empty: bool
) -> int:
    """Watch the queue in the way that standard output takes; returns the exit code."""
    if output == "jsonl" or not moves(sys.stdout):
        return Watch(session, fetch, Lines(session, output), seconds).run(until_empty=until_empty)
    screen = Screen(session, output, seconds)
    with screen.drawn():
        return Watch(session, fetch, screen, seconds).run(until_empty=until_empty)
