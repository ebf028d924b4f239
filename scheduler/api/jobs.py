"""Routes of jobs: submit, list, look, steer, and read their output."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import also, errors, raw_answer, reads, writes
from scheduler.api.params import (
    NUMBER_MAX,
    OFFSET_MAX,
    Cursor,
    Filter,
    Limit,
    PathName,
    StateName,
    from_number_cursor,
    to_cursor,
)
from scheduler.schema.bodies import EventBody, JobBody, Listing, PlanBody, TaskBody, WhyBody
from scheduler.services import job_views, jobs, plan, submit, why
from scheduler.services.logs import read_log

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

LOG_BYTES_MAX = 1024 * 1024

Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=submit.KEY_LENGTH_MAX)]


@router.post("", status_code=201, responses=also(200, "The job that this key made before.", JobBody) | writes(404))
def submit_job(deps: D, actor: Caller, task: TaskBody, key: Key, response: Response) -> JobBody:
    """Queue a task as a job, or as the jobs of an array. The same key and task again give the same job and 200."""
    job_id, now_ms = deps.ids.new(), deps.clock()
    members = [deps.ids.new() for _ in range(task.range.size)] if task.range else []
    body, is_new = submit.submit(deps.store, deps.policies, deps.packages, task, actor, key, job_id, now_ms, members)
    response.status_code = 201 if is_new else 200
    return body


@router.post("/plan", responses=writes(404))
def plan_job(deps: D, actor: Caller, task: TaskBody) -> PlanBody:
    """What a task would become and could cost at most. Refused as a submission would be; nothing is changed."""
    with deps.store.read() as view:
        return plan.plan(view, deps.policies, task, actor, deps.clock())


@router.get("", responses=reads())
def list_jobs(
    deps: D,
    actor: Caller,
    org: Filter = "",
    project: Filter = "",
    state: StateName = "",
    user: Filter = "",
    name: Filter = "",
    ended: Annotated[bool, Query(alias="all", description="also jobs that have ended")] = False,
    fold: Annotated[bool, Query(description="one row for each array, as `array` tells")] = False,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Listing[JobBody]:
    """Jobs that the caller may see, newest first."""
    wanted = job_views.JobFilter(org=org, project=project, state=state, user=user, name=name, ended=ended, fold=fold)
    after = from_number_cursor(cursor)
    with deps.store.read() as view:
        found = job_views.list_jobs(view, actor, wanted, why.reasons(view), after, limit, deps.clock())
    return found.model_copy(update={"next": to_cursor(found.next)})


@router.get("/{job}", responses=reads(404))
def get_job(deps: D, actor: Caller, job: PathName) -> JobBody:
    """A job or an array by its id, or the caller's newest of this name; ``NAME.3`` is one member of an array."""
    with deps.store.read() as view:
        return job_views.get_job(view, actor, job, why.reasons(view), deps.clock())


@router.get("/{job}/events", responses=reads(404, 409))
def list_events(deps: D, actor: Caller, job: PathName) -> Listing[EventBody]:
    """A job's history, oldest first."""
    with deps.store.read() as view:
        events = job_views.job_events(view, jobs.find_job(view, actor, job))
    return Listing[EventBody](kind="EventList", items=events)


@router.get("/{job}/why", responses=reads(404))
def explain_job(deps: D, actor: Caller, job: PathName) -> WhyBody:
    """Why a job waits, in numbers, who can act, and what would start it sooner."""
    with deps.store.read() as view:
        return why.why(view, actor, job, deps.clock())


@router.post("/{job}/cancel", responses=reads(404))
def cancel_job(deps: D, actor: Caller, job: PathName) -> JobBody:
    """End a job: at once when it waits, by a stop order when it is active."""
    return jobs.cancel(deps.store, actor, job, deps.clock())


@router.post("/{job}/hold", responses=reads(404, 409))
def hold_job(deps: D, actor: Caller, job: PathName) -> JobBody:
    """Keep a queued job from starting."""
    return jobs.hold(deps.store, actor, job, deps.clock())


@router.post("/{job}/release", responses=reads(404, 409))
def release_job(deps: D, actor: Caller, job: PathName) -> JobBody:
    """Queue a held job again."""
    return jobs.release(deps.store, actor, job, deps.clock())


@router.get("/{job}/logs", response_class=Response, responses=raw_answer("text/plain") | errors(404, 409) | reads())
def read_logs(
    deps: D,
    actor: Caller,
    job: PathName,
    attempt: Annotated[int, Query(ge=0, le=NUMBER_MAX, description="0 is the newest")] = 0,
    rank: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=LOG_BYTES_MAX)] = 65_536,
) -> Response:
    """Bytes of a rank's output from ``offset``; headers say how long it is and where job and attempt stand."""
    with deps.store.read() as view:
        part = read_log(view, deps.logs, actor, job, attempt, rank, offset, limit)
    headers = {
        "Dure-Log-Size": str(part.size),
        "Dure-Log-Attempt": str(part.attempt),
        "Dure-Job-State": part.job_state,
    }
    return Response(part.content, headers=headers, media_type="text/plain; charset=utf-8")
