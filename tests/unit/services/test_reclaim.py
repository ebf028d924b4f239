"""Taking lent GPUs back, from the claim to the resumed victim: what is written, told and billed."""

from __future__ import annotations

import json

import pytest

from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import CycleRecord, SliceRecord
from scheduler.schema.bodies import CheckpointRequest
from scheduler.services import checkpoints, why
from scheduler.services.job_views import job_events
from scheduler.services.submit import Conflict, NotFound
from tests.support.control_plane import ControlPlane

MINUTE_MS = 60_000
LENT_MS = 10 * MINUTE_MS


@pytest.fixture
def lent(plane: ControlPlane) -> tuple[ControlPlane, str]:
    """The university has borrowed both H100 nodes for ten minutes; acme's class has 4 guaranteed."""
    job = plane.started("stranger", project="uni/vision", tiers=["borrow"], gpus="h100:4", nodes=2)
    plane.pass_ms(LENT_MS)
    return plane, job


def claim(plane: ControlPlane, gpus: str = "h100:4") -> str:
    """A job of acme, inside its guarantee, for which room is made."""
    job = plane.submit(gpus=gpus).id
    plane.cycle()
    return job


def test_the_victim_leaves_and_resumes_and_the_claimant_starts(lent: tuple[ControlPlane, str]) -> None:
    plane, victim = lent
    claimant = claim(plane)
    assert plane.attempt(victim).state is AttemptState.STOPPING
    assert plane.attempt(victim).stop_reason is StopReason.EVICT
    assert plane.job(claimant).state is JobState.QUEUED
    [order] = [item.stop for item in plane.pull().assignments]
    assert order is not None and (order.reason, order.grace_ms) == ("evict", 60_000)
    plane.pass_ms(1_000)
    plane.report(plane.seen("notice", victim, reason="evict"))
    plane.pass_ms(30_000)
    assert plane.cycle().admitted == ()
    plane.ended(victim, exit_code=143)
    report = plane.cycle()
    assert report.admitted == (claimant,)
    assert str(plane.attempt(claimant).tier) == "guaranteed"
    resumed = plane.job(victim)
    assert (resumed.state, resumed.attempt, resumed.failures, resumed.losses) == (JobState.QUEUED, 1, 0, 0)
    assert resumed.message == "evicted; it waits again"
    plane.ended(claimant)
    assert plane.cycle().admitted == (victim,)
    assert plane.job(victim).attempt == 2
    keys = {item.attempt: item.checkpoint_key for item in plane.pull().assignments if item.job == victim}
    assert keys == {2: victim}, "the second attempt finds what the first has saved"


def test_what_is_billed_ends_at_the_notice_and_what_is_held_at_the_end(lent: tuple[ControlPlane, str]) -> None:
    """8 GPUs: billed 600 s + 1 s to the notice, held 30 s more."""
    plane, victim = lent
    claim(plane)
    plane.pass_ms(1_000)
    plane.report(plane.seen("notice", victim, reason="evict"))
    plane.pass_ms(30_000)
    plane.ended(victim, exit_code=143)
    plane.pass_ms(1_000)
    plane.report()
    for _ in range(3):
        plane.settle()
    parts = plane.rows(SliceRecord, ("job", "=", victim))
    assert sum(part.billed_milli_gpu_ms for part in parts) == 8 * 1_000 * 601_000
    assert sum(part.held_milli_gpu_ms for part in parts) == 8 * 1_000 * 631_000


def test_a_victim_that_ends_well_in_its_grace_has_succeeded(lent: tuple[ControlPlane, str]) -> None:
    plane, victim = lent
    claimant = claim(plane)
    plane.report(plane.seen("notice", victim, reason="evict"))
    plane.ended(victim, exit_code=0)
    assert plane.job(victim).state is JobState.SUCCEEDED
    assert plane.cycle().admitted == (claimant,)


