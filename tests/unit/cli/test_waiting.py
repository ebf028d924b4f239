"""Waiting for a job's end: what is said, how patient it is with a server that is away, and when it gives up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scheduler.cli import exits
from scheduler.cli.base import Flags
from scheduler.cli.session import Session
from scheduler.cli.waiting import POLL_MAX_SECONDS, SILENCE_SECONDS_MAX, told_end, wait_for_end
from scheduler.core.errors import Retry
from tests.unit.cli.samples import job

AWAY = Retry("DURE-8001", "the server cannot be reached", "")
QUEUED, ACTIVE = job(0), job(0, state="Active", reason="", attempt=1)
DONE = job(0, state="Succeeded", reason="", exit_code=0)


class Scripted(Session):
    """A session whose server answers by a script, and whose time passes by waiting alone."""

    def __init__(self, *answers: Any) -> None:
        """The last answer is given for ever."""
        super().__init__(Flags())
        self._answers = iter(answers)
        self._last: Any = None
        self.seconds = 0.0

    @property
    def client(self) -> Any:
        """Itself."""
        return self

    def job(self, name: str) -> Any:
        """The next answer."""
        self._last = next(self._answers, self._last)
        if isinstance(self._last, Exception):
            raise self._last
        return self._last

    def now_ms(self) -> int:
        """Virtual time."""
        return round(self.seconds * 1_000)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        assert seconds <= POLL_MAX_SECONDS
        self.seconds += seconds


def test_each_state_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    session = Scripted(QUEUED, QUEUED, QUEUED, ACTIVE, ACTIVE, DONE)
    assert wait_for_end(session, "j", None) == DONE
    assert capsys.readouterr().err == "job j: Queued (ShareBusy)\njob j: Active\n"


# Answers, seconds given -> state in the end, seconds waited.
TIMES: dict[str, tuple[list[Any], int | None, str, float]] = {
    "ended already: not a moment": ([DONE], 0, "Succeeded", 0.0),
    "no time: one look": ([QUEUED], 0, "Queued", 0.0),
    "up to its time and no longer: 0.5 + 1 + 0.5": ([QUEUED], 2, "Queued", 2.0),
    "pauses grow to 5 s: 0.5 + 1 + 2 + 4 + 2.5": ([QUEUED], 10, "Queued", 10.0),
    "a server that comes back: 0.5 + 1": ([QUEUED, AWAY, DONE], None, "Succeeded", 1.5),
}


@pytest.mark.parametrize(("answers", "seconds", "state", "waited"), TIMES.values(), ids=TIMES.keys())
def test_how_long_it_waits(answers: list[Any], seconds: int | None, state: str, waited: float) -> None:
    session = Scripted(*answers)
    assert wait_for_end(session, "j", seconds).state == state
    assert session.seconds == waited


@pytest.mark.parametrize("answers", [[AWAY], [QUEUED, AWAY]], ids=["never seen", "seen once"])
def test_a_server_that_stays_away_ends_it(answers: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    session = Scripted(*answers)
    with pytest.raises(Retry):
        wait_for_end(session, "j", None)
    assert SILENCE_SECONDS_MAX < session.seconds <= SILENCE_SECONDS_MAX + POLL_MAX_SECONDS + 1
    assert "the server cannot be reached; trying again" in capsys.readouterr().err


def test_a_server_that_is_away_when_the_time_is_over() -> None:
    with pytest.raises(Retry):
        wait_for_end(Scripted(AWAY), "j", 3)
    assert wait_for_end(Scripted(QUEUED, AWAY), "j", 3) == QUEUED


ENDS = [("Succeeded", 0), ("Failed", 100), ("Cancelled", 103), ("Queued", 101), ("Active", 101), ("Held", 101)]


@pytest.mark.parametrize(("state", "code"), ENDS)
def test_the_exit_code_is_the_end(state: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert told_end(Scripted(), job(0, state=state, reason="")) == code
    said = capsys.readouterr().err
    assert ("dure logs" in said) == (code != exits.JOB_NOT_FINISHED)
    assert ("dure job wait" in said) == (code == exits.JOB_NOT_FINISHED)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands are proposed as ``dure``."""
    monkeypatch.setattr("scheduler.cli.session.as_called", lambda command: command)
    yield
