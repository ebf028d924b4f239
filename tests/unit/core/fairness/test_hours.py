"""Integrals by hour against a slow sum, and what is left between intervals."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fairness.hours import HourSums, Span, gaps
from scheduler.core.units import MS_PER_HOUR

H = MS_PER_HOUR
INTERVALS = st.lists(st.tuples(st.integers(0, 5 * H), st.integers(0, 5 * H), st.integers(1, 9)), max_size=8)


@pytest.mark.parametrize(
    ("since", "until", "edges"),
    [
        (H, 3 * H, (H, 2 * H, 3 * H)),
        (H + 5, 2 * H + 7, (H + 5, 2 * H, 2 * H + 7)),
        (H + 5, H + 9, (H + 5, H + 9)),
        (H - 1, H, (H - 1, H)),
    ],
)
def test_edges(since: int, until: int, edges: tuple[int, ...]) -> None:
    assert Span(since, until).edges == edges


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(ValueError, match="ends after it begins"):
        Span(5, 5)


@given(st.integers(0, 2 * H), st.integers(1, 4 * H), INTERVALS)
def test_sums_are_those_of_every_hour_alone(since: int, length: int, intervals: list[tuple[int, int, int]]) -> None:
    sums: HourSums[str] = HourSums(Span(since, since + length))
    for start, end, gpus in intervals:
        sums.add("x", start, end, gpus)
    edges = sums.edges
    slow = [
        sum(gpus * max(0, min(end, last) - max(start, first)) for start, end, gpus in intervals)
        for first, last in pairwise(edges)
    ]
    assert sums.of("x") == slow


def test_amounts_go_to_the_hour_of_their_instant() -> None:
    sums: HourSums[str] = HourSums(Span(H + 5, 3 * H))
    sums.put("x", H + 5, 7)
    sums.put("x", 2 * H - 1, 1)
    sums.put("x", 2 * H, 20)
    assert (sums.of("x"), sums.of("nobody"), len(sums)) == ([8, 20], [0, 0], 2)


@given(st.integers(0, 30), st.integers(0, 30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=5))
def test_gaps_are_what_nothing_takes(start: int, end: int, drawn: list[tuple[int, int]]) -> None:
    taken = [(min(pair), max(pair)) for pair in drawn]
    covered = {at for first, last in gaps(start, end, taken) for at in range(first, last)}
    assert covered == {at for at in range(start, end) if not any(first <= at < last for first, last in taken)}
