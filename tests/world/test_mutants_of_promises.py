"""Broken basic promises are found: cancel, retries, losses, back-off, grace, time limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.lifecycle import JobState
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.services import assignments, attempts, jobs
from scheduler.services.job_bodies import job_body
from scheduler.sim.world import Parts
from tests.support.mutants import Mutant, Patch, assert_found


def cancel_only_says_so(patch: Patch) -> None:
    """Answers that the job is cancelled and lets an active one run on."""
    honest = jobs.cancel

    def cancel(store: Any, actor: Any, name: str, now_ms: int) -> Any:
        with store.read() as view:
            job = jobs.find_job(view, actor, name)
            if job.state is JobState.ACTIVE:
                return job_body(job, jobs.newest_attempt(view, job), now_ms=now_ms)
        return honest(store, actor, name, now_ms)

    patch.setattr(jobs, "cancel", cancel)


def _retry(patch: Patch, retries: int) -> None:
    honest = attempts._task
    patch.setattr(attempts, "_task", lambda job: honest(job).model_copy(update={"retries": retries}))


def retry_for_ever(patch: Patch) -> None:
    """Repeats what fails as often as it fails."""
    _retry(patch, 1_000)


def retry_never(patch: Patch) -> None:
    """Gives up at the first failure whatever the task says."""
    _retry(patch, 0)


def repeat_every_loss(patch: Patch) -> None:
    """Repeats what is lost as often as it is lost."""
    honest = attempts.job_after

    def job_after(job: JobRecord, gone: AttemptRecord, now_ms: int) -> JobRecord:
        after = honest(replace(job, max_losses=1_000), gone, now_ms)
        return replace(after, max_losses=job.max_losses)

    patch.setattr(attempts, "job_after", job_after)


def give_up_at_the_first_loss(patch: Patch) -> None:
    """Lets a job fail because its machine did."""
    honest = attempts.job_after

    def job_after(job: JobRecord, gone: AttemptRecord, now_ms: int) -> JobRecord:
        return replace(honest(replace(job, max_losses=0), gone, now_ms), max_losses=job.max_losses)

    patch.setattr(attempts, "job_after", job_after)


def no_back_off(patch: Patch) -> None:
    """Repeats at once what has just failed."""
    patch.setattr(attempts, "backoff_ms", lambda times: 0)


def _assign(patch: Patch, **changes: Any) -> None:
    """Tell clusters something else; changes: field of the assignment -> what becomes of its value."""
    honest = assignments._assignment

    def assignment(view: Any, attempt: AttemptRecord, policy: Any, tokens: Any) -> Any:
        body = honest(view, attempt, policy, tokens)
        return body.model_copy(update={name: change(getattr(body, name)) for name, change in changes.items()})

    patch.setattr(assignments, "_assignment", assignment)


def hardly_any_grace(patch: Patch) -> None:
    """Kills a job a millisecond after its notice."""
    _assign(patch, grace_ms=lambda grace_ms: 1)


def hardly_any_grace_in_an_order(patch: Patch) -> None:
    """The same, only where a stop is ordered."""
    _assign(patch, stop=lambda order: order and order.model_copy(update={"grace_ms": 1}))


def ten_times_the_time(patch: Patch) -> None:
    """Lets a job run ten times as long as it asked for."""
    _assign(patch, time_limit_ms=lambda limit_ms: limit_ms * 10)


MANY = Parts(findings_max=99)
MUTANTS = {
    "cancel only says so": Mutant(cancel_only_says_so, "its cancel was answered", MANY),
    "retries for ever": Mutant(retry_for_ever, "runs again after"),
    "never retries": Mutant(retry_never, "is Failed after 1 failures of [13] retries"),
    "repeats every loss": Mutant(repeat_every_loss, r"runs again after .* losses of \d"),
    "gives up at the first loss": Mutant(give_up_at_the_first_loss, r"is Failed after .* 1 losses of [1-9]"),
    "no back-off": Mutant(
        no_back_off, "was admitted .* ms after failure 1, due were 5000|failure 2, due were 10000", seeds=24
    ),
    "hardly any grace": Mutant(hardly_any_grace, r"is given a grace of \[1\] ms"),
    "hardly any grace in an order": Mutant(hardly_any_grace_in_an_order, r"is given a grace of \[1, \d+\] ms"),
    "ten times the time": Mutant(ten_times_the_time, "has a time limit of"),
}


@pytest.mark.world
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_broken_promise_is_found(mutant: Mutant, monkeypatch: Patch) -> None:
    assert_found(mutant, monkeypatch)
