"""Instants as text, against the standard library's calendar."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from scheduler.core.instants import (
    date_of,
    days_of,
    kst_date,
    parse_rfc3339,
    rfc3339_kst,
    rfc3339_utc,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00Z
LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


def text_of(at_ms: int, zone: timezone) -> str:
    """What the standard library writes."""
    at = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_random_instants_are_written_and_read_as_the_standard_library_does(rng: random.Random) -> None:
    kst = timezone(timedelta(hours=9))
    for _ in range(5_000):
        at_ms = rng.randrange(FIRST_MS, LAST_MS - 9 * 3_600_000)
        assert rfc3339_utc(at_ms) == text_of(at_ms, UTC)
        assert rfc3339_kst(at_ms) == text_of(at_ms, kst)
        assert kst_date(at_ms) == text_of(at_ms, kst)[:10]
        assert parse_rfc3339(rfc3339_utc(at_ms)) == at_ms == parse_rfc3339(rfc3339_kst(at_ms))


def test_random_offsets_are_read(rng: random.Random) -> None:
    for _ in range(2_000):
        zone = timezone(timedelta(minutes=rng.randrange(-1_439, 1_440)))
        at = datetime(rng.randrange(2, 9_999), rng.randrange(1, 13), rng.randrange(1, 29), 23, 59, 58, tzinfo=zone)
        assert parse_rfc3339(at.isoformat()) == (at - EPOCH) // timedelta(milliseconds=1)


def test_every_day_of_four_centuries() -> None:
    first = date(1890, 1, 1)
    for count in range(400 * 366):
        day = first + timedelta(days=count)
        days = (day - date(1970, 1, 1)).days
        assert date_of(days) == (day.year, day.month, day.day)
        assert days_of(day.year, day.month, day.day) == days


READ = {
    "2026-11-30T15:00:00Z": 1_796_050_800_000,
    "2026-12-01T00:00:00+09:00": 1_796_050_800_000,
    "2026-12-01t00:00:00.000000000+09:00": 1_796_050_800_000,
    "2026-11-30T15:00:00.5z": 1_796_050_800_500,
    "2026-11-30T15:00:00.123999Z": 1_796_050_800_123,
    "1969-12-31T23:59:59.999Z": -1,
    "0001-01-01T00:00:00Z": FIRST_MS,
    "9999-12-31T23:59:59.999Z": LAST_MS,
}


@pytest.mark.parametrize(("text", "at_ms"), READ.items(), ids=READ.keys())
def test_read(text: str, at_ms: int) -> None:
    assert parse_rfc3339(text) == at_ms


REFUSED = [
    "2026-11-30",
    "2026-11-30T15:00:00",
    "2026-11-30 15:00:00Z",
    "2026-11-30T15:00Z",
    "2026-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-11-31T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "2026-11-30T24:00:00Z",
    "2026-11-30T23:60:00Z",
    "2016-12-31T23:59:60Z",
    "2026-11-30T15:00:00+24:00",
    "2026-11-30T15:00:00+09:60",
    "2026-11-30T15:00:00+0900",
    "2026-11-30T15:00:00.Z",
    "2026-11-30T15:00:00.1234567890Z",
    "2026-11-30T15:00:00Z\n",
    "٢٠٢٦-11-30T15:00:00Z",
    "",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an RFC 3339 instant|no such date|no such time of day"):
        parse_rfc3339(text)


@pytest.mark.parametrize("at_ms", [FIRST_MS - 1, LAST_MS + 1, 10**18])
def test_outside_the_calendar(at_ms: int) -> None:
    with pytest.raises(ValueError, match="outside the years"):
        rfc3339_utc(at_ms)
