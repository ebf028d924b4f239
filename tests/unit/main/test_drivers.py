"""Drivers: a loop's step is repeated, woken, backed off and never the end of its thread."""

from __future__ import annotations

import logging
import threading
import time
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


CLOCKS: dict[str, tuple[list[tuple[int, int]], list[int]]] = {
    "normal": ([(1_000, 50), (1_001, 51), (1_500, 550)], [1_001, 1_500]),
    "set back": ([(1_000, 50), (400, 60), (1_000_400, 1_000_060)], [1_010, 1_001_010]),
    "set forward": ([(1_000, 50), (9_000, 60), (9_005, 65)], [9_000, 9_005]),
    "set forward, then back": ([(1_000, 50), (9_000, 60), (1_020, 70)], [9_000, 9_010]),
    "set back, then forward": ([(1_000, 50), (400, 60), (1_500, 70)], [1_010, 1_500]),
    "back for less than has passed": ([(1_000, 50), (1_030, 150)], [1_100]),
    "held up between the two": ([(1_000, 50), (1_010, 90), (1_060, 110)], [1_040, 1_060]),
    "standing still": ([(1_000, 50), (1_000, 50)], [1_000]),
}


@pytest.mark.parametrize(("readings", "expected"), CLOCKS.values(), ids=CLOCKS.keys())
def test_the_clock_goes_on_with_real_time_and_never_backwards(
    readings: list[tuple[int, int]], expected: list[int]
) -> None:
    """``readings``: the machine's clock and real time, both in ms; the first is what the clock is made with."""
    walls, elapsed = (iter([row[column] * 1_000_000 for row in readings]) for column in (0, 1))
    clock = WallClock(lambda: next(walls), lambda: next(elapsed))
    assert [clock() for _ in expected] == expected


def test_the_clock_is_the_machine_s() -> None:
    before_ms = time.time_ns() // 1_000_000
    now_ms = WallClock()()
    assert before_ms - 1 <= now_ms <= time.time_ns() // 1_000_000 + 1
