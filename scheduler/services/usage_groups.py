"""Grouping usage: by which of its properties it is added up, and on which day it lies."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from scheduler.core.model import Tier
from scheduler.services.submit import Invalid

GROUPS = ("project", "user", "flavor", "tier", "day")
DEFAULT_BY = ("project", "user", "flavor", "tier")
DEFAULT_ZONE = "Asia/Seoul"
NOT_VALID = "DURE-1040"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

Key = tuple[str, ...]
"""Organisation, then one value for each property of GROUPS; "" for those by which it is not grouped."""


class Used(Protocol):
    """What usage is of: a slice or an attempt."""

    @property
    def org(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def flavor(self) -> str: ...
    @property
    def tier(self) -> Tier: ...


def groups_of(text: str) -> tuple[str, ...]:
    """The properties of a text such as ``project,day``, in its order; raises Invalid for others and for doubles."""
    names = tuple(part.strip() for part in text.split(",")) if text else DEFAULT_BY
    if len(set(names)) < len(names) or not set(names) <= set(GROUPS):
        raise Invalid(NOT_VALID, "by names each of project, user, flavor, tier and day at most once", "by=project,day")
    return names


class Days:
    """Days of a time zone, as dates; each hour is looked up once."""

    def __init__(self, zone: str = DEFAULT_ZONE) -> None:
        self._zone = zoneinfo.ZoneInfo(zone)
        self._known: dict[int, str] = {}

    def of(self, at_ms: int) -> str:
        """The day on which an instant lies. A slice lies on the day of its start: slices end with each hour."""
        found = self._known.get(at_ms)
        if found is None:
            found = self._known[at_ms] = f"{self._local(at_ms):%Y-%m-%d}"
        return found

    def parts(self, start_ms: int, end_ms: int) -> Iterator[tuple[str, int]]:
        """(day, milliseconds) of a time, day by day."""
        at_ms = start_ms
        while at_ms < end_ms:
            until_ms = min(end_ms, self._next_midnight(at_ms))
            yield self.of(at_ms), until_ms - at_ms
            at_ms = until_ms

    def _local(self, at_ms: int) -> datetime:
        return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(self._zone)

    def _next_midnight(self, at_ms: int) -> int:
        today = self._local(at_ms).replace(hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None)
        following = (today + timedelta(days=1)).replace(tzinfo=self._zone)
        # Where a clock is put back over midnight, the same local time comes twice: never stand still.
        return max(at_ms + 1, (following.astimezone(UTC) - _EPOCH) // _MS)


def key_maker(by: Sequence[str]) -> Callable[[Used, str], Key]:
    """From what was used, and its day, to the key of its group."""
    wanted = frozenset(by)

    def key(used: Used, day: str) -> Key:
        whose = (used.org, used.project) if "project" in wanted else ("", "")
        user = used.user if "user" in wanted else ""
        flavor = used.flavor if "flavor" in wanted else ""
        return (*whose, user, flavor, str(used.tier) if "tier" in wanted else "", day if "day" in wanted else "")

    return key


def sort_key(by: Sequence[str]) -> Callable[[Key], Key]:
    """Keys in the order in which the groups were asked for; projects by organisation first."""
    places = [place for name in by for place in ((0, 1) if name == "project" else (GROUPS.index(name) + 1,))]
    return lambda key: tuple(key[place] for place in places)
