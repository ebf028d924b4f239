"""Billing calendars: Asia/Seoul months (``2026-11``) and periods closed by hand (``manual-0001``).

Periods follow each other without gap or overlap: a period's end is the next one's start. A month
always ends at a Korean month's end, so an id can never be needed twice when the calendar changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scheduler.core.errors import invariant
from scheduler.core.instants import KST_OFFSET_MS, MS_PER_DAY, date_of, days_of
from scheduler.core.records import PeriodRecord

MONTH = "month"
MANUAL = "manual"
CALENDARS = (MONTH, MANUAL)
# UTC+9 without daylight saving holds since 1988-10-09; before this instant months are refused.
EARLIEST_MS = (days_of(1990, 1, 1) * MS_PER_DAY) - KST_OFFSET_MS

_MONTH_ID = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])\Z")
_MANUAL_ID = re.compile(r"manual-([0-9]{4,9})\Z")


def month_bounds(month_id: str) -> tuple[int, int]:
    """[start, end) of a Korean month such as ``2026-11`` in milliseconds; raises ValueError before 1990."""
    match = _MONTH_ID.match(month_id)
    if match is None or int(match[1]) < 1990:
        raise ValueError(f"not a month from 1990-01 on, such as 2026-11: {month_id!r}")
    year, month = int(match[1]), int(match[2])
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return _month_start_ms(year, month), _month_start_ms(*following)


def month_of(at_ms: int) -> str:
    """The Korean month that holds an instant; raises ValueError before 1990-01-01T00:00+09:00."""
    if at_ms < EARLIEST_MS:
        raise ValueError(f"instant {at_ms} is before 1990-01-01T00:00:00+09:00")
    year, month, _ = date_of((at_ms + KST_OFFSET_MS) // MS_PER_DAY)
    return f"{year:04d}-{month:02d}"


def manual_id(number: int) -> str:
    """Id of the number-th period closed by hand: 1 -> ``manual-0001``; raises ValueError below 1."""
    if number < 1:
        raise ValueError(f"manual periods are numbered from 1: {number}")
    return f"manual-{number:04d}"


def manual_number(period_id: str) -> int:
    """Number of a manual period's id; raises ValueError for any other id."""
    match = _MANUAL_ID.match(period_id)
    if match is None or manual_id(int(match[1])) != period_id:
        raise ValueError(f"not the id of a manual period, such as manual-0001: {period_id!r}")
    return int(match[1])


def first_period(calendar: str, at_ms: int) -> PeriodRecord:
    """The period to open when there is none: the whole month around ``at_ms``, or manual-0001 from ``at_ms``.

    Raises ValueError for an unknown calendar or an instant before 1990.
    """
    start_ms = month_bounds(month_of(at_ms))[0] if calendar == MONTH else at_ms
    return _opened(calendar, start_ms, 1)


def next_period(previous: PeriodRecord, calendar: str, *, manual: int = 0) -> PeriodRecord:
    """The period after a closing one: it starts where ``previous`` ends and follows ``calendar``.

    manual: number for a manual period after a month; after a manual one 0 means the next number. A
    month after a manual period runs from there to that month's end. Raises ValueError as ``first_period``.
    """
    invariant(previous.end_ms > previous.start_ms, "a period has an end before the next one opens")
    number = manual or (manual_number(previous.id) + 1 if previous.calendar == MANUAL else 1)
    return _opened(calendar, previous.end_ms, number)


def boundaries(periods: Iterable[PeriodRecord]) -> tuple[int, ...]:
    """Every fixed end of these periods, in order: the instants at which slices must be cut besides full hours."""
    return tuple(sorted({period.end_ms for period in periods if period.end_ms}))


def manual_end(period: PeriodRecord, now_ms: int, observed_through_ms: Iterable[int]) -> int:
    """Where a manual period ends that is closed now: not before anything that may be in a posted slice already.

    observed_through_ms: of every cluster. An earlier end would have to cut a posted slice (docs/decisions/0002).
    """
    return max(now_ms, period.start_ms + 1, *observed_through_ms)


def _opened(calendar: str, start_ms: int, number: int) -> PeriodRecord:
    if calendar == MONTH:
        month_id = month_of(start_ms)
        return PeriodRecord(id=month_id, calendar=MONTH, start_ms=start_ms, end_ms=month_bounds(month_id)[1])
    if calendar == MANUAL:
        return PeriodRecord(id=manual_id(number), calendar=MANUAL, start_ms=start_ms)
    raise ValueError(f"unknown billing calendar {calendar!r}; choose {' or '.join(CALENDARS)}")


def _month_start_ms(year: int, month: int) -> int:
    return days_of(year, month, 1) * MS_PER_DAY - KST_OFFSET_MS
