"""Routes of the policy: apply, check and show."""

from __future__ import annotations

from fastapi import APIRouter, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import also, reads, writes
from scheduler.api.params import PathNumber
from scheduler.api.problems import finding_body
from scheduler.schema.bodies import FindingBody, Listing, PolicyBody, PolicyRequest
from scheduler.services import policies, policy_views
from scheduler.services.actors import require

router = APIRouter(prefix="/api/v1/policy", tags=["policy"])


@router.post("", status_code=201, responses=also(200, "This text is in force already.", PolicyBody) | writes())
def apply_policy(deps: D, actor: Caller, request: PolicyRequest, response: Response) -> PolicyBody:
    """Put a policy in force as the next version; a file with mistakes is refused with all of them."""
    body, is_new = policies.apply_policy(deps.store, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.post("/lint", responses=writes())
def lint_policy(deps: D, actor: Caller, request: PolicyRequest) -> Listing[FindingBody]:
    """Every mistake of a policy, capacity and organisations included, whose names it tells: administrators only."""
    require(actor.is_admin, "check a policy against the registry", "an administrator; dure policy lint FILE needs none")
    with deps.store.read() as view:
        findings = policies.lint_policy(view, request, deps.clock())
    return Listing[FindingBody](kind="FindingList", items=[finding_body(item) for item in findings])


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
