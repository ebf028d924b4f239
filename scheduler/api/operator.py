"""Routes of a cluster's operator: what it should run, what it saw, and its attempts' output."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from scheduler.api.deps import Caller, D
from scheduler.api.docs import raw_body, writes
from scheduler.api.params import NUMBER_MAX, OFFSET_MAX, PathNumber
from scheduler.schema.bodies import JobId, LogAck, Name, PullBody, PullRequest, ReportBody, ReportRequest
from scheduler.services import assignments, logs, observe

router = APIRouter(prefix="/api/v1/operator/{cluster}", tags=["operator"])

OCTETS = "application/octet-stream"
Cluster = Annotated[Name, Path()]


async def chunk(request: Request, actor: Caller) -> bytes:
    """The body, read after the token was checked."""
    return await request.body()


@router.post("/pull", responses=writes())
def pull(deps: D, actor: Caller, cluster: Cluster, request: PullRequest) -> PullBody:
    """Attempts that should exist on the cluster, and which of its own it may forget."""
    return assignments.pull(deps.store, deps.policies, deps.attempt_tokens, actor, cluster, request, deps.clock())


@router.post("/report", responses=writes())
def report(deps: D, actor: Caller, cluster: Cluster, request: ReportRequest) -> ReportBody:
    """Observations and then the watermark that they vouch for; a repeat changes nothing."""
    return observe.report(deps.store, actor, cluster, request, deps.clock())


@router.post("/logs/{job}/{attempt}/{rank}", responses=writes(404), openapi_extra=raw_body(OCTETS))
def append_log(
    deps: D,
    actor: Caller,
    cluster: Cluster,
    job: Annotated[JobId, Path()],
    attempt: PathNumber,
    rank: Annotated[int, Path(ge=0, le=NUMBER_MAX)],
    content: Annotated[bytes, Depends(chunk)],
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX)],
) -> LogAck:
    """Append output at ``offset``; the answer says what length the server has."""
    return logs.append_log(deps.store, deps.logs, actor, cluster, job, attempt, rank, offset, content)