def test_everybody_is_told(lent: tuple[ControlPlane, str]) -> None:
    plane, victim = lent
    claimant = claim(plane)
    plane.pass_ms(20_000)
    with plane.store.read() as view:
        told = why.why(view, plane.actor("member"), claimant, plane.now_ms)
        events = job_events(view, plane.job(victim))
    [reason] = told.blockers
    assert (reason.reason, reason.actor, reason.need, reason.have) == ("NoCapacity", "platform", 4_000, 0)
    assert reason.sentence == (
        "It is inside its guarantee, so lent GPUs are being taken back for it: 0 are free already of 4 h100-80g GPUs; "
        "who holds the rest was asked to leave and has 160 s at most."  # 60 s of grace, 120 s of margin, 20 s are over
    )
    assert told.would_help == []
    stopping = next(event for event in events if event.event == "Stopping")
    assert stopping.detail == (
        "evict: its GPUs (borrow) were lent and are taken back for a job of class sme inside its guarantee"
    )


def test_a_claimant_that_is_cancelled_leaves_its_room_to_others(lent: tuple[ControlPlane, str]) -> None:
    plane, victim = lent
    claimant = claim(plane)
    plane.cancel(claimant)
    plane.ended(victim, exit_code=143)
    assert plane.cycle().admitted == (victim,), "nothing is kept for nobody"


def test_the_record_of_the_cycle_names_the_victims(lent: tuple[ControlPlane, str]) -> None:
    plane, victim = lent
    claimant = claim(plane)
    newest = max(plane.rows(CycleRecord), key=lambda cycle: cycle.number)
    [step] = json.loads(newest.plan_json)["steps"]
    assert (step["kind"], step["job"], step["victims"]) == ("reclaim", claimant, [[victim, 1]])


def test_a_victim_that_ends_meanwhile_drops_the_step(
    lent: tuple[ControlPlane, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decided on while it ran, applied when it leaves: nobody is evicted, and the next cycle waits for the victim."""
    plane, victim = lent
    claimant = plane.submit(gpus="h100:4").id
    honest = plane.allocator._apply

    def late(*arguments: object) -> object:
        plane.cancel(victim, "stranger")
        return honest(*arguments)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(plane.allocator, "_apply", late)
    report = plane.cycle()
    assert (report.evicted, report.dropped) == ((), (claimant,))
    monkeypatch.undo()
    assert plane.attempt(victim).stop_reason is StopReason.CANCEL
    assert plane.cycle().evicted == (), "who leaves anyway is waited for"
    plane.ended(victim, exit_code=143)
    assert plane.cycle().admitted == (claimant,)


def test_a_checkpoint_decides_who_loses_least(plane: ControlPlane) -> None:
    """Both have run ten minutes; the first has saved its work a minute ago: 4 x 1 < 4 x 10."""
    first, second = (plane.started("stranger", project="uni/vision", tiers=["borrow"], gpus="h100:4") for _ in "ab")
    plane.pass_ms(9 * MINUTE_MS)
    saved = checkpoints.report(plane.store, first, 1, CheckpointRequest(step=900), plane.now_ms)
    assert (saved.step, saved.is_leaving) == (900, False)
    plane.pass_ms(MINUTE_MS)
    claim(plane)
    assert plane.attempt(first).stop_reason is StopReason.EVICT
    assert plane.attempt(second).stop_reason is None
    leaving = checkpoints.report(plane.store, first, 1, CheckpointRequest(), plane.now_ms)
    assert (leaving.step, leaving.is_leaving) == (None, True)


def test_a_checkpoint_is_no_news_for_a_cycle_and_counts_once_in_ten_seconds(plane: ControlPlane) -> None:
    job = plane.started(tiers=["borrow"])
    plane.cycle()
    for step, after_ms in ((1, 0), (2, 9_999), (3, 1)):
        plane.pass_ms(after_ms)
        checkpoints.report(plane.store, job, 1, CheckpointRequest(step=step), plane.now_ms)
        assert not plane.cycle().decided
    assert plane.attempt(job).checkpoint_step == 3
    assert plane.facts().count("CheckpointReported") == 2


def test_a_checkpoint_of_nobody_and_of_one_that_is_gone(plane: ControlPlane) -> None:
    job = plane.started()
    with pytest.raises(NotFound):
        checkpoints.report(plane.store, job, 2, CheckpointRequest(), plane.now_ms)
    plane.ended(job)
    with pytest.raises(Conflict):
        checkpoints.report(plane.store, job, 1, CheckpointRequest(), plane.now_ms)
