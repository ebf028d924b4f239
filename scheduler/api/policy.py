"""Routes of the policy: apply, check and show."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import also, reads, writes
from scheduler.api.params import LISTED_MAX, NUMBER_MAX, Cursor, Limit, PathNumber, from_number_cursor, page
from scheduler.schema.bodies import (
    FindingBody,
    Listing,
    PolicyBody,
    PolicyDiffBody,
    PolicyDiffRequest,
    PolicyRequest,
    PolicyText,
    PolicyVersionBody,
    RollbackRequest,
    finding_body,
)
from scheduler.services import policies, policy_diffs, policy_views
from scheduler.services.actors import require

router = APIRouter(prefix="/api/v1/policy", tags=["policy"])

VersionOrNone = Annotated[int, Query(ge=0, le=NUMBER_MAX)]


@router.post("", status_code=201, responses=also(200, "This text is in force already.", PolicyBody) | writes(409))
def apply_policy(deps: D, actor: Caller, request: PolicyRequest, response: Response) -> PolicyBody:
    """Put a policy in force as the next version; a file with mistakes is refused with all of them."""
    body, is_new = policies.apply_policy(deps.store, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.post("/lint", responses=writes())
def lint_policy(deps: D, actor: Caller, request: PolicyText) -> Listing[FindingBody]:
    """Every mistake of a policy, capacity and organisations included, whose names it tells: administrators only."""
    require(actor.is_admin, "check a policy against the registry", "an administrator; dure policy lint FILE needs none")
    with deps.store.read() as view:
        findings = policies.lint_policy(view, request, deps.clock())
    return Listing[FindingBody](kind="FindingList", items=[finding_body(item) for item in findings])


@router.post(
    "/rollback", status_code=201, responses=also(200, "Its text is in force already.", PolicyBody) | writes(404, 409)
)
def rollback_policy(deps: D, actor: Caller, request: RollbackRequest, response: Response) -> PolicyBody:
    """Put an earlier version's text in force again as the next version; it is checked as any other policy."""
    body, is_new = policies.rollback_policy(deps.store, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.post("/diff", responses=writes(404))
def diff_policy(deps: D, actor: Caller, request: PolicyDiffRequest) -> PolicyDiffBody:
    """What a text would change of the policy in force, or of a version; a text with mistakes is refused with all."""
    with deps.store.read() as view:
        return policy_diffs.diff_text(view, deps.policies, actor, request, deps.clock())


@router.get("/diff", responses=reads(404))
def diff_versions(deps: D, actor: Caller, old: VersionOrNone = 0, new: VersionOrNone = 0) -> PolicyDiffBody:
    """What differs between two versions; ``new`` 0 is the one in force, ``old`` 0 the one before ``new``."""
    with deps.store.read() as view:
        return policy_diffs.diff_versions(view, deps.policies, actor, old, new)


@router.get("/versions", responses=reads())
def list_versions(deps: D, actor: Caller, limit: Limit = LISTED_MAX, cursor: Cursor = "") -> Listing[PolicyVersionBody]:
    """Every version, the newest first; reason and applied_by are empty for who does not read everything."""
    with deps.store.read() as view:
        items = policy_views.list_versions(view, actor, limit + 1, from_number_cursor(cursor))
    return page(Listing[PolicyVersionBody], "PolicyVersionList", items, limit, lambda item: str(item.version))


@router.get("", responses=reads(404))
def get_policy(deps: D, actor: Caller) -> PolicyBody:
    """The policy in force; ``whole`` says whether other organisations' overrides are in its text."""
    with deps.store.read() as view:
        return policy_views.show_policy(view, actor)


@router.get("/{version}", responses=reads(404))
def get_policy_version(deps: D, actor: Caller, version: PathNumber) -> PolicyBody:
    """One version of the policy; ``whole`` says whether other organisations' overrides are in its text."""
    with deps.store.read() as view:
        return policy_views.show_policy(view, actor, version)
