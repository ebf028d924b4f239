"""What the OpenAPI document says beyond the routes: declared errors, the problem's schema, raw bodies."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from scheduler.api.problems import MEDIA_TYPE
from scheduler.schema.bodies import FindingBody, Problem

DESCRIPTION = """\
Dure shares a pool of GPUs fairly: submit training jobs, see why they wait, and check what they cost.

Every error is a problem (RFC 9457) with a stable `code`, one sentence in `detail`, and what to do in `fix`.
Lists are pages: `next` of a page is the `cursor` of the following one. Instants are RFC 3339 in UTC; usage is
milli-GPU-milliseconds; money is micro-won unless a field ends in `_won`.
"""
WORDS = {
    400: "The body could not be read.",
    401: "A valid token is needed.",
    403: "A role or the policy forbids it.",
    404: "Nothing of this name that the caller may see.",
    408: "The body did not arrive in time.",
    409: "What is there is not what the request assumes.",
    413: "The body is too large.",
    421: "The server is not known under this Host.",
    422: "The request does not fit.",
    500: "An unexpected error; the problem names the incident.",
    503: "Try again after Retry-After seconds.",
}
ALWAYS = (421, 500)
WITH_TOKEN = (*ALWAYS, 401, 403, 422, 503)
WITH_BODY = (400, 408, 413)

Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """Declared error answers with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": WORDS[status], "content": content} for status in sorted(statuses)}


def reads(*statuses: int) -> Responses:
    """Errors of a route that only reads, and what else it may answer."""
    return errors(*WITH_TOKEN, *statuses)


def writes(*statuses: int) -> Responses:
    """Errors of a route that takes a body, and what else it may answer."""
    return errors(*WITH_TOKEN, *WITH_BODY, *statuses)


def also(status: int, description: str, model: type) -> Responses:
    """A second good answer."""
    return {status: {"description": description, "model": model}}


def raw_answer(media_type: str) -> Responses:
    """A good answer of bytes."""
    return {200: {"description": "The bytes.", "content": {media_type: {"schema": _BYTES}}}}


def raw_body(media_type: str) -> dict[str, Any]:
    """A body of bytes."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": _BYTES}}}}


_BYTES = {"type": "string", "format": "binary"}


def install(app: FastAPI) -> None:
    """Make ``app.openapi`` the document with the problem's schema in it; made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI documents to extend its document


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, FindingBody):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    made["components"]["schemas"] = dict(sorted(schemas.items()))
    made["components"]["responses"] = {_name(status): answer for status, answer in sorted(errors(*WORDS).items())}
    for path in made["paths"].values():
        for operation in path.values():
            _refer(operation["responses"])
    return made


def _name(status: int | str) -> str:
    return f"Problem{status}"


def _refer(responses: dict[str, Any]) -> None:
    """Say each declared error once in the document; the answers in order of their status."""
    for status, answer in list(responses.items()):
        if MEDIA_TYPE in answer.get("content", {}):
            responses[status] = {"$ref": f"#/components/responses/{_name(status)}"}
    ordered = dict(sorted(responses.items()))
    responses.clear()
    responses.update(ordered)
