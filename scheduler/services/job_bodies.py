"""Records of jobs and attempts as API bodies."""

from __future__ import annotations

from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.core.units import MS_PER_SECOND
from scheduler.schema.bodies import JobBody
from scheduler.schema.times import rfc3339


def instant(at_ms: int) -> str:
    """RFC 3339 text, or "" for 0 (not yet)."""
    return rfc3339(at_ms) if at_ms else ""


def job_body(job: JobRecord, attempt: AttemptRecord | None, reason: str = "", now_ms: int = 0) -> JobBody:
    """The job with its newest attempt; ``now_ms`` ends the held time of one that still runs."""
    held_ms = 0
    if attempt is not None:
        until_ms = attempt.gone_at_ms or now_ms
        held_ms = max(0, until_ms - attempt.admitted_at_ms) * attempt.gpus
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
        held_gpu_seconds=held_ms // MS_PER_SECOND,
    )


def _state_reason(job: JobRecord, attempt: AttemptRecord | None) -> str:
    if job.state is JobState.HELD:
        return "HeldByAdmin" if job.held_by == "admin" else "HeldByUser"
    if job.state is JobState.ACTIVE and attempt is not None:
        if attempt.state in (AttemptState.ADMITTED, AttemptState.STARTING):
            return "ClusterStarting"
        if attempt.state is AttemptState.STOPPING:
            return f"Stopping({attempt.stop_reason})"
    return ""
