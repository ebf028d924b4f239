"""Following a job's output: every byte once, in order, through attempts and silences; and what a terminal gets."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any, cast

import pytest

from scheduler.cli.base import Flags
from scheduler.cli.following import SILENCE_SECONDS_MAX, Follower
from scheduler.cli.session import Session
from scheduler.cli.terminal import TerminalText, output_writer, safe
from scheduler.client.errors import Unreachable
from scheduler.client.http import LogChunk
from scheduler.core.errors import Retry
from scheduler.schema.bodies import JobBody
from tests.unit.cli.samples import job

CHUNK = 7


class Story:
    """A job as its API shows it; ``events`` happen one by one, each when somebody waits."""

    def __init__(self, *events: Callable[[Story], None]) -> None:
        self.logs: dict[int, bytes] = {}
        self.attempt = 0
        self.state = "Queued"
        self.down = False
        self.events = list(events)

    def log(self, name: str, *, attempt: int = 0, rank: int = 0, offset: int = 0) -> LogChunk:
        """As the client's; chunks are small so that there are many."""
        assert (name, rank) == ("j", 0)
        if self.down:
            raise Unreachable("DURE-8001", "not there", "", sent=False)
        chosen = attempt or self.attempt
        content = self.logs.get(chosen, b"")
        return LogChunk(content[offset : offset + CHUNK], len(content), chosen, self.state)

    def job(self, name: str) -> JobBody:
        """As the client's."""
        assert name == "j"
        return job(0, attempt=self.attempt, attempt_state="Gone" if self.state == "Queued" else "Running")


class Waiting(Session):
    """A session in which time passes only by waiting, and waiting makes the story go on."""

    def __init__(self, story: Story) -> None:
        super().__init__(Flags())
        self.story = story
        self.time_ms = 0

    def now_ms(self) -> int:
        """Virtual now."""
        return self.time_ms

    def wait(self, seconds: float) -> None:
        """The next event happens."""
        self.time_ms += round(seconds * 1_000)
        if self.story.events:
            self.story.events.pop(0)(self.story)


def writes(attempt: int, text: bytes, state: str = "Active") -> Callable[[Story], None]:
    """The attempt prints something."""

    def event(story: Story) -> None:
        story.attempt, story.state = attempt, state
        story.logs[attempt] = story.logs.get(attempt, b"") + text

    return event


def ends(state: str) -> Callable[[Story], None]:
    """The job's state becomes this."""
    return lambda story: setattr(story, "state", state)


def down(is_down: bool) -> Callable[[Story], None]:
    """The server goes away or comes back."""
    return lambda story: setattr(story, "down", is_down)


def followed(story: Story, attempt: int = 0, seconds: int | None = None) -> tuple[bytes, str, int]:
    """What was printed, the state at the end, and how long it took in virtual milliseconds."""
    printed: list[bytes] = []
    session = Waiting(story)
    state = Follower(cast(Any, story), printed.append, session, "j", 0, attempt).follow(seconds)
    return b"".join(printed), state, session.time_ms


LONG = bytes(range(256)) * 3


def nothing(story: Story) -> None:
    """A look that finds nothing new."""


def test_all_bytes_once_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(nothing, writes(1, LONG), nothing, writes(1, b"end"), ends("Succeeded"))
    assert followed(story)[:2] == (LONG + b"end", "Succeeded")
    assert capsys.readouterr().err == "the job is Queued and has no output yet; why: dure why j\n"


def test_bytes_that_arrive_just_after_the_end_are_printed() -> None:
    story = Story(writes(1, b"a"), ends("Failed"), writes(1, b"late", "Failed"))
    assert followed(story)[:2] == (b"alate", "Failed")


def test_through_attempts_with_what_the_old_one_still_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    def evicted(story: Story) -> None:
        writes(1, b"last words of one;")(story)
        writes(2, b"two begins;")(story)

    story = Story(writes(1, b"one;"), ends("Queued"), nothing, evicted, writes(2, b"done"), ends("Succeeded"))
    assert followed(story)[0] == b"one;last words of one;two begins;done"
    assert "-- attempt 2\n" in capsys.readouterr().err


def test_one_attempt_alone_ends_with_it() -> None:
    story = Story(writes(1, b"one;"), ends("Queued"), nothing, writes(2, b"two;"))
    printed, state, _ = followed(story, attempt=1)
    assert (printed, state) == (b"one;", "Queued")


