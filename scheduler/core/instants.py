"""Instants as text and back, in whole numbers: RFC 3339 in UTC and in Korea Standard Time.

An instant is milliseconds since 1970-01-01T00:00:00Z. Korea Standard Time has been UTC+9 without
daylight saving since 1988-10-09, so it is an addition here and needs no time zone database.
"""

from __future__ import annotations

import re

from scheduler.core.units import AtMs

MS_PER_DAY = 86_400_000
KST_OFFSET_MS = 9 * 3_600_000
YEAR_MAX = 9_999

_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_RFC3339 = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<part>[0-9]{1,9}))?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<zone_hours>[0-9]{2}):(?P<zone_minutes>[0-9]{2}))\Z"
)


def days_of(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar; raises ValueError when there is no such date."""
    if not 1 <= year <= YEAR_MAX or not 1 <= month <= 12 or not 1 <= day <= _days_in(year, month):
        raise ValueError(f"no such date: {year:04d}-{month:02d}-{day:02d}")
    leap_day = 1 if month > 2 and _is_leap(year) else 0
    return _days_before_year(year) - _EPOCH_DAYS + _DAYS_BEFORE_MONTH[month - 1] + leap_day + day - 1


def date_of(days: int) -> tuple[int, int, int]:
    """(year, month, day) that many days after 1970-01-01; raises ValueError outside the years 1 to 9999."""
    since_year_one = days + _EPOCH_DAYS
    # 400 years are 146,097 days; the estimate is right or one year late.
    year = since_year_one * 400 // 146_097 + 1
    if _days_before_year(year) > since_year_one:
        year -= 1
    if _days_before_year(year + 1) <= since_year_one:
        year += 1
    if not 1 <= year <= YEAR_MAX:
        raise ValueError(f"day {days} is outside the years 1 to {YEAR_MAX}")
    rest = since_year_one - _days_before_year(year)
    month = 1
    while rest >= _days_in(year, month):
        rest -= _days_in(year, month)
        month += 1
    return year, month, rest + 1


def rfc3339_utc(at_ms: int) -> str:
    """``2026-11-30T15:00:00.000Z``: always milliseconds, so equal instants are equal texts; raises ValueError."""
    return _rendered(at_ms) + "Z"


def rfc3339_kst(at_ms: int) -> str:
    """The same instant on a Korean clock: ``2026-12-01T00:00:00.000+09:00``; raises ValueError."""
    return _rendered(at_ms + KST_OFFSET_MS) + "+09:00"


def kst_date(at_ms: int) -> str:
    """The Korean calendar date of an instant: ``2026-12-01``; raises ValueError."""
    year, month, day = date_of((at_ms + KST_OFFSET_MS) // MS_PER_DAY)
    return f"{year:04d}-{month:02d}-{day:02d}"


def parse_rfc3339(text: str) -> AtMs:
    """The instant of an RFC 3339 text with ``Z`` or an offset; what is finer than a millisecond is cut off.

    Leap seconds (``:60``) are refused, as no clock here can count them. Raises ValueError.
    """
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 instant such as 2026-11-30T15:00:00Z: {text!r}")
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    zone_hours, zone_minutes = int(match["zone_hours"] or 0), int(match["zone_minutes"] or 0)
    if hour > 23 or minute > 59 or second > 59 or zone_hours > 23 or zone_minutes > 59:
        raise ValueError(f"no such time of day: {text!r}")
    days = days_of(int(match["year"]), int(match["month"]), int(match["day"]))
    part_ms = int((match["part"] or "0").ljust(3, "0")[:3])
    local_ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + part_ms
    offset_ms = (zone_hours * 60 + zone_minutes) * 60_000
    return AtMs(local_ms + offset_ms if match["sign"] == "-" else local_ms - offset_ms)


def _rendered(local_ms: int) -> str:
    days, ms_of_day = divmod(local_ms, MS_PER_DAY)
    year, month, day = date_of(days)
    seconds, ms = divmod(ms_of_day, 1_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}"


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in(year: int, month: int) -> int:
    return 29 if month == 2 and _is_leap(year) else _MONTH_DAYS[month - 1]


def _days_before_year(year: int) -> int:
    """Days from 0001-01-01 to the first day of ``year``."""
    before = year - 1
    return 365 * before + before // 4 - before // 100 + before // 400


_EPOCH_DAYS = _days_before_year(1970)
