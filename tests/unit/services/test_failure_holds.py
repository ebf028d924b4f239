"""Held after a failure: the attempt stays Running, held and billed, and has failed whatever ends it."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import SliceRecord
from scheduler.schema.times import rfc3339
from scheduler.services import job_views, jobs, why
from scheduler.services.submit import Conflict, Invalid
from tests.support.control_plane import ControlPlane

MINUTE_MS = 60_000
EXIT = 3


def held(plane: ControlPlane, hold_seconds: int = 1_800, **fields: Any) -> str:
    """A job of an hour, whose rank 0 has failed after a minute and that is held."""
    job = plane.started(hold_on_failure_seconds=hold_seconds, **fields)
    plane.pass_ms(MINUTE_MS)
    plane.report(plane.seen("held", job, rank=0, exit_code=EXIT))
    return job


@pytest.mark.parametrize(
    ("hold_seconds", "after_ms"),
    [(1_800, 30 * MINUTE_MS), (3_600, 59 * MINUTE_MS)],
    ids=["30 min", "60 min, but the limit of an hour is in 59"],
)
def test_it_is_shown_while_it_lasts(plane: ControlPlane, hold_seconds: int, after_ms: int) -> None:
    job = held(plane, hold_seconds)
    until_ms = plane.now_ms + after_ms
    attempt = plane.attempt(job)
    assert (attempt.state, attempt.exit_code, attempt.hold_until_ms) == (AttemptState.RUNNING, EXIT, until_ms)
    with plane.store.read() as view:
        body = job_views.get_job(view, plane.actor("member"), job, why.reasons(view), plane.now_ms)
        events = job_views.job_events(view, plane.job(job))
    assert (body.state, body.reason, body.exit_code) == ("Active", "HeldAfterFailure", EXIT)
    with plane.store.read() as view:
        said = why.why(view, plane.actor("member"), job, plane.now_ms).summary
    assert said.startswith(f"{job} is not waiting: rank 0 ended with exit code 3, and it is held until 2026-09-2")
    assert body.held_until == rfc3339(until_ms)
    told = [event.detail for event in events if event.event == "HeldAfterFailure"]
    assert len(told) == 1
    assert told[0].startswith("attempt 1, rank 0 ended with exit code 3; its GPUs are held until 2026-09-2")


def test_a_repeat_changes_nothing(plane: ControlPlane) -> None:
    job = held(plane)
    before, facts = plane.attempt(job), plane.facts()
    plane.pass_ms(MINUTE_MS)
    plane.report(plane.seen("held", job, rank=1, exit_code=9))
    assert (plane.attempt(job), plane.facts()) == (before, facts)


def test_it_is_billed_to_the_end_of_its_hold(plane: ControlPlane) -> None:
    job = held(plane)
    plane.pass_ms(30 * MINUTE_MS)
    plane.ended(job, EXIT)
    plane.settle()
    assert sum(row.billed_milli_gpu_ms for row in plane.rows(SliceRecord)) == 1_000 * 31 * MINUTE_MS
    after = plane.job(job)
    assert (after.state, after.message) == (JobState.FAILED, "rank 0 ended with exit code 3")


ENDS = {
    "by itself": (None, False, JobState.FAILED),
    "by itself, with a retry left": (None, True, JobState.QUEUED),
    "released": (StopReason.FAIL, False, JobState.FAILED),
    "released, with a retry left": (StopReason.FAIL, True, JobState.QUEUED),
    "cancelled": (StopReason.CANCEL, False, JobState.FAILED),
    "cancelled, with a retry left": (StopReason.CANCEL, True, JobState.FAILED),
}


@pytest.mark.parametrize(("ordered", "retries", "state"), ENDS.values(), ids=ENDS.keys())
def test_what_becomes_of_the_job(
    plane: ControlPlane, ordered: StopReason | None, retries: bool, state: JobState
) -> None:
    job = held(plane, retries=int(retries))
    actor = plane.actor("member")
    if ordered:
        end = jobs.cancel if ordered is StopReason.CANCEL else jobs.release
        assert end(plane.store, actor, job, plane.now_ms).state == "Active"
        stop = plane.pull().assignments[0].stop
        assert stop
        assert (stop.reason, stop.grace_ms) == (ordered.value, 30_000)
    else:
        assert plane.pull().assignments[0].stop is None
    plane.pass_ms(1_000)
    plane.ended(job, EXIT)
    after, attempt = plane.job(job), plane.attempt(job)
    assert (after.state, after.failures, attempt.exit_code) == (state, 1, EXIT)
    assert attempt.stop_reason is (ordered or StopReason.FAIL)


@pytest.mark.parametrize("code", [EXIT, None], ids=["the code is known", "every trace is lost"])
def test_one_that_is_lost_while_held_has_failed_and_is_no_loss(plane: ControlPlane, code: int | None) -> None:
    job = held(plane)
    end = plane.seen("rank-ended", job, rank=0, exit_code=code, evidence="lost")
    plane.report(end, plane.seen("gone", job, exit_code=code, evidence="lost"))
    after = plane.job(job)
    assert (after.state, after.losses, plane.attempt(job).exit_code) == (JobState.FAILED, 0, EXIT)
    assert after.message == "rank 0 ended with exit code 3"


def test_what_runs_cannot_be_released(plane: ControlPlane) -> None:
    job = plane.started(hold_on_failure_seconds=60)
    with pytest.raises(Conflict) as refused:
        jobs.release(plane.store, plane.actor("member"), job, plane.now_ms)
    assert refused.value.code == "DURE-6002"


@pytest.mark.parametrize(
    ("hold_seconds", "time_seconds", "refused"),
    [(3_600, None, False), (3_601, None, True), (60, 60, False), (61, 60, True)],
    ids=["1 h of the default 1 h", "more than the default", "60 of 60 s", "61 of 60 s"],
)
def test_a_hold_fits_into_the_time_limit(
    plane: ControlPlane, hold_seconds: int, time_seconds: int | None, refused: bool
) -> None:
    if not refused:
        job = plane.submit(hold_on_failure_seconds=hold_seconds, time_seconds=time_seconds).id
        plane.cycle()
        assert plane.pull().assignments[0].hold_on_failure_ms == hold_seconds * 1_000, job
        return
    with pytest.raises(Invalid) as error:
        plane.submit(hold_on_failure_seconds=hold_seconds, time_seconds=time_seconds)
    assert error.value.code == "DURE-1311"
