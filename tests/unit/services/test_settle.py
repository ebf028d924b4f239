"""The settler: what is posted when, restarts, two settlers, failed writes, and usage to the millisecond."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from scheduler.core.accounting import books
from scheduler.core.errors import Retry
from scheduler.core.records import FindingRecord, LedgerEntryRecord, LedgerTxRecord, PeriodRecord, SliceRecord
from scheduler.core.units import MS_PER_HOUR
from scheduler.services import leases, periods
from scheduler.store.memory import MemoryWriter
from tests.support.control_plane import POLICY, START_MS, ControlPlane, writes

MINUTE = 60_000
NEXT_HOUR_MS = (START_MS // MS_PER_HOUR + 1) * MS_PER_HOUR
KINDS = (SliceRecord, LedgerTxRecord, LedgerEntryRecord, FindingRecord, PeriodRecord)


def balance(plane: ControlPlane, account: str, unit: str = "microwon") -> int:
    """Sum of an account."""
    rows = plane.rows(LedgerEntryRecord, ("account", "=", account), ("unit", "=", unit))
    return sum(entry.amount for entry in rows)


def sound(plane: ControlPlane) -> None:
    """The ledger keeps its rules."""
    assert books.check(plane.rows(LedgerTxRecord), plane.rows(LedgerEntryRecord)) == []


def test_nothing_to_post(plane: ControlPlane) -> None:
    before = writes(plane, KINDS)
    report = plane.settle()
    assert (report.leading, report.slices, report.settled, report.closed) == (True, 0, 0, ())
    assert writes(plane, KINDS) == before


def test_a_finished_attempt_is_posted_and_settled(plane: ControlPlane) -> None:
    job = plane.submit(gpus="h100:2", nodes=2).id
    plane.cycle()
    plane.pass_ms(10_000)
    plane.report(plane.seen("starting", job), plane.seen("rank-started", job, rank=0))
    plane.pass_ms(20_000)
    plane.report(plane.seen("rank-started", job, rank=1))
    plane.pass_ms(100_000)
    plane.report(plane.seen("rank-ended", job, rank=0, exit_code=0))
    plane.pass_ms(30_000)
    plane.report(plane.seen("rank-ended", job, rank=1, exit_code=0))
    plane.pass_ms(5_000)
    plane.report(plane.seen("gone", job, exit_code=0))
    report = plane.settle()
    assert (report.slices, report.settled) == (2, 1)
    # held: 4 GPUs x 165 s; billed from the last start at 30 s: rank 0 to 130 s, rank 1 to 160 s, 2 GPUs each
    unit = "milli_gpu_ms:h100-80g"
    assert balance(plane, "used:acme/nlp", unit) == 4_000 * 165_000
    assert balance(plane, "billed:acme/nlp", unit) == 2_000 * (100_000 + 130_000)
    # 460 GPU-seconds at 3600 won an hour: 460 won list; guaranteed, the tenant pays 0.1, MSIT the rest
    assert balance(plane, "receivable:acme") == 46_000_000
    assert balance(plane, "funder_receivable:MSIT") == 414_000_000
    assert balance(plane, "revenue:site") == -460_000_000
    assert plane.attempt(job).settled
    sound(plane)


def test_a_live_attempt_is_posted_by_the_hour_up_to_the_watermark(plane: ControlPlane) -> None:
    job = plane.started()
    assert plane.settle().slices == 0
    plane.now_ms = NEXT_HOUR_MS + 5 * MINUTE
    plane.report(through_ms=NEXT_HOUR_MS - 1)
    assert plane.settle().slices == 0, "the cluster has not vouched for the hour yet"
    plane.report(through_ms=NEXT_HOUR_MS)
    assert plane.settle().slices == 1
    assert [part.end_ms for part in plane.rows(SliceRecord)] == [NEXT_HOUR_MS]
    assert not plane.attempt(job).settled
    plane.ended(job)
    assert (plane.settle().slices, plane.attempt(job).settled) == (1, True)
    parts = sorted(plane.rows(SliceRecord), key=lambda part: part.start_ms)
    assert [(part.start_ms, part.end_ms) for part in parts] == [
        (START_MS, NEXT_HOUR_MS),
        (NEXT_HOUR_MS, plane.now_ms),
    ]


def test_a_gone_attempt_waits_for_the_watermark(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    ends = plane.seen("rank-ended", job, rank=0, exit_code=0), plane.seen("gone", job, exit_code=0)
    plane.pass_ms(1)
    plane.report(*ends, through_ms=plane.now_ms - 2)
    assert plane.settle().settled == 0
    plane.report()
    assert plane.settle().settled == 1


def test_a_repeat_posts_nothing_twice(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(3 * MS_PER_HOUR)
    plane.report()
    plane.settle()
    plane.ended(job)
    plane.settle()
    before = writes(plane, KINDS)
    for holder in ("settler-1", "settler-1", "settler-9"):
        plane.pass_ms(2 * leases.LEASE_MS)
        plane.settle(plane.new_settler(holder))
    assert writes(plane, KINDS) == before
    sound(plane)


def test_a_restarted_settler_goes_on_where_the_last_one_ended(plane: ControlPlane) -> None:
    job = plane.started()
    for hour in range(1, 5):
        plane.now_ms = NEXT_HOUR_MS + hour * MS_PER_HOUR
        plane.report()
        assert plane.settle(plane.new_settler(f"settler-{hour}")).slices == (2 if hour == 1 else 1)
        plane.pass_ms(leases.LEASE_MS)
    plane.ended(job)
    assert plane.settle(plane.new_settler("settler-last")).settled == 1
    assert balance(plane, "used:acme/nlp", "milli_gpu_ms:h100-80g") == 1_000 * (plane.now_ms - START_MS)
    sound(plane)


def test_two_settlers_one_leads(plane: ControlPlane) -> None:
    standby = plane.new_settler("settler-2")
    job = plane.started()
    plane.pass_ms(MINUTE)
    plane.ended(job)
    assert plane.settle().settled == 1
    assert not plane.settle(standby).leading
    plane.pass_ms(leases.LEASE_MS)
    assert plane.settle(standby).leading
    assert not plane.settle().leading


def test_a_settler_that_stood_still_posts_nothing(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one took over between its look and its write."""
    standby = plane.new_settler("settler-2")
    job = plane.started()
    plane.pass_ms(MINUTE)
    plane.ended(job)
    honest = type(plane.settler)._work

    def work(self: Any, view: Any) -> Any:
        found = honest(self, view)
        if self is plane.settler:
            plane.pass_ms(2 * leases.LEASE_MS)
            assert plane.settle(standby).settled == 1
        return found

    monkeypatch.setattr(type(plane.settler), "_work", work)
    before_ms = plane.now_ms
    assert not plane.settler.step(before_ms).leading
    assert len(plane.rows(SliceRecord)) == 1
    sound(plane)


