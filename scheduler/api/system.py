"""Routes of the server itself: health, readiness, metrics, version."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from scheduler.api.deps import D
from scheduler.api.docs import ALWAYS, errors, raw_answer
from scheduler.api.problems import NOT_READY, RETRY_AFTER_SECONDS, problem
from scheduler.schema.bodies import FindingBody, VersionBody
from scheduler.services.actors import require
from scheduler.services.tokens import authenticate

router = APIRouter(tags=["system"])

TEXT = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/healthz", response_class=Response, responses=raw_answer("text/plain") | errors(*ALWAYS))
async def healthz() -> Response:
    """Whether the process answers."""
    return Response("ok\n", media_type=TEXT)


@router.get("/readyz", response_class=Response, responses=raw_answer("text/plain") | errors(*ALWAYS, 503))
def readyz(deps: D) -> Response:
    """Whether the database answers and the loops run."""
    faults = list(deps.unready())
    if not faults:
        return Response("ready\n", media_type=TEXT)
    findings = [FindingBody(where="server", code=NOT_READY, message=fault) for fault in faults]
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return problem(503, NOT_READY, "; ".join(faults), "see the server's log", findings, headers)


@router.get("/metrics", response_class=Response, responses=raw_answer("text/plain") | errors(*ALWAYS, 401, 403))
def metrics(deps: D, request: Request) -> Response:
    """Prometheus's text format; without a token only where the server listens on the loopback address."""
    if not deps.metrics_open:
        actor = authenticate(deps.store, request.headers.get("Authorization"), deps.clock())
        require(actor.reads_all, "read metrics", "an administrator or auditor of the pool")
    return Response(deps.metrics(), media_type=EXPOSITION)


@router.get("/version", responses=errors(*ALWAYS))
async def version(deps: D) -> VersionBody:
    """The server's version."""
    return VersionBody(version=deps.version)
