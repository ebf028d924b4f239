"""Routes of the policy: apply, check and show."""

from __future__ import annotations

from fastapi import APIRouter, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import also, reads, writes
from scheduler.api.params import PathNumber
from scheduler.api.problems import finding_body
from scheduler.schema.bodies import FindingBody, Listing, PolicyBody, PolicyRequest
from scheduler.services import policies

router = APIRouter(prefix="/api/v1/policy", tags=["policy"])


@router.post("", status_code=201, responses=also(200, "This text is in force already.", PolicyBody) | writes())
def apply_policy(deps: D, actor: Caller, request: PolicyRequest, response: Response) -> PolicyBody:
    """Put a policy in force as the next version; a file with mistakes is refused with all of them."""
    body, is_new = policies.apply_policy(deps.store, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.post("/lint", responses=writes())
def lint_policy(deps: D, actor: Caller, request: PolicyRequest) -> Listing[FindingBody]:
    """Every mistake of a policy, capacity and organisations included; empty when it could be applied."""
    with deps.store.read() as view:
        findings = policies.lint_policy(view, request, deps.clock())
    return Listing[FindingBody](kind="FindingList", items=[finding_body(item) for item in findings])


@router.get("", responses=reads(404))
def get_policy(deps: D, actor: Caller) -> PolicyBody:
    """The policy in force."""
    with deps.store.read() as view:
        return policies.show_policy(view)


@router.get("/{version}", responses=reads(404))
def get_policy_version(deps: D, actor: Caller, version: PathNumber) -> PolicyBody:
    """One version of the policy."""
    with deps.store.read() as view:
        return policies.show_policy(view, version)
