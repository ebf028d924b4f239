"""Routes of the registry: organisations, projects and members."""

from __future__ import annotations

from fastapi import APIRouter, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import also, reads, writes
from scheduler.api.params import LISTED_MAX, Cursor, Filter, Limit, PathName, from_cursor, page
from scheduler.schema.bodies import (
    Listing,
    MemberBody,
    MemberRequest,
    OrgBody,
    OrgRequest,
    ProjectBody,
    ProjectRequest,
)
from scheduler.services import registry

router = APIRouter(prefix="/api/v1", tags=["registry"])


@router.post("/orgs", status_code=201, responses=also(200, "It was there already.", OrgBody) | writes(409))
def create_org(deps: D, actor: Caller, request: OrgRequest, response: Response) -> OrgBody:
    """Register a verified organisation; the same request again changes nothing."""
    body, is_new = registry.create_org(deps.store, deps.policies, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.get("/orgs", responses=reads())
def list_orgs(deps: D, actor: Caller, cursor: Cursor = "", limit: Limit = LISTED_MAX) -> Listing[OrgBody]:
    """Organisations that the caller may see, by name."""
    with deps.store.read() as view:
        found = registry.list_orgs(view, actor, limit + 1, from_cursor(cursor))
    return page(Listing[OrgBody], "OrganisationList", found, limit, lambda org: org.name)


@router.get("/orgs/{org}", responses=reads(404))
def get_org(deps: D, actor: Caller, org: PathName) -> OrgBody:
    """One organisation."""
    with deps.store.read() as view:
        return registry.get_org(view, actor, org)


@router.post("/projects", status_code=201, responses=also(200, "It was there already.", ProjectBody) | writes(404))
def create_project(deps: D, actor: Caller, request: ProjectRequest, response: Response) -> ProjectBody:
    """Create a project of an organisation; a repeat changes nothing."""
    body, is_new = registry.create_project(deps.store, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.get("/projects", responses=reads())
def list_projects(
    deps: D, actor: Caller, org: Filter = "", cursor: Cursor = "", limit: Limit = LISTED_MAX
) -> Listing[ProjectBody]:
    """Projects that the caller may see, by organisation and name."""
    with deps.store.read() as view:
        found = registry.list_projects(view, actor, org, limit + 1, from_cursor(cursor))
    return page(Listing[ProjectBody], "ProjectList", found, limit, lambda item: f"{item.org}/{item.name}")


@router.post("/members", status_code=201, responses=also(200, "It was there already.", MemberBody) | writes(404))
def add_member(deps: D, actor: Caller, request: MemberRequest, response: Response) -> MemberBody:
    """Grant a role in a scope; a repeat changes nothing."""
    body, is_new = registry.add_member(deps.store, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.post("/members/remove", responses=writes(404, 409))
def remove_member(deps: D, actor: Caller, request: MemberRequest) -> MemberBody:
    """Take a role away, at once and for every token of the user."""
    return registry.remove_member(deps.store, actor, request, deps.clock())


@router.get("/members", responses=reads())
def list_members(
    deps: D, actor: Caller, scope: Filter = "", cursor: Cursor = "", limit: Limit = LISTED_MAX
) -> Listing[MemberBody]:
    """Roles in scopes that the caller administers, and the caller's own."""
    with deps.store.read() as view:
        found = registry.list_members(view, actor, scope, limit + 1, from_cursor(cursor))
    return page(Listing[MemberBody], "MemberList", found, limit, registry.member_place)
