"""Jain's index, Gini's coefficient, the Lorenz curve and percentiles, exactly, over whole numbers.

``values`` are what each organisation received of what it was entitled to, in parts per million, none negative.
An index of nobody, or of people who all received nothing, does not exist: None, never a made-up number.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from scheduler.core.units import PPM_ONE


class Percentile(NamedTuple):
    """A wait in milliseconds; ``at_least``: some waits are not over, and the true value may be larger."""

    wait_ms: int
    at_least: bool = False


def jain(values: Sequence[int]) -> Fraction | None:
    """(sum x)^2 / (n sum x^2): 1 where all have the same, k/n where k of n share everything evenly (Jain 1984)."""
    squares = sum(value * value for value in values)
    return Fraction(sum(values) ** 2, len(values) * squares) if squares else None


def gini(values: Sequence[int]) -> Fraction | None:
    """Mean difference of two organisations over twice the mean: 0 where all have the same, (n-1)/n where one has all.

    With the values in ascending order it is sum((2i - n - 1) x_i) / (n sum x), i from 1.
    """
    total, size = sum(values), len(values)
    if not total:
        return None
    return Fraction(sum((2 * rank - size - 1) * value for rank, value in enumerate(sorted(values), 1)), size * total)


def lorenz(values: Sequence[int], groups: int = 0) -> list[tuple[Fraction, Fraction]]:
    """Points (part of the organisations, part of what all received) from (0, 0) to (1, 1), the worst served first.

    groups: join neighbours into so many groups of nearly equal size; 0 gives every organisation its point. Empty where
    nobody received anything.
    """
    total, size = sum(values), len(values)
    if not total:
        return []
    sums = [0, *accumulate(sorted(values))]
    count = min(groups, size) if groups else size
    ends = [size * number // count for number in range(count + 1)]
    return [(Fraction(end, size), Fraction(sums[end], total)) for end in ends]


def percentile(over: Sequence[int], at_least: Sequence[int], percent: int) -> Percentile | None:
    """The nearest-rank percentile of waits: the smallest one that so many percent of all waits do not exceed.

    over: waits that have ended. at_least: waits that go on, or were given up, each as long as it was seen. Put in as
    they are they give the least that the percentile can be, put in as endless the most; where both are the same it is
    exact. None without any wait. percent: 1 to 100.
    """
    size = len(over) + len(at_least)
    if not size:
        return None
    rank = -(-percent * size // 100)
    ended = sorted(over)
    least = sorted((*over, *at_least))[rank - 1]
    return Percentile(least, rank > len(ended) or ended[rank - 1] != least)


def ppm(value: Fraction | None) -> int | None:
    """Parts per million, rounded half up; None stays None."""
    return None if value is None else ratio_ppm(value.numerator, value.denominator)


def ratio_ppm(part: int, whole: int) -> int | None:
    """``part`` of ``whole`` in parts per million, rounded half up; None of nothing."""
    return (2 * part * PPM_ONE + whole) // (2 * whole) if whole else None
