"""Indices and percentiles: tables with the arithmetic in the row, laws over generated values, a second writing."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fairness.indices import Percentile, gini, jain, lorenz, percentile, ppm, ratio_ppm

VALUES = st.lists(st.integers(0, 3_000_000), max_size=12)
WAITS = st.lists(st.integers(0, 50), max_size=12)

# values, Jain = (sum)^2 / (n x sum of squares), Gini = sum((2i - n - 1) x_i) / (n x sum)
INDICES = {
    "equal": ([7, 7, 7], "441 / (3 x 147) = 1", Fraction(1), "(-14 + 0 + 14) / (3 x 21) = 0", Fraction(0)),
    "one of four has all": ([0, 0, 0, 5], "25 / (4 x 25)", Fraction(1, 4), "15 / (4 x 5)", Fraction(3, 4)),
    "two of four": ([0, 0, 3, 3], "36 / (4 x 18)", Fraction(1, 2), "(3 + 9) / (4 x 6)", Fraction(1, 2)),
    "the record's example": (
        [1_000_000, 500_000, 750_000],
        "2.25^2 / (3 x 1.8125) = 5.0625 / 5.4375",
        Fraction(27, 29),
        "(-2 x 0.5 + 2 x 1.0) / (3 x 2.25) = 1 / 6.75",
        Fraction(4, 27),
    ),
    "one alone": ([9], "81 / (1 x 81)", Fraction(1), "0 / 9", Fraction(0)),
    "nobody": ([], "", None, "", None),
    "all received nothing": ([0, 0], "0 / 0", None, "0 / 0", None),
}


@pytest.mark.parametrize(("values", "_jain", "fair", "_gini", "unequal"), INDICES.values(), ids=INDICES)
def test_indices(values: list[int], _jain: str, fair: Fraction | None, _gini: str, unequal: Fraction | None) -> None:
    assert (jain(values), gini(values)) == (fair, unequal)


@given(VALUES.filter(any), st.integers(1, 1_000), st.randoms(use_true_random=False))
def test_laws_of_indices(values: list[int], factor: int, order: object) -> None:
    size, fair, unequal = len(values), jain(values), gini(values)
    assert fair is not None
    assert unequal is not None
    assert Fraction(1, size) <= fair <= 1
    assert 0 <= unequal <= Fraction(size - 1, size)
    scaled, mixed = [value * factor for value in values], list(values)
    order.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert (jain(scaled), gini(scaled)) == (jain(mixed), gini(mixed)) == (fair, unequal)
    assert (fair == 1) == (unequal == 0) == (len(set(values)) == 1)


@given(VALUES.filter(any))
def test_gini_is_the_mean_difference_and_the_area_beside_the_lorenz_curve(values: list[int]) -> None:
    size, total = len(values), sum(values)
    differences = sum(abs(one - other) for one in values for other in values)
    assert gini(values) == Fraction(differences, 2 * size * total)
    points = lorenz(values)
    under = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
    assert gini(values) == 1 - 2 * under


@given(VALUES.filter(any), st.integers(1, 12))
def test_a_grouped_lorenz_curve_has_points_of_the_whole_one(values: list[int], groups: int) -> None:
    whole, grouped = lorenz(values), lorenz(values, groups)
    assert set(grouped) <= set(whole)
    assert (grouped[0], grouped[-1]) == (whole[0], whole[-1])
    assert [sum(point) for point in (grouped[0], grouped[-1])] == [0, 2]
    assert len(grouped) == min(groups, len(values)) + 1


def test_a_lorenz_curve_of_nothing_is_empty() -> None:
    assert lorenz([]) == lorenz([0, 0]) == []


# ended, at least, percent, rank = ceil(percent x n / 100), what stands there
PERCENTILES = {
    "median of five": ([5, 1, 4, 2, 3], [], 50, "ceil(2.5) = 3rd of 1 2 3 4 5", Percentile(3)),
    "median of four": ([4, 3, 2, 1], [], 50, "2nd of 1 2 3 4", Percentile(2)),
    "95th of twenty": (list(range(1, 21)), [], 95, "19th of 1..20", Percentile(19)),
    "one": ([7], [], 95, "1st of 7", Percentile(7)),
    "longer waits do not matter": ([1, 2], [9, 9], 50, "2nd of 1 2 9 9; of 1 2 oo oo too", Percentile(2)),
    "an earlier one does": ([4, 5, 6], [1], 50, "2nd of 1 4 5 6 = 4; of 4 5 6 oo = 5", Percentile(4, True)),
    "equal ones do not": ([3, 3], [3], 50, "2nd of 3 3 3 = 3; of 3 3 oo = 3", Percentile(3)),
    "nobody has started": ([], [8, 2], 50, "1st of 2 8; of oo oo", Percentile(2, True)),
    "nobody": ([], [], 50, "", None),
}


@pytest.mark.parametrize(("over", "least", "percent", "_why", "expected"), PERCENTILES.values(), ids=PERCENTILES)
def test_percentiles(over: list[int], least: list[int], percent: int, _why: str, expected: Percentile | None) -> None:
    assert percentile(over, least, percent) == expected


@given(WAITS, WAITS, st.integers(1, 100), st.lists(st.integers(0, 60), min_size=12, max_size=12))
def test_a_percentile_bounds_whatever_the_open_waits_become(
    over: list[int], least: list[int], percent: int, more: list[int]
) -> None:
    found = percentile(over, least, percent)
    if found is None:
        assert not over
        assert not least
        return
    true = sorted([*over, *(wait + extra for wait, extra in zip(least, more, strict=False))])
    # By its definition: the smallest wait that so many percent of all do not exceed.
    value = next(wait for wait in true if sum(other <= wait for other in true) * 100 >= percent * len(true))
    assert found.wait_ms <= value
    if not found.at_least:
        assert found.wait_ms == value


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (1, 3, 333_333),
        (2, 3, 666_667),
        (1, 2_000_000, 1),
        (1, 2_000_001, 0),
        (3, 2, 1_500_000),
        (0, 5, 0),
        (5, 0, None),
    ],
)
def test_parts_per_million_are_rounded_half_up(part: int, whole: int, expected: int | None) -> None:
    assert ratio_ppm(part, whole) == expected
    if whole:
        assert ppm(Fraction(part, whole)) == expected
    assert ppm(None) is None
