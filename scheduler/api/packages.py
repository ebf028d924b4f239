"""Routes of packages: work directories as zips, by their SHA-256."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from scheduler.api.deps import Caller, D, Limits
from scheduler.api.docs import errors, raw_answer, raw_body, reads, writes
from scheduler.api.problems import BUSY
from scheduler.core.errors import Retry
from scheduler.schema.bodies import PackageAck, Sha256
from scheduler.services import packages

router = APIRouter(prefix="/api/v1/packages", tags=["packages"])

ZIP = "application/zip"
PART_BYTES = 256 * 1024
Sum = Annotated[Sha256, Path()]


@contextmanager
def slot(uploads: Counter[str], limits: Limits, user: str) -> Iterator[None]:
    """A place among the uploads that are under way; raises Retry when there is none for the user."""
    if uploads[user] >= limits.packages_per_user:
        raise Retry(BUSY, f"{uploads[user]} packages of yours are arriving just now", "try again when they are there")
    if uploads.total() >= limits.packages_at_once:
        raise Retry(BUSY, "many packages are being sent just now", "try again")
    uploads[user] += 1
    try:
        yield
    finally:
        uploads[user] -= 1
        if not uploads[user]:
            del uploads[user]


async def parts(request: Request) -> AsyncIterator[bytes]:
    """The body in parts that are worth a write each."""
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= PART_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


@router.put("/{sha256}", responses=writes(), openapi_extra=raw_body(ZIP))
async def put_package(deps: D, actor: Caller, request: Request, sha256: Sum) -> PackageAck:
    """Keep a package; a repeat changes nothing. A user sends two at a time."""
    packages.check_sender(actor)
    with slot(request.app.state.uploads, deps.limits, actor.user):
        upload = await run_in_threadpool(packages.receive_package, deps.packages, sha256)
        try:
            size = 0
            async for part in parts(request):
                await run_in_threadpool(upload.write, part)
                size += len(part)
            return await run_in_threadpool(packages.keep_package, upload, sha256, size)
        finally:
            upload.discard()


@router.head("/{sha256}", response_class=Response, responses=errors(404) | reads())
def head_package(deps: D, actor: Caller, sha256: Sum) -> Response:
    """Whether a package is there."""
    size = packages.find_package(deps.packages, actor, sha256)
    return Response(headers={"Content-Length": str(size)}, media_type=ZIP)


@router.get("/{sha256}", response_class=Response, responses=raw_answer(ZIP) | reads(404))
def get_package(deps: D, actor: Caller, sha256: Sum) -> Response:
    """A package's bytes, for operators."""
    return Response(packages.fetch_package(deps.packages, actor, sha256), media_type=ZIP)
