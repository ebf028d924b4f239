"""Decay of usage by half-life: a constant table of whole numbers, made without floats.

``weights[k]`` is 2^32 x 2^(-k hours / half-life), rounded to the nearest integer. A decayed sum is
then exact integer arithmetic over hourly buckets: a pure function of slices, so that a rebuilt
state and an incremental one agree to the bit (DESIGN section 4).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from scheduler.core.errors import invariant
from scheduler.core.units import MS_PER_HOUR

SCALE_BITS = 32
"""``weights[0]`` is 2 to this power."""
HOURS_MAX = 2 * 365 * 24
"""Usage older than this counts nothing, whatever the half-life: it bounds tables and buckets."""
_WORK_BITS = 160
"""Bits behind the point while the table is made: rounding errors of all steps together stay below 2^-140."""


@dataclass(frozen=True, slots=True)
class DecayTable:
    """weights[k]: what an hour counts that began k whole hours before the present one.

    sums[k]: weights[0] + ... + weights[k - 1], so ``len(sums) == len(weights) + 1``.
    """

    half_life_ms: int
    weights: tuple[int, ...]
    sums: tuple[int, ...]

    @property
    def full(self) -> int:
        """Weighted milliseconds of something held always: the denominator of every decayed average."""
        return self.sums[-1] * MS_PER_HOUR

    def weight(self, age_hours: int) -> int:
        """Weight of an hour of that age; 0 beyond the table and for an hour that has not come."""
        return self.weights[age_hours] if 0 <= age_hours < len(self.weights) else 0

    def between(self, first: int, last: int) -> int:
        """Sum of the weights of ages ``first <= age < last``."""
        end = len(self.weights)
        return self.sums[max(0, min(last, end))] - self.sums[max(0, min(first, end))]

    def held(self, start_ms: int, end_ms: int) -> int:
        """Weighted milliseconds of the interval [start, end) as seen in the hour of its end."""
        if end_ms <= start_ms:
            return 0
        first, now = start_ms // MS_PER_HOUR, end_ms // MS_PER_HOUR
        if first == now:
            return (end_ms - start_ms) * self.weights[0]
        age = now - first
        head = ((first + 1) * MS_PER_HOUR - start_ms) * self.weight(age)
        return head + MS_PER_HOUR * self.between(1, age) + (end_ms - now * MS_PER_HOUR) * self.weights[0]


@functools.lru_cache(maxsize=8)
def decay_table(half_life_ms: int) -> DecayTable:
    """The table of a half-life; it ends where a weight would round to 0, at the latest after HOURS_MAX hours."""
    invariant(half_life_ms > 0, "a half-life is longer than nothing")
    step = _half_to_the(MS_PER_HOUR, half_life_ms)
    weights, exact = [], 1 << _WORK_BITS
    drop = _WORK_BITS - SCALE_BITS
    for _ in range(HOURS_MAX):
        weight = (exact + (1 << (drop - 1))) >> drop
        if weight == 0:
            break
        weights.append(weight)
        exact = exact * step >> _WORK_BITS
    sums = [0]
    for weight in weights:
        sums.append(sums[-1] + weight)
    return DecayTable(half_life_ms, tuple(weights), tuple(sums))


def _half_to_the(numerator: int, denominator: int) -> int:
    """2^-(numerator / denominator) as a fixed-point number with _WORK_BITS bits behind the point.

    Whole halvings are shifts; the rest is exp(-x) by its series, with x = ln 2 x the fractional part.
    """
    halvings, rest = divmod(numerator, denominator)
    if halvings >= _WORK_BITS:
        return 0
    x = _ln2() * rest // denominator
    total = term = 1 << _WORK_BITS
    divisor = 0
    while term:
        divisor += 1
        term = (term * x >> _WORK_BITS) // divisor
        total += -term if divisor % 2 else term
    return total >> halvings


@functools.cache
def _ln2() -> int:
    """ln 2 = sum of 1 / (k 2^k) over k >= 1, as a fixed-point number with _WORK_BITS bits behind the point."""
    return sum((1 << _WORK_BITS - k) // k for k in range(1, _WORK_BITS + 1))
