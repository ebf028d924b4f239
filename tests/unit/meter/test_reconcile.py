"""The ledger against Prometheus: counters that restart, begin late or have holes; tolerances; step sizes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from scheduler.core.units import MILLI_GPU_MS_PER_GPU_HOUR, MS_PER_HOUR
from scheduler.meter.promql import POINTS_MAX, Series
from scheduler.meter.reconcile import GapLine, compare, gap_findings, growth, seen_by_org, step_ms

HOUR = MILLI_GPU_MS_PER_GPU_HOUR


def series(*values: str, org: str = "alpha", from_ms: int = 0) -> Series:
    """A counter with a point each second from ``from_ms`` on; "" is a hole."""
    points = tuple((from_ms + 1_000 * at, Decimal(value)) for at, value in enumerate(values) if value)
    return Series({"org": org}, points)


@pytest.mark.parametrize(
    ("values", "from_ms", "total"),
    [
        (("5", "7", "9"), 0, "4"),  # there before: only the rise counts, 9 - 5
        (("5", "7", "9"), 1_000, "9"),  # began after the start of the window, from 0
        (("5", "9", "2", "4"), 0, "8"),  # restarted: 4 + 2 + 2
        (("5", "", "", "8"), 0, "3"),  # a hole
        (("0", "0"), 0, "0"),
        (("0.5",), 2_000, "0.5"),
        ((), 0, "0"),
    ],
)
def test_growth_of_a_counter(values: tuple[str, ...], from_ms: int, total: str) -> None:
    assert growth(series(*values, from_ms=from_ms).points, since_ms=0) == Decimal(total)


def test_organisations_are_summed_over_their_series() -> None:
    found = seen_by_org([series("1", "3"), series("0", "0.5"), series("2", "2", org="beta")], since_ms=0)
    assert found == {"alpha": 2_500_000, "beta": 0}


@pytest.mark.parametrize(
    ("ledger", "seen", "holds"),
    [
        (0, 0, True),
        (HOUR // 10, 0, True),  # 0.1 GPU-hours is always allowed
        (HOUR // 10 + 1, 0, False),
        (0, HOUR // 10 + 1, False),
        (100 * HOUR, 99 * HOUR, True),  # 1 % of the larger side
        (100 * HOUR, 99 * HOUR - 1, False),
        (99 * HOUR, 100 * HOUR, True),
        (99 * HOUR - 1, 100 * HOUR, False),
    ],
)
def test_tolerance(ledger: int, seen: int, holds: bool) -> None:
    (line,) = compare({"alpha": ledger}, {"alpha": seen})
    assert line.holds is holds
    assert [finding.where for finding in gap_findings([line])] == ([] if holds else ["alpha"])


def test_both_sides_are_listed() -> None:
    assert compare({"b": 1}, {"a": 2}) == [GapLine("a", 0, 2), GapLine("b", 1, 0)]
    finding = gap_findings([GapLine("a", 2 * HOUR, HOUR)])[0]
    assert finding.code == "DURE-6040"
    assert "2.000 GPU-hours" in finding.message
    assert "1.000" in finding.message


@pytest.mark.parametrize("hours", [0, 1, 3, 24, 24 * 31, 24 * 366])
def test_steps_are_whole_seconds_and_few_enough(hours: int) -> None:
    step = step_ms(0, hours * MS_PER_HOUR)
    assert step % 1_000 == 0
    assert step >= 1_000
    assert hours * MS_PER_HOUR // step < POINTS_MAX
    assert step == 1_000 or hours * MS_PER_HOUR // (step - 1_000) >= POINTS_MAX - 1
