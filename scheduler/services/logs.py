"""Output of attempts: operators append it by offset, people read it by offset."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.core.records import AttemptRecord
from scheduler.schema.bodies import LogAck
from scheduler.services.actors import Actor, require
from scheduler.services.jobs import find_job
from scheduler.services.ports import LogStore, Reader, Store
from scheduler.services.submit import NotFound, Refused

LOG_BYTES_MAX = 64 * 1024 * 1024
"""Of one rank of one attempt; an operator stops sending there by itself."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """Bytes of a rank's output from an offset, its whole length, and where job and attempt stand.

    attempt: 0 while the job had none.
    """

    content: bytes
    size: int
    attempt: int
    job_state: str


def read_log(
    view: Reader, logs: LogStore, actor: Actor, name: str, attempt: int, rank: int, offset: int, limit: int
) -> LogPart:
    """At most ``limit`` bytes of a rank's output; attempt 0 is the newest. Raises NotFound."""
    job = find_job(view, actor, name)
    if attempt > job.attempt:
        raise NotFound("DURE-3010", f"job {job.id} had no attempt {attempt}", f"dure job get {job.id}")
    chosen = attempt or job.attempt
    if not chosen:
        return LogPart(b"", 0, 0, str(job.state))
    content = logs.read(job.id, chosen, rank, offset, limit)
    return LogPart(content, logs.size(job.id, chosen, rank), chosen, str(job.state))


def append_log(
    store: Store,
    logs: LogStore,
    actor: Actor,
    cluster: str,
    job: str,
    attempt: int,
    rank: int,
    offset: int,
    content: bytes,
) -> LogAck:
    """Append output of an attempt of the cluster; the answer says what length there is now.

    Raises NotFound for an attempt that is not the cluster's, and Refused when the log is full.
    """
    require(actor.operates(cluster), f"send logs of cluster {cluster}", "an administrator for that cluster's token")
    with store.read() as view:
        known = view.get(AttemptRecord, job, attempt)
    if known is None or known.cluster != cluster:
        raise NotFound("DURE-3010", f"no attempt {attempt} of job {job} on cluster {cluster}", "")
    if offset + len(content) > LOG_BYTES_MAX:
        raise Refused("DURE-2110", f"a rank's log holds at most {LOG_BYTES_MAX} bytes", "print less")
    return LogAck(size=logs.append(job, attempt, rank, offset, content))
