"""One measurement: a call repeated, its smallest and its median time, and the goal for the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured. value: the median; goal: the most it should be, None where nothing is promised.

    processor: the median of the processor's own time, which other work on the machine lengthens less.
    """

    id: str
    value: float
    smallest: float
    processor: float
    rounds: int
    unit: str
    goal: float | None
    what: str

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the goal; None without one."""
        return None if self.goal is None else self.value <= self.goal


def timed(
    name: str, what: str, call: Callable[[], object], *, goal_ms: float | None = None, rounds: int = ROUNDS
) -> Measurement:
    """Milliseconds of a call, after one that warms up; at least seven rounds."""
    assert rounds >= 7, "fewer rounds say nothing"
    call()
    passed, worked = [], []
    for _ in range(rounds):
        start, busy = time.perf_counter(), time.process_time()
        call()
        worked.append((time.process_time() - busy) * 1_000)
        passed.append((time.perf_counter() - start) * 1_000)
    median, smallest, processor = statistics.median(passed), min(passed), statistics.median(worked)
    return Measurement(name, round(median, 3), round(smallest, 3), round(processor, 3), rounds, "ms", goal_ms, what)
