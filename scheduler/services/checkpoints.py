"""A running job says that it has saved its work: from there it would go on if its GPUs were taken back.

That is all a checkpoint is here: an instant and the job's own count. Where and what was saved is the job's business.
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.core.errors import Retry
from scheduler.core.facts import CheckpointReported
from scheduler.core.lifecycle import AttemptState
from scheduler.core.records import AttemptRecord
from scheduler.core.units import MS_PER_SECOND
from scheduler.schema.bodies import CheckpointBody, CheckpointRequest
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Store
from scheduler.services.submit import Conflict, NotFound

EVERY_MS = 10 * MS_PER_SECOND
"""Nobody loses more than this by a checkpoint that is not written down because the last one is newer."""


def report(store: Store, job: str, attempt: int, request: CheckpointRequest, now_ms: int) -> CheckpointBody:
    """Write down that the attempt saved its work now; at most one in ten seconds, the others change nothing.

    Raises NotFound for an attempt that is not known, Conflict for one that is gone, Retry when another was faster.
    """
    with store.write() as tx:
        known = tx.get(AttemptRecord, job, attempt)
        if known is None:
            raise NotFound("DURE-3001", f"no attempt {attempt} of job {job}", "call this from inside the job")
        if known.state is AttemptState.GONE:
            raise Conflict("DURE-6041", f"attempt {attempt} of job {job} is gone", "nothing is to be done")
        if known.checkpoint_at_ms and now_ms - known.checkpoint_at_ms < EVERY_MS:
            return _body(known)
        saved = replace(known, checkpoint_at_ms=now_ms, checkpoint_step=request.step)
        if not tx.change(saved, version=known.version):
            raise Retry("DURE-6001", "the attempt changed at the same moment", "the job says it again")
        tx.append(CheckpointReported(job, attempt, request.step), now_ms)
    return _body(saved)


def _body(attempt: AttemptRecord) -> CheckpointBody:
    return CheckpointBody(
        job=attempt.job,
        attempt=attempt.number,
        step=attempt.checkpoint_step,
        saved_at=instant(attempt.checkpoint_at_ms),
        is_leaving=attempt.state is AttemptState.STOPPING,
    )
