"""An attempt of which its cluster has no trace any more: charged up to the last moment that was vouched for."""

from __future__ import annotations

import pytest

from scheduler.core.records import FindingRecord, LedgerEntryRecord
from scheduler.services.attempts import LOST_WITHOUT_TRACE
from tests.support.control_plane import ControlPlane

UNIT = "milli_gpu_ms:h100-80g"


def billed(plane: ControlPlane) -> int:
    """Milli-GPU-milliseconds charged to the one project."""
    where = (("account", "=", "billed:acme/nlp"), ("unit", "=", UNIT))
    return sum(entry.amount for entry in plane.rows(LedgerEntryRecord, *where))


@pytest.mark.parametrize(
    ("vouched_ms", "billed_ms"), [(40_000, 40_000), (0, 0), (-5_000, 0)], ids=["while it ran", "at", "before its start"]
)
def test_it_ends_where_its_cluster_had_vouched_for_it(plane: ControlPlane, vouched_ms: int, billed_ms: int) -> None:
    plane.pass_ms(10_000)
    job = plane.submit(nodes=2).id
    plane.cycle()
    started_ms = plane.now_ms
    starts = [plane.seen("rank-started", job, rank=rank) for rank in (0, 1)]
    plane.report(plane.seen("starting", job), *starts, through_ms=started_ms - 5_000)
    plane.pass_ms(max(0, vouched_ms))
    plane.report(through_ms=started_ms + vouched_ms)
    plane.pass_ms(300_000)
    plane.report(plane.seen("gone", job, evidence="lost"))
    plane.settle()
    ends = [(rank.ended_at_ms - started_ms, rank.evidence) for rank in plane.ranks(job)]
    assert ends == [(max(0, vouched_ms), "lost")] * 2
    assert plane.attempt(job).message == LOST_WITHOUT_TRACE
    assert billed(plane) == 2 * 1_000 * billed_ms
    assert plane.rows(FindingRecord) == [], "what is known is no finding"


def test_slices_that_are_posted_stay(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(3 * 3_600_000)
    plane.report()
    posted = plane.settle().slices
    plane.pass_ms(3_600_000)
    plane.report(plane.seen("gone", job, evidence="lost"))
    plane.settle()
    assert posted >= 3
    assert billed(plane) == 1_000 * 3 * 3_600_000


def test_ends_that_are_known_stay_and_say_so(plane: ControlPlane) -> None:
    job = plane.started(nodes=2)
    plane.pass_ms(20_000)
    plane.report(plane.seen("rank-ended", job, rank=0, exit_code=0, evidence="observed"))
    known_ms = plane.now_ms
    plane.pass_ms(20_000)
    plane.report()
    vouched_ms = plane.now_ms
    plane.pass_ms(20_000)
    plane.report(plane.seen("gone", job, evidence="lost"))
    ends = [(rank.ended_at_ms, rank.evidence) for rank in plane.ranks(job)]
    assert ends == [(known_ms, "observed"), (vouched_ms, "lost")]
    assert plane.attempt(job).message == LOST_WITHOUT_TRACE


def test_an_end_that_was_seen_needs_no_watermark(plane: ControlPlane) -> None:
    """Gone and not lost without an end of its rank: a broken operator, and still a finding."""
    job = plane.started()
    plane.pass_ms(20_000)
    plane.report(plane.seen("gone", job, exit_code=0))
    plane.settle()
    assert [finding.code for finding in plane.rows(FindingRecord)] == ["DURE-9042"]