def test_a_time_limit_ends_the_look_and_not_the_job() -> None:
    story = Story(writes(1, b"x"))
    printed, state, time_ms = followed(story, seconds=30)
    assert (printed, state) == (b"x", "Active")
    assert 30_000 <= time_ms <= 32_000


def test_a_short_silence_is_sat_out(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(writes(1, b"a"), down(True), *[nothing] * 20, down(False), writes(1, b"b"), ends("Cancelled"))
    assert followed(story)[:2] == (b"ab", "Cancelled")
    assert "not there; trying again" in capsys.readouterr().err


def test_a_long_silence_is_an_error() -> None:
    story = Story(writes(1, b"a"), down(True))
    session = Waiting(story)
    with pytest.raises(Retry):
        Follower(cast(Any, story), lambda _: None, session, "j", 0, 0).follow(None)
    assert SILENCE_SECONDS_MAX * 1_000 < session.time_ms < (SILENCE_SECONDS_MAX + 10) * 1_000


def test_random_stories_print_every_byte_once(rng: random.Random) -> None:
    for _ in range(100):
        events: list[Callable[[Story], None]] = []
        wanted = b""
        for attempt in range(1, rng.randint(2, 4)):
            for _ in range(rng.randint(0, 4)):
                text = rng.randbytes(rng.randint(1, 40))
                wanted += text
                events += [*[nothing] * rng.randint(0, 3), writes(attempt, text)]
                if rng.random() < 0.2:
                    events += [down(True), nothing, down(False)]
            events.append(ends("Queued"))
        events.append(ends("Succeeded"))
        assert followed(Story(*events))[0] == wanted


def test_printing_once(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    printed: list[bytes] = []
    session = Waiting(story)
    Follower(cast(Any, story), printed.append, session, "j", 0, 0).print_once()
    assert capsys.readouterr().err == "no output yet; the job is Queued\n"
    writes(1, LONG)(story)
    Follower(cast(Any, story), printed.append, session, "j", 0, 0).print_once()
    assert b"".join(printed) == LONG
    assert session.time_ms == 0


SAFE = {
    "colours": ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    "a progress bar": ("\r\x1b[K50%\b\b", "\r\x1b[K50%\b\b"),
    "lines and tabs": ("a\tb\r\nc\n", "a\tb\r\nc\n"),
    "clear the screen": ("a\x1b[2Jb", "ab"),
    "move the cursor": ("a\x1b[10;10Hb", "ab"),
    "a title": ("a\x1b]0;title\x07b", "ab"),
    "a link": ("\x1b]8;;http://x\x1b\\click\x1b]8;;\x1b\\", "click"),
    "a device query": ("\x1b[6n\x1bZ", ""),
    "a reset": ("a\x1bcb", "ab"),
    "C1": ("a\x9b2Jb", "a2Jb"),
    "a bell and NUL": ("a\x07\x00b", "ab"),
    "a lone escape": ("a\x1b", "a"),
    "hangul": ("한글", "한글"),
}


@pytest.mark.parametrize(("text", "wanted"), SAFE.values(), ids=SAFE.keys())
def test_what_a_terminal_gets(text: str, wanted: str) -> None:
    assert safe(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), SAFE.values(), ids=SAFE.keys())
def test_cut_anywhere_it_is_the_same(text: str, wanted: str) -> None:
    content = text.encode()
    for cut in range(len(content) + 1):
        terminal = TerminalText()
        pieces = terminal.feed(content[:cut]) + terminal.feed(content[cut:]) + terminal.feed(b".")
        assert pieces == f"{wanted}." or text.endswith("\x1b")


def test_an_escape_that_never_ends_is_not_held_back_for_ever() -> None:
    terminal = TerminalText()
    shown = "".join(terminal.feed(b"\x1b]0;" + b"x" * 100) for _ in range(100))
    assert len(shown) > 5_000
    assert "\x1b" not in shown


class Terminal(io.StringIO):
    """Text that counts as a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_a_file_gets_the_bytes_and_a_terminal_the_filtered_text() -> None:
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer)
    output_writer(file)(b"\x1b[2J\xff")
    assert buffer.getvalue() == b"\x1b[2J\xff"
    terminal = Terminal()
    output_writer(terminal)(b"\x1b[2Ja\xff")
    assert terminal.getvalue() == "a\ufffd"
