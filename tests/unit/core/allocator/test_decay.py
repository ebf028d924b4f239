"""The decay table is exact, and an interval weighs what its hours weigh."""

from __future__ import annotations

import random

import pytest

from scheduler.core.allocator.decay import HOURS_MAX, SCALE_BITS, DecayTable, decay_table
from scheduler.core.errors import InvariantBroken
from scheduler.core.units import MS_PER_HOUR

DAY_MS = 24 * MS_PER_HOUR
WEEK = decay_table(7 * DAY_MS)


def test_every_weight_is_the_nearest_integer() -> None:
    """w = round(2^32 x 2^(-k/168)) iff (2w - 1)^168 <= (2 x 2^32)^168 / 2^k <= (2w + 1)^168."""
    for age in range(0, len(WEEK.weights), 11):
        twice, whole = 2 * WEEK.weights[age], 1 << (SCALE_BITS + 1) * 168 - age
        assert (twice - 1) ** 168 <= whole <= (twice + 1) ** 168, age


CASES = {  # half-life in ms, {age in hours: weight}
    "after one half-life a half, after two a quarter": (7 * DAY_MS, {0: 2**32, 168: 2**31, 336: 2**30}),
    "an hour": (MS_PER_HOUR, {0: 2**32, 1: 2**31, 31: 2, 32: 1, 33: 1}),  # 2^-33 x 2^32 = 0.5 rounds up
    "90 minutes: three hours are two half-lives": (90 * 60_000, {0: 2**32, 3: 2**30, 6: 2**28}),
    "a millisecond: only the present hour": (1, {0: 2**32}),
    "ten years: next to no decay": (3650 * DAY_MS, {0: 2**32, 1: 4294933312}),  # 2^32 x 2^(-1/87600)
}


@pytest.mark.parametrize(("half_life_ms", "weights"), CASES.values(), ids=CASES.keys())
def test_known_weights(half_life_ms: int, weights: dict[int, int]) -> None:
    table = decay_table(half_life_ms)
    assert {age: table.weights[age] for age in weights} == weights


@pytest.mark.parametrize(
    ("half_life_ms", "hours"), [(1, 1), (MS_PER_HOUR, 34), (7 * DAY_MS, 5544), (3650 * DAY_MS, HOURS_MAX)]
)
def test_the_table_ends_where_nothing_counts(half_life_ms: int, hours: int) -> None:
    """2^32 x 2^(-k/168) < 1/2 from k > 33 x 168 = 5544 on."""
    table = decay_table(half_life_ms)
    assert len(table.weights) == hours
    assert table.weight(hours) == 0
    assert table.weight(-1) == 0
    assert list(table.weights) == sorted(table.weights, reverse=True)


def test_no_half_life_is_refused() -> None:
    with pytest.raises(InvariantBroken):
        decay_table(0)


def hour_by_hour(table: DecayTable, start_ms: int, end_ms: int) -> int:
    """The same interval cut into hours, each weighed by its age in the hour of the end."""
    total, now = 0, end_ms // MS_PER_HOUR
    while start_ms < end_ms:
        hour = start_ms // MS_PER_HOUR
        cut = min(end_ms, (hour + 1) * MS_PER_HOUR)
        total += (cut - start_ms) * table.weight(now - hour)
        start_ms = cut
    return total


@pytest.mark.parametrize("half_life_ms", [90 * 60_000, DAY_MS, 7 * DAY_MS])
def test_an_interval_weighs_what_its_hours_weigh(half_life_ms: int, rng: random.Random) -> None:
    table = decay_table(half_life_ms)
    lengths = [0, 1, MS_PER_HOUR - 1, MS_PER_HOUR, MS_PER_HOUR + 1, 3 * DAY_MS]
    for _ in range(200):
        start_ms = rng.choice((rng.randrange(10**13), rng.randrange(10**6) * MS_PER_HOUR))
        end_ms = start_ms + rng.choice([*lengths, rng.randrange(60 * DAY_MS)])
        assert table.held(start_ms, end_ms) == hour_by_hour(table, start_ms, end_ms)


def test_an_interval_that_ends_before_it_starts_weighs_nothing() -> None:
    assert WEEK.held(10, 9) == 0


def test_held_always_is_the_full_average() -> None:
    """One GPU held for as long as the table is long: numerator and denominator agree but for the present hour."""
    end_ms = 10_000 * MS_PER_HOUR
    assert WEEK.held(0, end_ms) == WEEK.full - WEEK.weights[0] * MS_PER_HOUR
