"""Billing periods: closed by hand or by the month, what a close waits for, and late usage."""

from __future__ import annotations

from typing import Any, cast

import pytest

from scheduler.core.instants import parse_rfc3339
from scheduler.core.records import InvoiceRecord, PeriodRecord, SliceRecord
from scheduler.schema.bodies import PeriodBody
from scheduler.services import periods
from scheduler.services.actors import Forbidden
from scheduler.services.periods import period_for
from scheduler.services.ports import Reader
from scheduler.services.submit import Conflict, NotFound
from tests.support.control_plane import POLICY, START_MS, ControlPlane

MINUTE = 60_000
MONTHLY = POLICY.replace("calendar: manual", "calendar: month")


def close(plane: ControlPlane, period: str = "", user: str = "admin") -> PeriodBody:
    """Ask for a close."""
    return periods.close_period(plane.store, plane.policies, plane.actor(user), period, plane.now_ms)


def kst(text: str) -> int:
    """An instant in Korea."""
    return parse_rfc3339(f"{text}+09:00")


def test_the_first_policy_opens_the_first_period(plane: ControlPlane) -> None:
    assert plane.period() == PeriodRecord(id="manual-0001", calendar="manual", start_ms=START_MS)
    plane.apply(POLICY.replace("vat", "vat") + "# again\n")
    assert len(plane.rows(PeriodRecord)) == 1


def test_a_manual_close_without_usage(plane: ControlPlane) -> None:
    plane.pass_ms(MINUTE)
    body = close(plane)
    assert (body.id, body.state, body.closed_by, body.waiting_for) == (
        "manual-0001",
        "closing",
        "admin",
        "the settler's next step",
    )
    assert close(plane).id == "manual-0001", "a repeat reports how far it is"
    assert plane.settle().closed == ("manual-0001",)
    assert plane.period().end_ms == plane.period(2).start_ms == plane.now_ms
    assert plane.rows(InvoiceRecord) == []
    with plane.store.read() as view:
        assert [(item.id, item.state) for item in periods.list_periods(view)] == [
            ("manual-0001", "closed"),
            ("manual-0002", "open"),
        ]


