"""``dure queue --watch``: what counts as a change, how it is shown, and how it bears with a server that is away."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.base import Flags
from scheduler.cli.render import Page
from scheduler.cli.session import Session
from scheduler.cli.watching import LOOKS_MAX, MARKED_SECONDS, PAUSE_SECONDS_MAX, Change, Lines, Screen, Watch
from scheduler.core.errors import Fatal, Retry
from scheduler.schema.bodies import JobBody
from tests.unit.cli.conftest import Dure
from tests.unit.cli.samples import NOW_MS, RUNNING, job
from tests.unit.cli.small_world import World, served
from tests.unit.cli.test_terminal import on_terminal

A, B = job(0), job(3, name="다른-작업")
A_RUNS = A.model_copy(update={"state": "Active", "reason": "", "attempt": 1, "attempt_state": "Running"})
A_ENDED = A_RUNS.model_copy(update={"state": "Failed", "exit_code": 137})
AWAY = Retry("DURE-8001", "the server cannot be reached", "")
Rounds = list[list[JobBody] | Exception]


class Stopped(Session):
    """A session in which each pause is written down, and Ctrl-C comes in the last one."""

    def __init__(self, pauses: int, found: JobBody | None = None) -> None:
        """``found``: what a job that has left is looked up as."""
        super().__init__(Flags())
        self.pauses: list[float] = []
        self.looks = 0
        self._left = pauses
        self._found = found

    @property
    def client(self) -> Any:
        """Itself."""
        return self

    def job(self, name: str) -> JobBody:
        """What became of a job."""
        self.looks += 1
        if self._found is None:
            raise Fatal("DURE-3001", "no such job", "")
        return self._found

    def now_ms(self) -> int:
        """Virtual time."""
        return NOW_MS + round(sum(self.pauses) * 1_000)

    def wait(self, seconds: float) -> None:
        """A pause, or the interrupt."""
        self.pauses.append(seconds)
        if len(self.pauses) >= self._left:
            raise KeyboardInterrupt


class Seen:
    """Keeps what would be shown."""

    def __init__(self) -> None:
        self.changes: list[list[tuple[str, str]]] = []
        self.troubles: list[float] = []

    def round(self, jobs: Sequence[JobBody], changes: Sequence[Change], at_ms: int) -> None:
        """The kinds of changes, with the state."""
        self.changes.append([(change.kind, change.job.state) for change in changes])

    def trouble(self, sentence: str, seconds: float) -> None:
        """The next pause."""
        self.troubles.append(seconds)


def fetch(rounds: Rounds) -> Callable[[], list[JobBody]]:
    """The rounds' answers one after the other."""
    answers = iter(rounds)

    def answer() -> list[JobBody]:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    return answer


def watched(rounds: Rounds, found: JobBody | None = None, seconds: int = 2) -> tuple[Seen, Stopped]:
    """Watch these rounds and be interrupted."""
    session, seen = Stopped(len(rounds), found), Seen()
    assert Watch(session, fetch(rounds), seen, seconds).run(until_empty=False) == 130
    return seen, session


GROWN = A_RUNS.model_copy(update={"held_gpu_seconds": 7})
CHANGES: dict[str, tuple[Rounds, JobBody | None, list[list[tuple[str, str]]]]] = {
    "the first round lists": ([[A, B]], None, [[("listed", "Queued"), ("listed", "Queued")]]),
    "nothing new": ([[A], [A]], None, [[("listed", "Queued")], []]),
    "a new one": ([[A], [A, B]], None, [[("listed", "Queued")], [("added", "Queued")]]),
    "one starts": ([[A], [A_RUNS]], None, [[("listed", "Queued")], [("changed", "Active")]]),
    "one grows by itself": ([[A_RUNS], [GROWN]], None, [[("listed", "Active")], []]),
    "one ends": ([[A_RUNS], []], A_ENDED, [[("listed", "Active")], [("ended", "Failed")]]),
    "one is no longer shown": ([[A], []], A, [[("listed", "Queued")], [("left", "Queued")]]),
    "one cannot be looked up": ([[A], []], None, [[("listed", "Queued")], [("left", "Queued")]]),
    "a change behind a trouble": ([[A], AWAY, [A_RUNS]], None, [[("listed", "Queued")], [("changed", "Active")]]),
}


@pytest.mark.parametrize(("rounds", "found", "wanted"), CHANGES.values(), ids=CHANGES.keys())
def test_changes(rounds: Rounds, found: JobBody | None, wanted: list[list[tuple[str, str]]]) -> None:
    assert watched(rounds, found)[0].changes == wanted


def test_the_pause_is_as_asked_and_grows_while_the_server_is_away() -> None:
    seen, session = watched([[A], AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, [A], [A]])
    assert session.pauses == [2, 4, 8, 16, 32, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX, 2, 2]
    assert seen.troubles == session.pauses[1:7]


