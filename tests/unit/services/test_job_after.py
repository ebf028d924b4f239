"""What becomes of a job whose attempt is gone: the whole table, and back-off."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from scheduler.core.codec import canonical
from scheduler.core.lifecycle import JOB_STEPS, AttemptState, JobState, StopReason
from scheduler.core.model import Tier
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.schema.bodies import TaskBody
from scheduler.services.attempts import backoff_ms, job_after

NOW_MS = 1_000_000
QUEUED, HELD = JobState.QUEUED, JobState.HELD
SUCCEEDED, FAILED, CANCELLED = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED
R = StopReason


def job(**fields: object) -> JobRecord:
    """An active job without retries that may be lost twice."""
    retries = fields.pop("retries", 0)
    task = TaskBody.model_validate(
        {"name": "t", "project": "acme/nlp", "gpus": "h100:1", "run": "x", "retries": retries}
    )
    record = JobRecord(
        id="job",
        org="acme",
        project="nlp",
        user="member",
        class_name="sme",
        name="t",
        state=JobState.ACTIVE,
        flavor="h100-80g",
        nodes=1,
        gpus_per_node=1,
        tiers="borrow",
        time_limit_ms=1,
        task_json=canonical(task.model_dump(mode="json")),
        submitted_at_ms=1,
        attempt=1,
        max_losses=2,
    )
    return replace(record, **fields)  # type: ignore[arg-type]  # fields are named by the tests


def gone(reason: StopReason | None, exit_code: int | None, running_at_ms: int = 5) -> AttemptRecord:
    """An attempt that is gone."""
    return AttemptRecord(
        job="job",
        number=1,
        org="acme",
        project="nlp",
        user="member",
        state=AttemptState.GONE,
        tier=Tier.BORROW,
        cluster="site",
        flavor="h100-80g",
        gpus=1,
        ranks_json="[]",
        admitted_at_ms=1,
        cycle=1,
        policy_version=1,
        rate_card="card",
        running_at_ms=running_at_ms,
        stop_reason=reason,
        exit_code=exit_code,
    )


# (reason, exit code, did it run, cancelled, retries left) -> state
TABLE: dict[tuple[StopReason | None, int | None, bool, bool, bool], JobState] = {
    # A clean end is a success whatever was asked meanwhile.
    (R.FINISH, 0, True, False, False): SUCCEEDED,
    (R.FINISH, 0, False, False, False): SUCCEEDED,
    (R.CANCEL, 0, True, True, False): SUCCEEDED,
    (R.TIMEOUT, 0, True, False, False): SUCCEEDED,
    (R.EVICT, 0, True, False, False): SUCCEEDED,
    # What never ran has not succeeded, though nothing of it failed.
    (R.CANCEL, 0, False, True, False): CANCELLED,
    (R.CANCEL, None, False, True, False): CANCELLED,
    (R.EVICT, 0, False, False, False): QUEUED,
    # Cancelled counts before every other end but a clean one.
    (R.CANCEL, 143, True, True, True): CANCELLED,
    (R.FAIL, 1, True, True, True): CANCELLED,
    (R.LOST, None, True, True, True): CANCELLED,
    (R.TIMEOUT, 143, True, True, True): CANCELLED,
    (None, None, False, True, False): CANCELLED,
    # A time limit is an end; retries are for failures.
    (R.TIMEOUT, 143, True, False, True): FAILED,
    (R.TIMEOUT, None, True, False, True): FAILED,
    # Eviction and loss are not the job's fault.
    (R.EVICT, 143, True, False, False): QUEUED,
    (R.EVICT, 1, True, False, False): QUEUED,
    (R.LOST, None, True, False, False): QUEUED,
    (R.LOST, 0, True, False, False): QUEUED,
    (R.LOST, None, False, False, False): QUEUED,
    (None, None, False, False, False): QUEUED,
    # Failures.
    (R.FAIL, 1, True, False, False): FAILED,
    (R.FAIL, 1, True, False, True): QUEUED,
    (R.FAIL, 1, False, False, False): FAILED,
    (R.FAIL, None, True, False, False): FAILED,
    (R.FINISH, None, True, False, False): FAILED,
    (R.FINISH, 7, True, False, True): QUEUED,
}


@pytest.mark.parametrize(("case", "state"), TABLE.items(), ids=str)
def test_the_table(case: tuple[StopReason | None, int | None, bool, bool, bool], state: JobState) -> None:
    reason, code, ran, cancelled, retries = case
    before = job(cancelled_by="member" if cancelled else "", retries=1 if retries else 0)
    after = job_after(before, gone(reason, code, 5 if ran else 0), NOW_MS)
    assert after.state is state
    assert bool(after.ended_at_ms) == (state not in (QUEUED, HELD))
    assert after.state in JOB_STEPS[JobState.ACTIVE]


EVERY = tuple(itertools.product((*StopReason, None), (0, 1, None), (True, False), (True, False), (0, 1), ("", "user")))


def test_every_combination_is_a_legal_step() -> None:
    for case in EVERY:
        reason, code, ran, cancelled, retries, held = case
        before = job(cancelled_by="admin" if cancelled else "", retries=retries, held_by=held)
        after = job_after(before, gone(reason, code, 5 if ran else 0), NOW_MS)
        assert after.state in JOB_STEPS[JobState.ACTIVE], case
        waits = after.state in (QUEUED, HELD)
        assert not (cancelled and waits), f"a cancelled job never waits again: {case}"
        assert waits != bool(after.ended_at_ms), case
        if waits:
            assert (after.state is HELD) == bool(held), case
        if code == 0 and ran and reason is not R.LOST:
            assert after.state is SUCCEEDED, case
        assert after.losses - before.losses + after.failures - before.failures in (0, 1), case


def test_losses_are_counted_and_bounded() -> None:
    states = []
    now = job()
    for _ in range(3):
        now = job_after(replace(now, state=JobState.ACTIVE), gone(R.LOST, None), NOW_MS)
        states.append((now.state, now.losses, now.failures))
    assert states == [(QUEUED, 1, 0), (QUEUED, 2, 0), (FAILED, 3, 0)]
    assert "3 times" in now.message


def test_retries_are_counted_with_a_back_off() -> None:
    states = []
    now = job(retries=2)
    for _ in range(3):
        now = job_after(replace(now, state=JobState.ACTIVE), gone(R.FAIL, 1), NOW_MS)
        states.append((now.state, now.failures, now.not_before_ms - NOW_MS))
    # 5 s, then 10 s; the third failure is the end
    assert states == [(QUEUED, 1, 5_000), (QUEUED, 2, 10_000), (FAILED, 3, 10_000)]


def test_a_lost_attempt_is_repeated_at_once() -> None:
    assert job_after(job(not_before_ms=5), gone(R.LOST, None), NOW_MS).not_before_ms == 0


# times -> milliseconds: 5 s << (times - 1), at most an hour
BACKOFF = {0: 5_000, 1: 5_000, 2: 10_000, 3: 20_000, 10: 2_560_000, 11: 3_600_000, 1_000: 3_600_000}


@pytest.mark.parametrize(("times", "wait_ms"), BACKOFF.items())
def test_back_off(times: int, wait_ms: int) -> None:
    assert backoff_ms(times) == wait_ms