def test_a_close_waits_for_the_watermark_then_for_the_ledger(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    body = close(plane)
    assert body.waiting_for.startswith("cluster site has been observed through 2026-09-21T")
    assert plane.settle().closed == ()
    plane.report()
    assert "is not in the ledger yet" in close(plane).waiting_for
    assert plane.settle().closed == ("manual-0001",)
    parts = [(part.period, part.start_ms, part.end_ms) for part in plane.rows(SliceRecord)]
    assert parts == [("manual-0001", START_MS, START_MS + MINUTE)]
    plane.pass_ms(MINUTE)
    plane.ended(job)
    plane.settle()
    assert {part.period for part in plane.rows(SliceRecord)} == {"manual-0001", "manual-0002"}


class Counted:
    """A view that counts what is asked of it."""

    def __init__(self, view: Reader) -> None:
        self._view = view
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        self.reads += 1
        return getattr(self._view, name)


@pytest.mark.parametrize("jobs", [0, 1, 6])
def test_what_a_close_waits_for_takes_three_reads(plane: ControlPlane, jobs: int) -> None:
    for _ in range(jobs):
        plane.started("stranger", project="uni/vision", tiers=["borrow"])
        plane.pass_ms(40 * MINUTE)
        plane.report()
    close(plane)
    for expected in ("is not in the ledger yet", ""):
        with plane.store.read() as view:
            counted = Counted(view)
            told = periods.waiting_for(cast("Reader", counted), plane.period())
        assert expected in told if jobs else not told
        assert counted.reads == (3 if jobs else 1)
        plane.settle()


def test_a_period_waits_for_attempts_that_it_cannot_count(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        plane.started("stranger", project="uni/vision", tiers=["borrow"])
    plane.pass_ms(MINUTE)
    plane.report()
    monkeypatch.setattr(periods, "UNSETTLED_MAX", 1)
    assert close(plane).waiting_for == "more than 1 attempts are not settled yet"
    assert plane.settle().closed == ()
    monkeypatch.undo()
    assert plane.settle().closed == ("manual-0001",)


def test_an_attempt_that_held_nothing_holds_up_nobody(plane: ControlPlane) -> None:
    job = plane.submit().id
    plane.cycle()
    plane.report(plane.seen("gone", job, exit_code=1))
    plane.pass_ms(1)
    plane.report()
    close(plane)
    assert plane.settle().closed == ("manual-0001",)


def test_an_attempt_admitted_after_the_end_holds_up_nobody(plane: ControlPlane) -> None:
    plane.pass_ms(1)
    close(plane)
    plane.started()
    assert plane.settle().closed == ("manual-0001",)


def test_every_manual_period_follows_the_last(plane: ControlPlane) -> None:
    for number in range(1, 4):
        plane.pass_ms(MINUTE)
        assert close(plane).id == f"manual-{number:04d}"
        plane.settle()
    rows = plane.rows(PeriodRecord)
    assert [row.end_ms for row in rows[:-1]] == [row.start_ms for row in rows[1:]]


def test_a_close_at_the_instant_of_its_start_still_has_a_length(plane: ControlPlane) -> None:
    close(plane)
    assert plane.period().end_ms > plane.period().start_ms


@pytest.mark.parametrize("user", ["org-admin", "auditor", "member", "operator"])
def test_only_an_administrator_closes(plane: ControlPlane, user: str) -> None:
    with pytest.raises(Forbidden):
        close(plane, user=user)


def test_an_unknown_period(plane: ControlPlane) -> None:
    with pytest.raises(NotFound) as refused:
        close(plane, "manual-0009")
    assert refused.value.code == "DURE-3007"


def test_a_closed_period_is_reported_and_stays(plane: ControlPlane) -> None:
    plane.pass_ms(1)
    close(plane)
    plane.settle()
    before = plane.period()
    assert close(plane, "manual-0001").state == "closed"
    assert plane.period() == before


# Months.


@pytest.fixture
def monthly() -> ControlPlane:
    """The same control plane on Korean months, on 21 September 2026."""
    return ControlPlane(MONTHLY)


def test_a_month_is_closed_after_its_end_only(monthly: ControlPlane) -> None:
    september = monthly.rows(PeriodRecord)[0]
    assert (september.id, september.start_ms, september.end_ms) == (
        "2026-09",
        kst("2026-09-01T00:00:00"),
        kst("2026-10-01T00:00:00"),
    )
    monthly.now_ms = kst("2026-09-30T23:59:59")
    with pytest.raises(Conflict) as refused:
        close(monthly)
    assert refused.value.code == "DURE-6030"
    monthly.now_ms = kst("2026-10-01T00:00:00")
    assert close(monthly).state == "closing"
    assert monthly.settle().closed == ("2026-09",)
    assert [row.id for row in monthly.rows(PeriodRecord)] == ["2026-09", "2026-10"]


def test_usage_over_a_months_end_is_cut_there(monthly: ControlPlane) -> None:
    monthly.now_ms = kst("2026-09-30T23:40:00")
    job = monthly.started(time_seconds=7_200)
    monthly.now_ms = kst("2026-10-01T00:20:00")
    monthly.ended(job)
    monthly.settle()
    parts = [(part.period, part.held_milli_gpu_ms) for part in monthly.rows(SliceRecord)]
    # 20 minutes of one GPU on each side
    assert sorted(parts) == [("2026-09", 1_200_000_000), ("2026-10", 1_200_000_000)]
    assert {row.id: row.state for row in monthly.rows(PeriodRecord)} == {"2026-09": "open", "2026-10": "open"}
    assert close(monthly).id == "2026-09"
    assert monthly.settle().closed == ("2026-09",)


def test_months_that_have_passed_are_opened_on_the_way(monthly: ControlPlane) -> None:
    monthly.now_ms = kst("2027-01-15T12:00:00")
    job = monthly.started()
    monthly.pass_ms(MINUTE)
    monthly.ended(job)
    monthly.settle()
    assert [row.id for row in monthly.rows(PeriodRecord)] == ["2026-09", "2026-10", "2026-11", "2026-12", "2027-01"]
    assert {part.period for part in monthly.rows(SliceRecord)} == {"2027-01"}
    for _ in range(4):
        close(monthly)
        monthly.settle()
    assert [row.state for row in monthly.rows(PeriodRecord)] == ["closed"] * 4 + ["open"]


def test_usage_that_comes_late_is_billed_in_the_oldest_open_period(monthly: ControlPlane) -> None:
    monthly.now_ms = kst("2026-10-02T00:00:00")
    close(monthly)
    monthly.settle()
    with monthly.store.write() as tx:
        for start in ("2026-09-30T12:00:00", "2026-10-30T12:00:00"):
            assert period_for(tx, "month", kst(start), kst(start) + MINUTE).id == "2026-10"


def test_usage_that_comes_late_is_not_billed_in_a_period_that_ended_before_it(monthly: ControlPlane) -> None:
    """October is closed while September is still open, and then an allocator whose clock is behind admits a job."""
    monthly.now_ms = kst("2026-11-01T00:00:00")
    with monthly.store.write() as tx:
        assert period_for(tx, "month", monthly.now_ms - MINUTE, monthly.now_ms).id == "2026-10"
    close(monthly, "2026-10")
    assert monthly.settle().closed == ("2026-10",)
    monthly.pass_ms(-2_000)
    job = monthly.started()
    monthly.pass_ms(1_000)
    monthly.ended(job)
    monthly.pass_ms(MINUTE)
    monthly.report()
    assert monthly.settle().settled == 1
    assert [part.period for part in monthly.rows(SliceRecord)] == ["2026-11"]
    assert close(monthly).id == "2026-09"
    assert monthly.settle().closed == ("2026-09",)
    assert {row.id: row.state for row in monthly.rows(PeriodRecord)} == {
        "2026-09": "closed",
        "2026-10": "closed",
        "2026-11": "open",
    }


def test_from_months_to_closing_by_hand_and_back(monthly: ControlPlane) -> None:
    monthly.apply(POLICY)
    monthly.now_ms = kst("2026-10-03T00:00:00")
    close(monthly)
    monthly.settle()
    assert monthly.period().start_ms == kst("2026-10-01T00:00:00")
    monthly.apply(MONTHLY)
    monthly.now_ms = kst("2026-10-10T00:00:00")
    close(monthly)
    monthly.settle()
    last = next(row for row in monthly.rows(PeriodRecord) if row.state == "open")
    assert (last.id, last.start_ms, last.end_ms) == (
        "2026-10",
        kst("2026-10-10T00:00:00"),
        kst("2026-11-01T00:00:00"),
    )
