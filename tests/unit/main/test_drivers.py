"""Drivers: a loop's step is repeated, woken, backed off and never the end of its thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from scheduler.core.errors import Retry
from scheduler.core.records import CounterRecord
from scheduler.main.drivers import Driver, WakingStore, WallClock
from scheduler.store.memory import MemoryStore

LONG_MS = 600_000
WAIT_SECONDS = 20.0

Start = Callable[[Callable[[], bool], int], Driver]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts drivers; all are stopped after the test."""
    made: list[Driver] = []

    def make(step: Callable[[], bool], interval_ms: int) -> Driver:
        made.append(Driver("test", step, interval_ms))
        made[-1].start()
        return made[-1]

    yield make
    for driver in made:
        driver.ask_to_stop()
        assert driver.join(WAIT_SECONDS)


class Steps:
    """Counts steps; ``script`` gives each step's outcome, the last one for all that follow."""

    def __init__(self, *script: bool | Exception) -> None:
        self.script = list(script)
        self.count = 0
        self._turn = threading.Condition()

    def __call__(self) -> bool:
        with self._turn:
            outcome = self.script[min(self.count, len(self.script) - 1)]
            self.count += 1
            self._turn.notify_all()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def wait_for(self, count: int) -> bool:
        """Until so many steps have begun."""
        with self._turn:
            return self._turn.wait_for(lambda: self.count >= count, WAIT_SECONDS)


def test_it_steps_at_its_interval(start: Start) -> None:
    steps = Steps(False)
    start(steps, 10)
    assert steps.wait_for(3)


def test_it_steps_at_once_while_there_is_more(start: Start) -> None:
    steps = Steps(True, True, True, False)
    start(steps, LONG_MS)
    assert steps.wait_for(4)


def test_it_is_woken(start: Start) -> None:
    steps = Steps(False)
    driver = start(steps, LONG_MS)
    assert steps.wait_for(1)
    driver.wake()
    assert steps.wait_for(2)


def test_failures_are_logged_once_a_kind_and_it_goes_on(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    wrong, later = ValueError("wrong"), Retry("DURE-8001", "later", "")
    steps = Steps(wrong, wrong, later, later, wrong, False)
    with caplog.at_level(logging.INFO):
        driver = start(steps, 1)
        assert steps.wait_for(8)
    told = [(record.levelname, record.__dict__.get("kind")) for record in caplog.records]
    assert told == [("ERROR", "ValueError"), ("WARNING", "DURE-8001"), ("ERROR", "ValueError"), ("INFO", None)]
    assert caplog.records[-1].__dict__["failures"] == 5
    assert driver.fault(within_ms=LONG_MS) == ""


def test_a_loop_that_fails_makes_the_server_unready(start: Start) -> None:
    steps = Steps(Retry("DURE-8020", "no answer from 10.0.0.1", ""))
    driver = start(steps, 1)
    assert steps.wait_for(2)
    assert driver.fault(within_ms=LONG_MS) == ""
    assert driver.fault(within_ms=0) == "the test has not run for 0 s: DURE-8020"


def test_an_unready_server_tells_nothing_internal(start: Start) -> None:
    steps = Steps(ValueError("wrong"))
    driver = start(steps, 1)
    assert steps.wait_for(2)
    assert driver.fault(within_ms=0) == "the test has not run for 0 s"


def test_it_stops_soon_even_in_a_long_interval(start: Start) -> None:
    steps = Steps(False)
    driver = start(steps, LONG_MS)
    assert steps.wait_for(1)
    driver.ask_to_stop()
    assert driver.join(WAIT_SECONDS)
    assert steps.count == 1


def test_committed_writes_wake_and_others_do_not() -> None:
    woken: list[int] = []
    store = WakingStore(MemoryStore(), lambda: woken.append(1))
    with store.write() as tx:
        tx.add(CounterRecord(name="a", value=1))
        assert woken == []
    assert woken == [1]
    with pytest.raises(ValueError, match="no"), store.write() as tx:
        tx.add(CounterRecord(name="b", value=1))
        raise ValueError("no")
    with store.read() as view:
        assert view.count(CounterRecord) == 1
    assert woken == [1]


def test_the_clock_never_runs_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = iter([5_000_000, 3_000_000, 7_000_000])
    monkeypatch.setattr("scheduler.main.drivers.time.time_ns", lambda: next(instants))
    clock = WallClock()
    assert [clock(), clock(), clock()] == [5, 5, 7]
