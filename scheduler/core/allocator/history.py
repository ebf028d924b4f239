"""Past usage in hourly whole-number buckets per leaf and flavor, and its decayed sum.

The buckets are the slices' truth and all that is stored; the sums are derived, cached for the hour
they were made in, and never stored. Exchange rates are applied by the reader, so a new rate
changes the whole past alike and a state rebuilt from facts needs no old policy.
"""

from __future__ import annotations

from collections import defaultdict
from operator import mul
from typing import Any

from scheduler.core.allocator.decay import HOURS_MAX, DecayTable
from scheduler.core.units import MS_PER_HOUR

Place = tuple[str, str]
"""(path of the leaf, flavor)."""


class UsageHistory:
    """Held milli-GPU-milliseconds of attempts that are gone, by (leaf, flavor) and hour since 1970."""

    def __init__(self) -> None:
        self._buckets: dict[Place, dict[int, int]] = {}
        self._sums: dict[Place, int] = {}
        self._sums_of: tuple[int, int] = (0, 0)
        """(half-life, hour) that ``_sums`` was made for."""

    def add(self, place: Place, milli_gpus: int, start_ms: int, end_ms: int) -> None:
        """Book ``milli_gpus`` held over [start, end), cut at whole hours; an empty interval books nothing.

        Hours of this place that are more than HOURS_MAX older than the end count nothing and are dropped.
        """
        if end_ms <= start_ms:
            return
        buckets = self._buckets.setdefault(place, {})
        last = (end_ms - 1) // MS_PER_HOUR
        for hour in range(max(start_ms // MS_PER_HOUR, last - HOURS_MAX), last + 1):
            begin, end = max(start_ms, hour * MS_PER_HOUR), min(end_ms, (hour + 1) * MS_PER_HOUR)
            buckets[hour] = buckets.get(hour, 0) + milli_gpus * (end - begin)
        for hour in [hour for hour in buckets if hour < last - HOURS_MAX]:
            del buckets[hour]
        self._sums.pop(place, None)

    def decayed(self, table: DecayTable, hour: int) -> dict[Place, int]:
        """Sum over buckets of amount x weight, per place, as seen in ``hour``: a new dictionary of the caller's.

        Hours after ``hour`` (a clock stepped back) count nothing until they come.
        """
        if self._sums_of != (table.half_life_ms, hour):
            self._sums, self._sums_of = {}, (table.half_life_ms, hour)
        missing = [place for place in self._buckets if place not in self._sums]
        if missing:
            weights = defaultdict(int, {hour - age: weight for age, weight in enumerate(table.weights)})
            for place in missing:
                buckets = self._buckets[place]
                self._sums[place] = sum(map(mul, buckets.values(), map(weights.__getitem__, buckets)))
        return dict(self._sums)

    def to_json(self) -> list[Any]:
        """Rows of [leaf, flavor, [[hour, amount], ...]], sorted."""
        return [
            [leaf, flavor, [[hour, amount] for hour, amount in sorted(buckets.items())]]
            for (leaf, flavor), buckets in sorted(self._buckets.items())
        ]

    @classmethod
    def from_json(cls, rows: list[Any]) -> UsageHistory:
        """The history with these rows."""
        history = cls()
        for leaf, flavor, buckets in rows:
            history._buckets[leaf, flavor] = dict(buckets)
        return history
