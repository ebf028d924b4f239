"""Billing calendars against the time zone database, and how periods follow each other."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scheduler.core.accounting.calendar import (
    EARLIEST_MS,
    boundaries,
    first_period,
    manual_end,
    manual_id,
    manual_number,
    month_bounds,
    month_of,
    next_period,
)
from scheduler.core.errors import InvariantBroken
from scheduler.core.records import PeriodRecord

SEOUL = ZoneInfo("Asia/Seoul")


def ms(year: int, month: int, day: int = 1, hour: int = 0) -> int:
    """Milliseconds of a local instant in Seoul, by the time zone database."""
    return int(datetime(year, month, day, hour, tzinfo=SEOUL).timestamp()) * 1_000


MONTHS = {
    "2026-11": ("2026-10-31T15:00:00", "2026-11-30T15:00:00"),
    "2026-12": ("2026-11-30T15:00:00", "2026-12-31T15:00:00"),
    "2028-02": ("2028-01-31T15:00:00", "2028-02-29T15:00:00"),
    "2100-02": ("2100-01-31T15:00:00", "2100-02-28T15:00:00"),
    "1990-01": ("1989-12-31T15:00:00", "1990-01-31T15:00:00"),
}


@pytest.mark.parametrize(("month", "bounds"), MONTHS.items(), ids=MONTHS.keys())
def test_a_korean_month(month: str, bounds: tuple[str, str]) -> None:
    expected = [int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000 for text in bounds]
    assert list(month_bounds(month)) == expected
    assert month_of(expected[0]) == month == month_of(expected[1] - 1)
    assert month_of(expected[1]) != month


def test_months_agree_with_the_time_zone_database(rng: random.Random) -> None:
    for _ in range(2_000):
        at_ms = rng.randrange(EARLIEST_MS, ms(2300, 1))
        local = datetime.fromtimestamp(at_ms / 1_000, SEOUL)
        month = month_of(at_ms)
        assert month == f"{local.year:04d}-{local.month:02d}"
        start_ms, end_ms = month_bounds(month)
        assert start_ms <= at_ms < end_ms
        assert start_ms == ms(local.year, local.month)


BAD_MONTHS = ["2026-13", "2026-00", "2026-1", "1989-12", "", "2026-11 ", "٢٠٢٦-11", "manual-0001"]


@pytest.mark.parametrize("text", BAD_MONTHS)
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match="not a month"):
        month_bounds(text)


def test_before_1990_is_refused() -> None:
    assert month_of(EARLIEST_MS) == "1990-01"
    with pytest.raises(ValueError, match="before 1990"):
        month_of(EARLIEST_MS - 1)
    with pytest.raises(ValueError, match="before 1990"):
        first_period("month", 0)


def test_months_follow_each_other_without_gap() -> None:
    period = first_period("month", ms(2026, 11, 17, 9))
    assert (period.id, period.start_ms, period.end_ms) == ("2026-11", ms(2026, 11), ms(2026, 12))
    for expected in ("2026-12", "2027-01", "2027-02"):
        following = next_period(period, "month")
        assert (following.id, following.start_ms) == (expected, period.end_ms)
        assert following.state == "open"
        period = following


def test_manual_periods_follow_each_other() -> None:
    period = first_period("manual", 5_000)
    assert period == PeriodRecord(id="manual-0001", calendar="manual", start_ms=5_000)
    following = next_period(replace(period, end_ms=9_000), "manual")
    assert following == PeriodRecord(id="manual-0002", calendar="manual", start_ms=9_000)


def test_a_calendar_may_change_at_a_period_end() -> None:
    manual = replace(first_period("manual", ms(2026, 11, 3)), end_ms=ms(2026, 11, 17, 12))
    rest = next_period(manual, "month")
    assert (rest.id, rest.start_ms, rest.end_ms) == ("2026-11", ms(2026, 11, 17, 12), ms(2026, 12, 1))
    assert next_period(rest, "month").id == "2026-12"
    again = next_period(rest, "manual", manual=2)
    assert next_period(rest, "manual").id == "manual-0001"
    assert again == PeriodRecord(id="manual-0002", calendar="manual", start_ms=ms(2026, 12, 1))


def test_no_period_follows_one_without_an_end() -> None:
    with pytest.raises(InvariantBroken):
        next_period(first_period("manual", 5_000), "manual")


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="choose month or manual"):
        first_period("week", ms(2026, 11, 3))


def test_manual_ids() -> None:
    assert [manual_id(1), manual_id(12_345)] == ["manual-0001", "manual-12345"]
    assert [manual_number("manual-0001"), manual_number("manual-12345")] == [1, 12_345]
    with pytest.raises(ValueError, match="numbered from 1"):
        manual_id(0)


@pytest.mark.parametrize("text", ["manual-1", "manual-00012", "manual-", "2026-11", "manual-0000"])
def test_what_is_no_manual_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"manual"):
        manual_number(text)


def test_fixed_ends_are_boundaries() -> None:
    first = PeriodRecord(id="manual-0001", calendar="manual", start_ms=1, end_ms=9)
    second = PeriodRecord(id="manual-0002", calendar="manual", start_ms=9)
    assert boundaries([second, first, first]) == (9,)
    assert boundaries([replace(second, end_ms=100), first]) == (9, 100)


def test_a_manual_period_ends_after_all_that_was_observed() -> None:
    period = PeriodRecord(id="manual-0001", calendar="manual", start_ms=1_000)
    assert manual_end(period, 5_000, [4_000, 4_999]) == 5_000
    assert manual_end(period, 5_000, [4_000, 5_003]) == 5_003, "a cluster's clock runs ahead"
    assert manual_end(period, 5_000, []) == 5_000
    assert manual_end(period, 900, []) == 1_001, "the clock of the control plane was set back"
