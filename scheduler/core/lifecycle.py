"""The two lifecycles of DESIGN section 5; each table of legal steps is one constant.

The store enforces the same tables with triggers made from these constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is; a refused submission is no job."""

    QUEUED = "Queued"
    HELD = "Held"
    ACTIVE = "Active"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class AttemptState(StrEnum):
    """Where one execution of a job is; quota belongs to it until GONE."""

    ADMITTED = "Admitted"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    GONE = "Gone"


class StopReason(StrEnum):
    """Why an attempt is stopping; the first reason decides billing and never changes."""

    FINISH = "finish"
    CANCEL = "cancel"
    EVICT = "evict"
    TIMEOUT = "timeout"
    FAIL = "fail"
    LOST = "lost"


class IllegalStep(Exception):
    """A lifecycle step that its table does not allow."""

    def __init__(self, current: StrEnum, to: StrEnum) -> None:
        super().__init__(f"{type(current).__name__}: {current} -> {to} is not a legal step")
        self.current = current
        self.to = to


JOB_STEPS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.HELD, JobState.ACTIVE, JobState.CANCELLED, JobState.FAILED}),
    JobState.HELD: frozenset({JobState.QUEUED, JobState.CANCELLED, JobState.FAILED}),
    JobState.ACTIVE: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED, JobState.HELD}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

ATTEMPT_STEPS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.ADMITTED: frozenset({AttemptState.STARTING, AttemptState.STOPPING, AttemptState.GONE}),
    AttemptState.STARTING: frozenset({AttemptState.RUNNING, AttemptState.STOPPING}),
    AttemptState.RUNNING: frozenset({AttemptState.STOPPING}),
    AttemptState.STOPPING: frozenset({AttemptState.GONE}),
    AttemptState.GONE: frozenset(),
}

TERMINAL_JOB_STATES = frozenset(state for state, after in JOB_STEPS.items() if not after)


def step_job(current: JobState, to: JobState) -> JobState:
    """Return ``to`` if the job table allows the step; raises IllegalStep."""
    if to not in JOB_STEPS[current]:
        raise IllegalStep(current, to)
    return to


def step_attempt(current: AttemptState, to: AttemptState) -> AttemptState:
    """Return ``to`` if the attempt table allows the step; raises IllegalStep."""
    if to not in ATTEMPT_STEPS[current]:
        raise IllegalStep(current, to)
    return to
