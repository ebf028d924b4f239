"""Routes of artifacts: an operator lists and sends them, people list and read them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import errors, raw_answer, raw_body, reads, writes
from scheduler.api.operator import OCTETS, Cluster, chunk
from scheduler.api.params import NUMBER_MAX, OFFSET_MAX, PathName, PathNumber
from scheduler.schema.bodies import ArtifactBody, ArtifactsAck, ArtifactsRequest, JobId, Listing, LogAck
from scheduler.services import artifacts

router = APIRouter(prefix="/api/v1")

READ_BYTES_MAX = 1024 * 1024
Number = Annotated[int, Path(ge=0, le=NUMBER_MAX)]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX)]


@router.post("/operator/{cluster}/artifacts/{job}/{attempt}", responses=writes(404, 409), tags=["operator"])
def take_artifacts(
    deps: D,
    actor: Caller,
    cluster: Cluster,
    job: Annotated[JobId, Path()],
    attempt: PathNumber,
    request: ArtifactsRequest,
) -> ArtifactsAck:
    """All artifacts of an attempt that is gone, listed once; a repeat changes nothing and tells how far each one is."""
    most, now_ms = deps.limits.artifact_bytes, deps.clock()
    return artifacts.take_list(deps.store, deps.artifacts, actor, cluster, job, attempt, request, most, now_ms)


@router.post(
    "/operator/{cluster}/artifacts/{job}/{attempt}/{number}",
    responses=writes(404),
    openapi_extra=raw_body(OCTETS),
    tags=["operator"],
)
def append_artifact(
    deps: D,
    actor: Caller,
    cluster: Cluster,
    job: Annotated[JobId, Path()],
    attempt: PathNumber,
    number: Number,
    content: Annotated[bytes, Depends(chunk)],
    offset: Offset,
) -> LogAck:
    """Append to a file that was listed; with its last byte its SHA-256 is checked, and a wrong one begins anew at 0."""
    return artifacts.append(deps.store, deps.artifacts, actor, cluster, job, attempt, number, offset, content)


@router.get("/jobs/{job}/artifacts", responses=reads(404, 409), tags=["jobs"])
def list_artifacts(
    deps: D,
    actor: Caller,
    job: PathName,
    attempt: Annotated[int, Query(ge=0, le=NUMBER_MAX, description="0: the newest ten")] = 0,
) -> Listing[ArtifactBody]:
    """Files that a job's attempts have handed over, and those that were left out."""
    with deps.store.read() as view:
        return artifacts.list_artifacts(view, deps.artifacts, actor, job, attempt)


@router.get(
    "/jobs/{job}/artifacts/{attempt}/{number}",
    response_class=Response,
    responses=raw_answer(OCTETS) | errors(404, 409) | reads(),
    tags=["jobs"],
)
def read_artifact(
    deps: D,
    actor: Caller,
    job: PathName,
    attempt: PathNumber,
    number: Number,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=READ_BYTES_MAX)] = READ_BYTES_MAX,
) -> Response:
    """Bytes of an artifact from ``offset``."""
    with deps.store.read() as view:
        content = artifacts.read_artifact(view, deps.artifacts, actor, job, attempt, number, offset, limit)
    return Response(content, media_type=OCTETS)
