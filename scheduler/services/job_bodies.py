"""Records of jobs and attempts as API bodies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.core.units import MS_PER_SECOND
from scheduler.schema.arrays import parse_array
from scheduler.schema.bodies import ArrayBody, JobBody
from scheduler.schema.times import rfc3339

HELD_REASONS = {"admin": "HeldByAdmin", "array": "WaitingDependency"}
STATE_OF_ALL = (
    *(JobState.ACTIVE, JobState.QUEUED, JobState.HELD),
    *(JobState.FAILED, JobState.CANCELLED, JobState.SUCCEEDED),
)
"""An array is in the first of these states that one of its members is in."""


def instant(at_ms: int) -> str:
    """RFC 3339 text, or "" for 0 (not yet)."""
    return rfc3339(at_ms) if at_ms else ""


def job_body(job: JobRecord, attempt: AttemptRecord | None, reason: str = "", now_ms: int = 0) -> JobBody:
    """The job with its newest attempt; ``now_ms`` ends the held time of one that still runs."""
    return JobBody(
        id=job.id,
        name=job.name,
        org=job.org,
        project=job.project,
        user=job.user,
        class_name=job.class_name,
        state=str(job.state),
        reason=reason or _state_reason(job, attempt),
        flavor=job.flavor,
        nodes=job.nodes,
        gpus_per_node=job.gpus_per_node,
        gpus=job.nodes * job.gpus_per_node,
        tiers=job.tiers.split(","),
        tier=str(attempt.tier) if attempt else "",
        attempt=job.attempt,
        attempt_state=str(attempt.state) if attempt else "",
        time_seconds=job.time_limit_ms // MS_PER_SECOND,
        submitted_at=instant(job.submitted_at_ms),
        started_at=instant(attempt.running_at_ms) if attempt else "",
        ended_at=instant(job.ended_at_ms),
        exit_code=attempt.exit_code if attempt else None,
        checkpoint_at=instant(attempt.checkpoint_at_ms) if attempt else "",
        checkpoint_step=attempt.checkpoint_step if attempt else None,
        message=job.message,
        held_gpu_seconds=_held_ms(attempt, now_ms) // MS_PER_SECOND if attempt else 0,
        held_until=instant(attempt.hold_until_ms) if attempt and attempt.state is AttemptState.RUNNING else "",
        array=_part(job),
    )


def _held_ms(attempt: AttemptRecord, now_ms: int) -> int:
    """GPU-milliseconds that it has held its GPUs for, up to now while it does."""
    return max(0, (attempt.gone_at_ms or now_ms) - attempt.admitted_at_ms) * attempt.gpus


def _part(job: JobRecord) -> ArrayBody | None:
    """Where a member stands in its array."""
    if not job.array:
        return None
    size = parse_array(job.array_text).size
    return ArrayBody(id=job.array, indices=job.array_text, size=size, index=job.array_index)


def array_body(
    members: Sequence[JobRecord], attempts: Mapping[str, AttemptRecord], reason: str = "", now_ms: int = 0
) -> JobBody:
    """A whole array as one job: its first member in the state of all, with counts, first start and last end.

    attempts: the newest of each member that had one. reason: of the first that waits.
    """
    states = Counter(str(member.state) for member in members)
    state = next(state for state in STATE_OF_ALL if states[state])
    first = next(member for member in members if member.state is state)
    body = job_body(first, attempts.get(first.id), reason, now_ms)
    starts = [attempt.running_at_ms for attempt in attempts.values() if attempt.running_at_ms]
    ends = [member.ended_at_ms for member in members]
    part = ArrayBody(id=first.array, indices=first.array_text, size=len(members), states=dict(sorted(states.items())))
    return body.model_copy(
        update={
            "id": part.id,
            "reason": body.reason if state in (JobState.QUEUED, JobState.HELD) else "",
            "attempt": 0,
            "attempt_state": "",
            "started_at": instant(min(starts, default=0)),
            "ended_at": instant(max(ends)) if all(ends) else "",
            "exit_code": None,
            "message": "",
            "held_gpu_seconds": sum(_held_ms(attempt, now_ms) for attempt in attempts.values()) // MS_PER_SECOND,
            "held_until": "",
            "array": part,
        }
    )


def _state_reason(job: JobRecord, attempt: AttemptRecord | None) -> str:
    if job.state is JobState.HELD:
        return HELD_REASONS.get(job.held_by, "HeldByUser")
    if job.state is JobState.ACTIVE and attempt is not None:
        if attempt.hold_until_ms and attempt.state is AttemptState.RUNNING:
            return "HeldAfterFailure"
        if attempt.state in (AttemptState.ADMITTED, AttemptState.STARTING):
            return "ClusterStarting"
        if attempt.state is AttemptState.STOPPING:
            return f"Stopping({attempt.stop_reason})"
    return ""
