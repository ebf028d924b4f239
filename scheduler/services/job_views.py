"""What people read about jobs: lists, one job's history, why it waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scheduler.core.lifecycle import TERMINAL_JOB_STATES, JobState
from scheduler.core.records import AttemptRecord, JobRecord, ObservationRecord, WaitingRecord
from scheduler.schema.bodies import EventBody, JobBody, Listing
from scheduler.services.actors import Actor
from scheduler.services.cycle import NEWEST
from scheduler.services.job_bodies import instant, job_body
from scheduler.services.jobs import find_job, newest_attempt
from scheduler.services.ports import Reader, Where

EVENTS_MAX = 10_000
BATCH_MAX = 1_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows; ``ended`` adds those in a terminal state. Empty texts filter nothing."""

    org: str = ""
    project: str = ""
    state: str = ""
    user: str = ""
    name: str = ""
    ended: bool = False


def list_jobs(
    view: Reader,
    actor: Actor,
    wanted: JobFilter,
    reason_of: Callable[[JobRecord], str],
    cursor: int,
    limit: int,
    now_ms: int,
) -> Listing[JobBody]:
    """Jobs the actor may see, newest first; ``cursor`` is the sequence to continue below, 0 from the top."""
    where = [Where(field, "=", value) for field, value in _equals(wanted)]
    if wanted.state:
        where.append(Where("state", "=", JobState(wanted.state)))
    elif not wanted.ended:
        where.append(Where("state", "in", tuple(sorted(set(JobState) - TERMINAL_JOB_STATES))))
    if not actor.reads_all:
        where.append(Where("org", "in", actor.orgs))
    found: list[JobBody] = []
    following, last_seq = "", 0
    for job in _newest_first(view, where, cursor, limit + 1):
        if not actor.sees_project(job.org, job.project):
            continue
        if len(found) == limit:
            following = str(last_seq)
            break
        reason = reason_of(job) if job.state is JobState.QUEUED else ""
        found.append(job_body(job, newest_attempt(view, job), reason, now_ms))
        last_seq = job.submitted_seq
    return Listing[JobBody](kind="JobList", items=found, next=following)


def _newest_first(view: Reader, where: Sequence[Where], cursor: int, batch: int) -> Iterator[JobRecord]:
    """Jobs below the cursor (0: all), read a batch at a time: whoever sees them all needs but the first."""
    while True:
        below = (Where("submitted_seq", "<", cursor),) if cursor else ()
        jobs = view.select(JobRecord, *where, *below, order=("-submitted_seq",), limit=batch)
        yield from jobs
        if len(jobs) < batch:
            return
        cursor, batch = jobs[-1].submitted_seq, BATCH_MAX


def get_job(view: Reader, actor: Actor, name: str, reason_of: Callable[[JobRecord], str], now_ms: int) -> JobBody:
    """A job by its id, or the actor's newest of this name; raises NotFound alike for absent and hidden."""
    job = find_job(view, actor, name)
    reason = reason_of(job) if job.state is JobState.QUEUED else ""
    return job_body(job, newest_attempt(view, job), reason, now_ms)


def _equals(wanted: JobFilter) -> list[tuple[str, str]]:
    pairs = [("org", wanted.org), ("project", wanted.project), ("user", wanted.user), ("name", wanted.name)]
    return [(field, value) for field, value in pairs if value]


def job_events(view: Reader, job: JobRecord) -> list[EventBody]:
    """The job's history from its records and its clusters' observations, oldest first.

    A cluster's clock may differ from the control plane's: what it saw happened after the attempt was admitted and
    before it was reported.
    """
    events: list[tuple[int, int, str, str]] = [
        (job.submitted_at_ms, 0, "Queued", f"submitted to {job.org}/{job.project} by {job.user}")
    ]
    attempts = view.select(AttemptRecord, Where("job", "=", job.id), order=("number",), limit=EVENTS_MAX)
    admitted_ms = {attempt.number: attempt.admitted_at_ms for attempt in attempts}
    for attempt in attempts:
        detail = f"attempt {attempt.number}, {attempt.gpus} {attempt.flavor}, {attempt.tier}, cycle {attempt.cycle}"
        events.append((attempt.admitted_at_ms, 1, "Admitted", detail))
        if attempt.stop_at_ms and attempt.stop_reason:
            events.append((attempt.stop_at_ms, 4, "Stopping", f"{attempt.stop_reason}: {attempt.message}".rstrip(": ")))
    seen = view.select(ObservationRecord, Where("job", "=", job.id), order=("at_ms", "id"), limit=EVENTS_MAX)
    names = {
        "starting": "Starting",
        "rank-started": "RankStarted",
        "notice": "Notice",
        "rank-ended": "RankEnded",
        "failed": "StartFailed",
        "gone": "Gone",
    }
    for row in seen:
        rank = f"attempt {row.attempt}" + (f", rank {row.rank}" if row.rank >= 0 else "")
        at_ms = min(max(row.at_ms, admitted_ms.get(row.attempt, 0)), row.received_at_ms)
        events.append((at_ms, 3, names.get(row.kind, row.kind), f"{rank} on {row.cluster}"))
    if job.ended_at_ms:
        events.append((job.ended_at_ms, 9, str(job.state), job.message))
    return [EventBody(at=instant(at), event=event, detail=detail) for at, _, event, detail in sorted(events)]


def newest_reasons(view: Reader) -> WaitingRecord | None:
    """Why jobs wait, as the newest cycle found it."""
    return view.get(WaitingRecord, NEWEST)
