"""What people read about jobs: lists, one job's history, why it waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scheduler.core.lifecycle import TERMINAL_JOB_STATES, JobState
from scheduler.core.records import AttemptRecord, JobRecord, ObservationRecord
from scheduler.schema.bodies import EventBody, JobBody, Listing
from scheduler.schema.times import local_text
from scheduler.services import arrays
from scheduler.services.actors import Actor
from scheduler.services.job_bodies import instant, job_body
from scheduler.services.jobs import find_members, newest_attempt
from scheduler.services.ports import Reader, Where

EVENTS_MAX = 10_000
BATCH_MAX = 1_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows; ``ended`` adds those in a terminal state. Empty texts filter nothing.

    fold: of an array one row, with all its members, at the place of its newest one that is listed.
    """

    org: str = ""
    project: str = ""
    state: str = ""
    user: str = ""
    name: str = ""
    ended: bool = False
    fold: bool = False


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
    shown = _ShownArrays(view, where, cursor)
    for job in _newest_first(view, where, cursor, limit + 1):
        if not actor.sees_project(job.org, job.project) or (wanted.fold and shown.has(job)):
            continue
        if len(found) == limit:
            following = str(last_seq)
            break
        found.append(_row(view, job, wanted.fold, reason_of, now_ms))
        last_seq = job.submitted_seq
    return Listing[JobBody](kind="JobList", items=found, next=following)


class _ShownArrays:
    """Arrays whose row stands on this page or on an earlier one."""

    def __init__(self, view: Reader, where: Sequence[Where], cursor: int) -> None:
        self._view, self._where, self._cursor = view, where, cursor
        self._arrays: set[str] = set()

    def has(self, job: JobRecord) -> bool:
        """Whether the job is a member of such an array; from then on its array is one."""
        if not job.array or job.array in self._arrays:
            return bool(job.array)
        self._arrays.add(job.array)
        earlier = (Where("array", "=", job.array), Where("submitted_seq", ">=", self._cursor))
        return self._cursor > 0 and self._view.count(JobRecord, *self._where, *earlier) > 0


def _row(view: Reader, job: JobRecord, fold: bool, reason_of: Callable[[JobRecord], str], now_ms: int) -> JobBody:
    if fold and job.array:
        return arrays.whole(view, arrays.members_of(view, job.array), reason_of, now_ms)
    reason = reason_of(job) if job.state is JobState.QUEUED else ""
    return job_body(job, newest_attempt(view, job), reason, now_ms)


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
    """A job or an array by its id, or the actor's newest of this name; raises NotFound alike for absent and hidden."""
    found = find_members(view, actor, name)
    return _row(view, found[0], len(found) > 1, reason_of, now_ms)


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
        "held": "HeldAfterFailure",
        "notice": "Notice",
        "rank-ended": "RankEnded",
        "failed": "StartFailed",
        "gone": "Gone",
    }
    for row in seen:
        rank = f"attempt {row.attempt}" + (f", rank {row.rank}" if row.rank >= 0 else "")
        if row.kind == "held":
            code = json.loads(row.body_json)["exit_code"]
            until = next((local_text(item.hold_until_ms) for item in attempts if item.number == row.attempt), "")
            rank = f"{rank} ended with exit code {code}; its GPUs are held until {until}"
        at_ms = min(max(row.at_ms, admitted_ms.get(row.attempt, 0)), row.received_at_ms)
        events.append((at_ms, 3, names.get(row.kind, row.kind), f"{rank} on {row.cluster}"))
    if job.ended_at_ms:
        events.append((job.ended_at_ms, 9, str(job.state), job.message))
    return [EventBody(at=instant(at), event=event, detail=detail) for at, _, event, detail in sorted(events)]
