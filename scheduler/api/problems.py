"""Every error as RFC 9457 problem details: a stable code, one sentence, the fix; never a traceback or internal text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scheduler.core.errors import DuplicateRecord, DureError, Fatal, Retry
from scheduler.schema.bodies import FindingBody, Problem, finding_body
from scheduler.schema.codes import CODES
from scheduler.services.actors import Forbidden
from scheduler.services.policies import FileRefused
from scheduler.services.submit import Conflict, Invalid, NotFound, Refused
from scheduler.services.tokens import Unauthenticated

LOG = logging.getLogger("dure.api")
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
FINDINGS_MAX = 100
PLACE_LENGTH_MAX = 200

NOT_VALID = "DURE-1040"
NOT_PARSED = "DURE-1041"
TOO_LARGE = "DURE-1042"
TOO_SLOW = "DURE-1043"
BAD_CURSOR = "DURE-1044"
BAD_METHOD = "DURE-1045"
NO_ADDRESS = "DURE-3000"
BAD_HOST = "DURE-4004"
NOT_READY = "DURE-8010"
BUSY = "DURE-8011"
UNEXPECTED = "DURE-9001"

STATUS_BY_ERROR: tuple[tuple[type[DureError], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (Refused, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Invalid, 422),
    (FileRefused, 422),
    (Retry, 503),
)
"""The first that fits decides; another Fatal is about the server (80xx: 500) or about what was sent (422)."""

SERVER_CODES = "DURE-8"
OWN_WORDS = frozenset({BUSY, "DURE-8030", "DURE-8031"})
"""Of the server's own troubles, those whose text names nothing but what the client sent."""

CODE_BY_STATUS = {
    400: (NOT_PARSED, "the body could not be read", "send JSON in UTF-8"),
    404: (NO_ADDRESS, "there is nothing at this address", "see /openapi.json"),
    405: (BAD_METHOD, "this address does not take this method", "see /openapi.json"),
    408: (TOO_SLOW, "the body did not arrive in time", "send it again over a faster connection"),
    413: (TOO_LARGE, "the body is larger than the server takes", "send less at once"),
}


def problem(
    status: int,
    code: str,
    detail: str,
    fix: str = "",
    findings: Sequence[FindingBody] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error answer; its title is the code's in the catalogue."""
    body = Problem(
        type=f"urn:dure:problem:{code}",
        title=CODES[code].title,
        status=status,
        detail=detail,
        code=code,
        fix=fix,
        findings=list(findings),
    )
    return Response(body.model_dump_json(), status, dict(headers or {}), MEDIA_TYPE)


def from_status(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The problem of an HTTP status that no service has explained."""
    if status >= 500 or status not in CODE_BY_STATUS:
        code = UNEXPECTED if status >= 500 else NOT_VALID
        return problem(status, code, "the request could not be answered", "", headers=headers)
    code, detail, fix = CODE_BY_STATUS[status]
    return problem(status, code, detail, fix, headers=headers)


def from_error(error: DureError) -> Response:
    """The problem of an error that a service raised."""
    otherwise = 500 if error.code.startswith(SERVER_CODES) else 422
    status = next((status for kind, status in STATUS_BY_ERROR if isinstance(error, kind)), otherwise)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_SECONDS)}}.get(status)
    findings = [finding_body(item) for item in error.findings] if isinstance(error, FileRefused) else []
    return problem(status, error.code, error.message, error.fix, findings, headers)


def from_validation(error: RequestValidationError) -> Response:
    """The problem of a body or parameters that do not fit: 400 when the body is no JSON, otherwise 422 with places."""
    mistakes = error.errors()
    if any(item["type"] == "json_invalid" for item in mistakes):
        return from_status(400)
    findings = []
    for item in mistakes[:FINDINGS_MAX]:
        place = ".".join(str(part) for part in item["loc"])[:PLACE_LENGTH_MAX]
        findings.append(FindingBody(where=place, code=NOT_VALID, message=str(item["msg"])))
    first = f"{findings[0].where}: {findings[0].message}" if findings else "the request does not fit"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return problem(422, NOT_VALID, first + more, "see /openapi.json for what is expected", findings)


def from_unexpected(error: Exception, incident: str, method: str, path: str) -> Response:
    """The problem of a mistake in Dure itself; the traceback goes to the log, once, under the incident's id."""
    about = {"incident": incident, "method": method, "path": path}
    LOG.error("unexpected error in a request", exc_info=error, extra=about)
    return problem(500, UNEXPECTED, f"an unexpected error, incident {incident}", "tell the server's operator its id")


def _logged(error: DureError, incident: str, method: str, path: str) -> DureError:
    """The error in words that name nothing of the server; its own go to the log, under the incident's id."""
    passes = isinstance(error, Retry)
    about = {"incident": incident, "code": error.code, "method": method, "path": path}
    LOG.error("a request failed: %s", error.message, exc_info=None if passes else error, extra=about)
    message = f"{CODES[error.code].title}, incident {incident}"
    if passes:
        return Retry(error.code, message, "try again")
    return Fatal(error.code, message, "tell the server's operator its id")


async def _on_dure_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DureError)
    if error.code.startswith(SERVER_CODES) and error.code not in OWN_WORDS:
        error = _logged(error, request.app.state.deps.ids.new(), request.method, request.url.path)
    return from_error(error)


async def _on_duplicate(_request: Request, error: Exception) -> Response:
    return from_error(Retry("DURE-6001", "the same was stored at the same moment", "try again"))


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return from_status(error.status_code, error.headers)


async def _on_validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return from_validation(error)


def install(app: FastAPI) -> None:
    """Answer every kind of error this way; what is none of these is the Edge's."""
    app.add_exception_handler(DureError, _on_dure_error)
    app.add_exception_handler(DuplicateRecord, _on_duplicate)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