def test_only_so_many_are_looked_up() -> None:
    many = [job(0, id=f"job{number:04d}") for number in range(LOOKS_MAX + 5)]
    seen, session = watched([many, []], A_ENDED)
    assert session.looks == LOOKS_MAX
    assert [kind for kind, _ in seen.changes[1]] == ["ended"] * LOOKS_MAX + ["left"] * 5


def test_until_nothing_is_listed() -> None:
    session, seen = Stopped(9, A_ENDED), Seen()
    assert Watch(session, fetch([[A], [A], []]), seen, 1).run(until_empty=True) == 0
    assert seen.changes[-1] == [("ended", "Failed")]


def test_what_a_person_must_change_ends_it() -> None:
    with pytest.raises(Fatal):
        Watch(Stopped(9), fetch([Fatal("DURE-4001", "no login", "")]), Seen(), 1).run(until_empty=False)


def test_lines_for_people_and_objects_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [Change("listed", A), Change("ended", A_ENDED)]
    Lines(Stopped(1), "table").round([], changes, NOW_MS)
    assert capsys.readouterr().out == (
        "09:00:00  listed   joba2345      Queued (ShareBusy)            8 h100-80g      llm-sft\n"
        "09:00:00  ended    joba2345      Failed                        8 h100-80g      llm-sft\n"
    )
    Lines(Stopped(1), "jsonl").round([], changes, NOW_MS)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["at"], first["change"], second["change"]) == ("2026-11-22T00:00:00.000Z", "listed", "ended")
    assert JobBody.model_validate(second["job"]) == A_ENDED


def test_the_screen_marks_what_has_just_changed_and_keeps_what_has_just_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = Page(terminal=True, colour=False, columns=80)
    screen = Screen(Stopped(1), "table", 2)
    screen.round([A, RUNNING], [Change("listed", A), Change("listed", RUNNING)], NOW_MS)
    screen.round([B, RUNNING], [Change("added", B), Change("changed", RUNNING), Change("ended", A_ENDED)], NOW_MS)
    marks = {line.split()[1]: line[0] for line in screen.table(page).splitlines() if line[0] in "+*-"}
    assert marks == {"jobd2345": "+", "jobb2345": "*", "joba2345": "-"}
    later_ms = NOW_MS + MARKED_SECONDS * 1_000
    screen.round([B, RUNNING], [], later_ms)
    assert not [line for line in screen.table(page).splitlines() if line[0] in "+*-"]
    assert "joba2345" not in screen.table(page)
    assert capsys.readouterr().out.count("\x1b[H") == 3


@pytest.fixture
def place() -> Iterator[tuple[World, dict[str, str]]]:
    """A world behind a socket, and who looks at it."""
    world = World()
    with served() as server:
        server.world = world
        yield world, {"DURE_SERVER": server.url, "DURE_TOKEN": world.tokens["lee"]}
    world.close()


def test_on_a_pipe_the_command_prints_changes(
    dure: Dure, place: tuple[World, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, env = place
    steps: list[Callable[[], object]] = [
        lambda: world.submit("kim", "fresh", "h100:1", hold=True),
        lambda: world.client("kim").cancel("fresh"),
    ]

    def wait(self: Session, seconds: float) -> None:
        assert seconds == 1
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(Session, "wait", wait)
    result = dure("queue", "--watch", "1", "-o", "jsonl", env=env)
    assert (result.code, result.err) == (130, "")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [(item["change"], item["job"]["name"], item["job"]["state"]) for item in found] == [
        ("listed", "sweep", "Held"),
        ("listed", "llm-sft", "Queued"),
        ("listed", "pretrain", "Active"),
        ("added", "fresh", "Held"),
        ("ended", "fresh", "Cancelled"),
    ]


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_on_a_terminal_it_draws_in_place_and_leaves_the_terminal_as_it_was(
    tmp_path: Path, place: tuple[World, dict[str, str]], sign: signal.Signals, code: int
) -> None:
    world, env = place
    terminal = on_terminal(tmp_path, "queue", "--watch", "1", env=env)
    terminal.read_until("pretrain")
    world.submit("kim", "fresh", "h100:1", hold=True)
    terminal.read_until("\x1b[H", after=terminal.shown.index("pretrain"))
    terminal.read_until("fresh")
    terminal.signal(sign)
    assert terminal.end() == code
    enter, leave = terminal.shown.index("\x1b[?1049h\x1b[?25l"), terminal.shown.index("\x1b[?25h\x1b[?1049l")
    assert enter < terminal.shown.index("dure queue   ") < leave
    assert "fresh" in terminal.shown[leave:]
    drawn = terminal.shown[enter:leave].split("\x1b[H")[1:]
    assert all(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line)) <= 80 for line in drawn[0].split("\r\n"))
