"""Usage by any groups: every grouping is a partition of the same usage, and days are those of the policy's zone."""

from __future__ import annotations

import itertools
import zoneinfo

import pytest

from scheduler.core.instants import kst_date, parse_rfc3339
from scheduler.core.records import SliceRecord
from scheduler.core.units import MS_PER_HOUR
from scheduler.services import usage_views
from scheduler.services.submit import Invalid
from scheduler.services.usage_groups import DEFAULT_BY, GROUPS, Days, groups_of
from scheduler.services.usage_views import UsageAnswer, UsageScope
from tests.support.control_plane import ControlPlane

DAY = 24 * MS_PER_HOUR
SUMS = ("held_milli_gpu_ms", "billed_milli_gpu_ms", "posted_microwon", "unposted_milli_gpu_ms")
SUBSETS = [by for size in (1, 2, 3, 5) for by in itertools.combinations(GROUPS, size)]


@pytest.fixture
def busy(plane: ControlPlane) -> ControlPlane:
    """Three jobs of two organisations over a Korean midnight, one of which still runs, part of it not posted."""
    plane.now_ms = parse_rfc3339("2026-09-22T22:10:00+09:00")
    first = plane.started(gpus="h100:2", time_seconds=7_200)
    plane.started("stranger", project="uni/vision", tiers=["borrow"], time_seconds=7_200)
    plane.pass_ms(100 * 60_000)  # 23:50
    plane.ended(first)
    plane.settle()
    plane.started("colleague", time_seconds=7_200)
    plane.pass_ms(30 * 60_000)  # 00:20
    plane.report()
    plane.settle()
    return plane


def asked(plane: ControlPlane, *by: str, zone: str = "Asia/Seoul") -> UsageAnswer:
    """All usage up to now, as the administrator sees it."""
    scope = UsageScope(plane.now_ms - 30 * DAY, plane.now_ms + 1)
    with plane.store.read() as view:
        return usage_views.usage_by(view, plane.actor(), scope, plane.now_ms, by, zone)


@pytest.mark.parametrize("by", SUBSETS, ids=",".join)
def test_every_grouping_adds_up_to_the_same(busy: ControlPlane, by: tuple[str, ...]) -> None:
    found, whole = asked(busy, *by), asked(busy, *GROUPS)
    assert found.totals == whole.totals
    for name in SUMS:
        assert sum(getattr(line, name) for line in found.lines) == getattr(found.totals, name) > 0
    assert found.totals.jobs == 3
    keys = [(line.org, line.project, line.user, line.flavor, line.tier, line.day) for line in found.lines]
    assert len(set(keys)) == len(keys)
    for line in found.lines:
        assert all(bool(getattr(line, name)) == (name in by) for name in GROUPS)
        assert bool(line.org) == ("project" in by)


def test_days_are_korean_and_exact(busy: ControlPlane) -> None:
    """Two GPUs 22:10-23:50 are 200 GPU-minutes; one 22:10-00:20 is 110 and 20; one 23:50-00:20 is 10 and 20."""
    minute = 60_000 * 1_000
    lines = {line.day: line for line in asked(busy, "day").lines}
    assert {day: (line.held_milli_gpu_ms + line.unposted_milli_gpu_ms) // minute for day, line in lines.items()} == {
        "2026-09-22": 200 + 110 + 10,
        "2026-09-23": 20 + 20,
    }
    assert (lines["2026-09-22"].unposted_milli_gpu_ms, lines["2026-09-23"].held_milli_gpu_ms) == (0, 0)
    assert [line.day for line in asked(busy, "day", zone="UTC").lines] == ["2026-09-22"]


def test_time_that_is_not_posted_is_split_at_midnight(plane: ControlPlane) -> None:
    plane.now_ms = parse_rfc3339("2026-09-22T23:10:00+09:00")
    plane.started(time_seconds=7_200)
    plane.pass_ms(90 * 60_000)
    assert {line.day: line.unposted_milli_gpu_ms for line in asked(plane, "day").lines} == {
        "2026-09-22": 50 * 60_000 * 1_000,
        "2026-09-23": 40 * 60_000 * 1_000,
    }


def test_the_order_of_the_groups_is_that_of_the_question(busy: ControlPlane) -> None:
    by_user = [(line.user, line.day) for line in asked(busy, "user", "day").lines]
    by_day = [(line.day, line.user) for line in asked(busy, "day", "user").lines]
    assert by_user == sorted(by_user) and by_day == sorted(by_day)
    assert {(user, day) for day, user in by_day} == set(by_user)


def test_without_groups_it_is_as_it_always_was(busy: ControlPlane) -> None:
    scope = UsageScope(busy.now_ms - 30 * DAY, busy.now_ms + 1)
    with busy.store.read() as view:
        lines = usage_views.usage(view, busy.actor(), scope, busy.now_ms)
    assert lines == asked(busy, *DEFAULT_BY).lines
    assert groups_of("") == DEFAULT_BY


def test_a_tenant_sees_its_own_sums_only(busy: ControlPlane) -> None:
    scope = UsageScope(busy.now_ms - 30 * DAY, busy.now_ms + 1)
    with busy.store.read() as view:
        found = usage_views.usage_by(view, busy.actor("stranger"), scope, busy.now_ms, ("flavor",))
    assert found.totals.jobs == 1
    slices = busy.rows(SliceRecord, ("org", "=", "uni"))
    assert found.totals.held_milli_gpu_ms == sum(row.held_milli_gpu_ms for row in slices)


@pytest.mark.parametrize("text", ["nothing", "day,day", "project,,day", "DAY", ","])
def test_groups_that_are_none(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        groups_of(text)
    assert refused.value.code == "DURE-1040"


@pytest.mark.parametrize("zone", ["Asia/Seoul", "UTC", "America/New_York", "Asia/Kolkata", "America/Santiago"])
def test_the_parts_of_a_year_are_its_days(zone: str) -> None:
    """Also where clocks are put forward or back at midnight (Santiago)."""
    days, start_ms = Days(zone), parse_rfc3339("2026-01-01T12:00:00+00:00")
    parts = list(days.parts(start_ms, start_ms + 365 * DAY))
    assert sum(length_ms for _, length_ms in parts) == 365 * DAY
    assert [day for day, _ in parts] == sorted({day for day, _ in parts})
    assert len(parts) == 366 and {length_ms for _, length_ms in parts[1:-1]} <= {
        23 * MS_PER_HOUR,
        DAY,
        25 * MS_PER_HOUR,
    }


def test_korean_days_are_the_invoices_days() -> None:
    days = Days()
    for at_ms in range(
        parse_rfc3339("2026-01-01T00:00:00+00:00"), parse_rfc3339("2026-02-01T00:00:00+00:00"), MS_PER_HOUR
    ):
        assert days.of(at_ms) == kst_date(at_ms)
    with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
        Days("No/Where")
