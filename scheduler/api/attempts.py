"""What an attempt's own processes say, with the attempt's token: that they saved their work."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from scheduler.api.deps import D
from scheduler.api.docs import writes
from scheduler.api.params import PathNumber
from scheduler.schema.bodies import CheckpointBody, CheckpointRequest, JobId
from scheduler.services import checkpoints
from scheduler.services.actors import require

router = APIRouter(prefix="/api/v1/attempts", tags=["attempts"])
BEARER = HTTPBearer(auto_error=False, scheme_name="attempt", description="DURE_ATTEMPT_TOKEN of a job's environment")


def speaker(
    deps: D, request: Request, _declared: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
) -> tuple[str, int]:
    """(job, attempt) whose token the request shows; raises Unauthenticated."""
    return deps.attempt_tokens.read(request.headers.get("Authorization"))


@router.post("/{job}/{attempt}/checkpoint", responses=writes(404, 409))
def report_checkpoint(
    deps: D,
    own: Annotated[tuple[str, int], Depends(speaker)],
    job: Annotated[JobId, Path()],
    attempt: PathNumber,
    request: CheckpointRequest,
) -> CheckpointBody:
    """The attempt has saved its work: from here it goes on if its GPUs are taken back. One in ten seconds counts."""
    require(own == (job, attempt), "speak for another attempt", "that attempt itself")
    return checkpoints.report(deps.store, job, attempt, request, deps.clock())
