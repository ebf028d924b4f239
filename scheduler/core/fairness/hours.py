"""Amounts over a time, hour by hour: integrals of GPUs that come and go, in milli-GPU-milliseconds.

An *hour* here is a full hour of UTC (and so of Korea), cut at the ends of the time that is looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from scheduler.core.units import MS_PER_HOUR

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Span:
    """[since_ms, until_ms) and the edges of its hours, both ends among them; raises ValueError when it is empty."""

    since_ms: int
    until_ms: int

    def __post_init__(self) -> None:
        if self.since_ms >= self.until_ms:
            raise ValueError(f"a span ends after it begins: {self.since_ms} to {self.until_ms}")

    @property
    def edges(self) -> tuple[int, ...]:
        """Begin, every full hour between, end."""
        first = (self.since_ms // MS_PER_HOUR + 1) * MS_PER_HOUR
        return (self.since_ms, *range(first, self.until_ms, MS_PER_HOUR), self.until_ms)

    def clipped(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """The part of [start, end) inside; its end is its start where there is none."""
        start_ms = max(start_ms, self.since_ms)
        return start_ms, max(start_ms, min(end_ms, self.until_ms))


class HourSums(Generic[K]):
    """For each key one integral an hour. Adding takes the same time however long the interval is."""

    def __init__(self, span: Span) -> None:
        """Nothing of any key."""
        self.span = span
        self.edges = span.edges
        self._once: dict[K, list[int]] = {}
        self._rate: dict[K, list[int]] = {}

    def __len__(self) -> int:
        """How many hours."""
        return len(self.edges) - 1

    @property
    def keys(self) -> Iterator[K]:
        """Keys in the order in which they came."""
        return iter(self._once)

    def put(self, key: K, at_ms: int, amount: int) -> None:
        """Add an amount to the hour of an instant of the span."""
        self._rows(key)[0][self._hour(at_ms)] += amount

    def add(self, key: K, start_ms: int, end_ms: int, milli_gpus: int) -> None:
        """Add so many milli-GPUs from start to end, as far as that is inside the span."""
        start_ms, end_ms = self.span.clipped(start_ms, end_ms)
        if start_ms < end_ms:
            self._change(key, start_ms, milli_gpus)
            self._change(key, end_ms, -milli_gpus)

    def of(self, key: K) -> list[int]:
        """The key's amount in each hour; of a key that is not there nothing."""
        if key not in self._once:
            return [0] * len(self)
        once, rate = self._once[key], self._rate[key]
        rates, sums = 0, []
        for hour, (start_ms, end_ms) in enumerate(pairwise(self.edges)):
            rates += rate[hour]
            sums.append(once[hour] + rates * (end_ms - start_ms))
        return sums

    def _rows(self, key: K) -> tuple[list[int], list[int]]:
        if key not in self._once:
            self._once[key], self._rate[key] = [0] * len(self), [0] * (len(self) + 1)
        return self._once[key], self._rate[key]

    def _change(self, key: K, at_ms: int, milli_gpus: int) -> None:
        """From this instant on so many more: a part of its own hour, and all of every later one."""
        if at_ms < self.span.until_ms:
            hour = self._hour(at_ms)
            once, rate = self._rows(key)
            once[hour] += milli_gpus * (self.edges[hour + 1] - at_ms)
            rate[hour + 1] += milli_gpus

    def _hour(self, at_ms: int) -> int:
        return bisect_right(self.edges, at_ms) - 1


def gaps(start_ms: int, end_ms: int, taken: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What of [start, end) is in none of the intervals ``taken``, in order."""
    for first_ms, last_ms in sorted(taken):
        if start_ms < min(first_ms, end_ms):
            yield start_ms, min(first_ms, end_ms)
        start_ms = max(start_ms, last_ms)
    if start_ms < end_ms:
        yield start_ms, end_ms
