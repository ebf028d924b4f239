"""A second way to the same numbers, sharing nothing with usage.py and rating.py: it counts instant by instant.

Usage: every step of time is looked at, and each rank's GPUs are counted where they are held and
where they are charged. Money: exact fractions, cut off at the end.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from scheduler.core.lifecycle import StopReason
from tests.unit.core.accounting.worlds import HOUR, Story

Buckets = Mapping[tuple[int, int], int]
"""(rank, start of the span) -> milli-GPU-milliseconds."""


def counted(told: Story, step: int, cuts: Sequence[int]) -> tuple[Buckets, Buckets]:
    """Held and billed usage by rank and span; all instants of the story and all cuts are multiples of ``step``."""
    first_hour = told.admitted // HOUR
    hours = [hour * HOUR for hour in range(first_hour, told.gone // HOUR + 1)]
    edges = sorted({told.admitted, *hours, *cuts})
    held: Counter[tuple[int, int]] = Counter()
    billed: Counter[tuple[int, int]] = Counter()
    everyone_runs = max(told.started) if 0 not in told.started else math.inf
    for now in range(told.admitted, told.gone, step):
        span = edges[bisect_right(edges, now) - 1]
        for rank, gpus in enumerate(told.gpus):
            held[rank, span] += gpus * 1_000 * step
            over = bool(told.ended[rank]) and now >= told.ended[rank]
            noticed = told.reason is StopReason.EVICT and bool(told.notice) and now >= told.notice
            if now >= everyone_runs and not over and not noticed:
                billed[rank, span] += gpus * 1_000 * step
    return held, billed


def won(billed_milli_gpu_ms: int, list_won: int, *factors_ppm: int) -> Fraction:
    """The exact price of usage in won: GPU-hours times list price times each factor."""
    amount = Fraction(billed_milli_gpu_ms, 1_000 * 3_600_000) * list_won
    for factor in factors_ppm:
        amount *= Fraction(factor, 1_000_000)
    return amount


def microwon(billed_milli_gpu_ms: int, list_won: int, *factors_ppm: int) -> int:
    """The same in whole micro-won, cut off."""
    return math.floor(won(billed_milli_gpu_ms, list_won, *factors_ppm) * 1_000_000)
