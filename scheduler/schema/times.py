"""Instants and durations as text: RFC 3339 on the wire, Korean time and short spans for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from scheduler.core.units import MS_PER_HOUR, MS_PER_SECOND

KST = timezone(timedelta(hours=9), "KST")
"""Korean time; it has had no summer time since 1988."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
"""Latest instant that is read: its text fits four digits of a year in every time zone."""

_MS = timedelta(milliseconds=1)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))\Z", re.ASCII
)
_MS_PER_MINUTE = 60 * MS_PER_SECOND


def rfc3339(at_ms: int) -> str:
    """UTC with milliseconds: ``2026-12-01T00:00:00.000Z``; raises OverflowError after the year 9999."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % MS_PER_SECOND:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Milliseconds since 1970 of ``2026-12-01T00:00:00+09:00``; an offset is required.

    Digits after the millisecond are dropped. Raises ValueError, also before 1970 and in the last days of 9999.
    """
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"not an instant such as 2026-12-01T00:00:00+09:00: {text!r}")
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    offset = timedelta(0)
    if not match[8]:
        offset_hours, offset_minutes = int(match[10]), int(match[11])
        if offset_hours > 23 or offset_minutes > 59:
            raise ValueError(f"no such offset from UTC: {text!r}")
        offset = timedelta(hours=offset_hours, minutes=offset_minutes) * (-1 if match[9] == "-" else 1)
    local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    part_ms = int((match[7] or "0").ljust(3, "0")[:3])
    at_ms = (local - _EPOCH - offset) // _MS + part_ms
    if not 0 <= at_ms <= LATEST_MS:
        raise ValueError(f"not between 1970 and 9999: {text!r}")
    return at_ms


def local_text(at_ms: int, zone: tzinfo = KST) -> str:
    """For people, to the minute, with the zone's name: ``2026-12-01 09:00 KST``."""
    at = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    return f"{at:%Y-%m-%d %H:%M} {at.tzname()}"


def span_text(duration_ms: int) -> str:
    """A duration for people by its two largest units: ``3d 04h``, ``1h 02m``, ``4m 09s``, ``12s``, ``0s``."""
    sign = "-" if duration_ms < 0 else ""
    seconds = abs(duration_ms) // MS_PER_SECOND
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hour:02d}h"
    if hours:
        return f"{sign}{hours}h {minute:02d}m"
    if minutes:
        return f"{sign}{minutes}m {second:02d}s"
    return f"{sign if seconds else ''}{seconds}s"


def clock_duration_text(text: str) -> str:
    """``12:30:00`` or ``1:30`` (hours and minutes) as a duration that is read (``12h``, ``90m``); "" if it is none."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        return ""
    hours, minutes, seconds = (int(part) for part in [*parts, "0"][:3])
    total_ms = hours * MS_PER_HOUR + minutes * _MS_PER_MINUTE + seconds * MS_PER_SECOND
    for unit_ms, unit in ((MS_PER_HOUR, "h"), (_MS_PER_MINUTE, "m")):
        if total_ms and total_ms % unit_ms == 0:
            return f"{total_ms // unit_ms}{unit}"
    return f"{total_ms // MS_PER_SECOND}s"