@pytest.mark.parametrize("nth", range(6))
def test_a_failed_write_is_done_again(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """Whichever of its writes fails, the next steps post what is missing, once."""
    jobs = [plane.started(tiers=["borrow"]), plane.started(tiers=["borrow"])]
    plane.pass_ms(MS_PER_HOUR)
    plane.report()
    for job in jobs:
        plane.ended(job)
    numbers = itertools.count()
    honest = MemoryWriter.fence

    def fence(self: MemoryWriter, lease: str, epoch: int) -> None:
        honest(self, lease, epoch)
        if next(numbers) == nth:
            raise Retry("DURE-8020", "the database is not there")

    monkeypatch.setattr(MemoryWriter, "fence", fence)
    for _ in range(4):
        try:
            plane.settle()
        except Retry:
            continue
    assert [plane.attempt(job).settled for job in jobs] == [True, True]
    assert balance(plane, "used:acme/nlp", "milli_gpu_ms:h100-80g") == 2 * 1_000 * MS_PER_HOUR
    sound(plane)


def test_what_was_committed_and_not_answered_is_not_posted_twice(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    plane.ended(job)
    honest = plane.store.end_write
    numbers = itertools.count()

    def end_write(tx: MemoryWriter, *, commit: bool) -> None:
        honest(tx, commit=commit)
        if commit and next(numbers) == 1:
            raise Retry("DURE-8020", "the answer was lost")

    monkeypatch.setattr(plane.store, "end_write", end_write)
    with pytest.raises(Retry):
        plane.settle()
    assert len(plane.rows(SliceRecord)) == 1
    assert not plane.attempt(job).settled
    assert plane.settle().settled == 1
    assert len(plane.rows(SliceRecord)) == 1
    sound(plane)


def test_a_period_that_closes_meanwhile_ends_after_what_is_being_posted(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The close is asked for by a process whose clock is behind, between the settler's look and its write."""
    job = plane.started()
    plane.pass_ms(MINUTE)
    early_ms = plane.now_ms
    plane.pass_ms(MINUTE)
    plane.ended(job)
    honest = type(plane.settler)._work

    def work(self: Any, view: Any) -> Any:
        monkeypatch.undo()
        found = honest(self, view)
        periods.close_period(plane.store, plane.policies, plane.actor(), "", early_ms)
        return found

    monkeypatch.setattr(type(plane.settler), "_work", work)
    assert plane.settle().closed == ("manual-0001",)
    assert plane.period().end_ms == plane.now_ms, "not before what its cluster had vouched for"
    assert [(part.period, part.end_ms) for part in plane.rows(SliceRecord)] == [("manual-0001", plane.now_ms)]


def test_an_attempt_that_held_nothing_is_settled_without_a_slice(plane: ControlPlane) -> None:
    job = plane.submit().id
    plane.cycle()
    plane.report(plane.seen("gone", job, exit_code=1))
    report = plane.settle()
    assert (report.slices, report.settled) == (0, 1)


def test_what_cannot_be_is_a_finding_and_is_charged_within_bounds(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    plane.report(plane.seen("gone", job, exit_code=0))
    plane.settle()
    assert [finding.code for finding in plane.rows(FindingRecord)] == ["DURE-9042"]
    assert balance(plane, "billed:acme/nlp", "milli_gpu_ms:h100-80g") == 1_000 * MINUTE


def test_a_lost_attempt_is_charged_to_its_last_heartbeat(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(40_000)
    lost = plane.seen("rank-ended", job, rank=0, evidence="lost")
    plane.pass_ms(60_000)
    plane.report(lost, plane.seen("gone", job, evidence="lost"))
    plane.settle()
    unit = "milli_gpu_ms:h100-80g"
    assert (balance(plane, "used:acme/nlp", unit), balance(plane, "billed:acme/nlp", unit)) == (100_000_000, 40_000_000)
    assert [part.evidence for part in plane.rows(SliceRecord)] == ["lost"]


@pytest.mark.parametrize(("reason", "billed_ms"), [("evict", 40_000), ("timeout", 100_000)])
def test_only_an_evictions_notice_ends_charging(plane: ControlPlane, reason: str, billed_ms: int) -> None:
    job = plane.started()
    plane.pass_ms(40_000)
    plane.report(plane.seen("notice", job, reason=reason))
    plane.pass_ms(60_000)
    plane.ended(job, 143)
    plane.settle()
    assert balance(plane, "billed:acme/nlp", "milli_gpu_ms:h100-80g") == 1_000 * billed_ms


def test_prices_are_those_of_the_admission(plane: ControlPlane) -> None:
    job = plane.started(tiers=["borrow"])
    plane.apply(POLICY.replace("card-1", "card-2").replace("h100-80g: 3600", "h100-80g: 7200"))
    later = plane.started(tiers=["borrow"])
    plane.pass_ms(100_000)
    plane.ended(job)
    plane.ended(later)
    plane.settle()
    # borrow 0.4: 100 s x 1 won/s x 0.4 = 40 won, and 100 s x 2 won/s x 0.4 = 80 won
    assert balance(plane, "revenue:site") == -(40 + 80) * 1_000_000
