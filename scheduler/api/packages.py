"""Routes of packages: work directories as zips, by their SHA-256."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import errors, raw_answer, raw_body, reads, writes
from scheduler.api.problems import BUSY
from scheduler.core.errors import Retry
from scheduler.schema.bodies import PackageAck, Sha256
from scheduler.services import packages

router = APIRouter(prefix="/api/v1/packages", tags=["packages"])

ZIP = "application/zip"
Sum = Annotated[Sha256, Path()]


async def uploaded(request: Request, deps: D, actor: Caller) -> AsyncIterator[bytes]:
    """The body, read after the token was checked, and only while few others are in memory."""
    state = request.app.state
    if state.packages_in_memory >= deps.limits.packages_at_once:
        raise Retry(BUSY, "many packages are being sent just now", "try again")
    state.packages_in_memory += 1
    try:
        yield await request.body()
    finally:
        state.packages_in_memory -= 1


@router.put("/{sha256}", responses=writes(), openapi_extra=raw_body(ZIP))
def put_package(deps: D, actor: Caller, sha256: Sum, content: Annotated[bytes, Depends(uploaded)]) -> PackageAck:
    """Keep a package; a repeat changes nothing."""
    return packages.keep_package(deps.packages, actor, sha256, content)


@router.head("/{sha256}", response_class=Response, responses=errors(404) | reads())
def head_package(deps: D, actor: Caller, sha256: Sum) -> Response:
    """Whether a package is there."""
    size = packages.find_package(deps.packages, actor, sha256)
    return Response(headers={"Content-Length": str(size)}, media_type=ZIP)


@router.get("/{sha256}", response_class=Response, responses=raw_answer(ZIP) | reads(404))
def get_package(deps: D, actor: Caller, sha256: Sum) -> Response:
    """A package's bytes, for operators."""
    return Response(packages.fetch_package(deps.packages, actor, sha256), media_type=ZIP)
