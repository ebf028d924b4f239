"""The registry: organisations, projects and members; every change is a numbered fact.

What a change is checked against holds until it is committed: each begins by taking its number, whose counter lets one
transaction in after the other. A refusal or a repeat is rolled back and gives the number back.

An organisation whose guarantee does not fit into its class any more is refused (decision 0007).
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

from scheduler.core.accounting.registration import normalise
from scheduler.core.codec import canonical
from scheduler.core.errors import Retry
from scheduler.core.facts import RegistryChanged
from scheduler.core.records import CounterRecord, MemberRecord, NodeRecord, OrgRecord, ProjectRecord
from scheduler.policy.capacity import joins
from scheduler.schema.bodies import MemberBody, MemberRequest, OrgBody, OrgRequest, ProjectBody, ProjectRequest
from scheduler.services.actors import SCOPES_BY_ROLE, Actor, require
from scheduler.services.effective import ORGS_MAX, REGISTRY_COUNTER, EffectivePolicies, newest_policy
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.services.submit import Conflict, Invalid, NotFound, Refused

NODES_MAX = 100_000
ADMIN = "an administrator of the pool"


def capacity(view: Reader) -> dict[str, int]:
    """Registered whole GPUs by flavor."""
    found: dict[str, int] = {}
    for node in view.select(NodeRecord, limit=NODES_MAX):
        found[node.flavor] = found.get(node.flavor, 0) + node.registered
    return found


class _Repeated(Exception):
    """The registry has this already; leaves the transaction by rolling it back."""


def hold_still(tx: Writer) -> None:
    """Let nobody else change the registry until this transaction ends, without taking a number; raises Retry."""
    tx.add_new(CounterRecord(name=REGISTRY_COUNTER, value=0))
    counter = tx.get(CounterRecord, REGISTRY_COUNTER)
    if counter is None or not tx.change(counter, version=counter.version):
        raise Retry("DURE-6001", "the registry changed at the same moment", "try again")


def _note(tx: Writer, number: int, what: str, record: OrgRecord | ProjectRecord | MemberRecord, now_ms: int) -> None:
    tx.append(RegistryChanged(number, what, canonical(record)), now_ms)


def create_org(
    store: Store, policies: EffectivePolicies, actor: Actor, request: OrgRequest, now_ms: int
) -> tuple[OrgBody, bool]:
    """Register a verified organisation; the same request again changes nothing. Returns it and whether it is new."""
    require(actor.is_admin, "register organisations", ADMIN)
    registration_number = _registration_number(request.registration_number)
    org = OrgRecord(
        name=request.name,
        class_name=request.class_name,
        title=request.title,
        registration_number=registration_number,
        tax_treatment=request.tax_treatment,
        created_at_ms=now_ms,
    )
    known = None
    with suppress(_Repeated), store.write() as tx:
        number = tx.next_number(REGISTRY_COUNTER)
        known = tx.get(OrgRecord, request.name)
        if known is not None:
            if replace(known, created_at_ms=now_ms, version=1, state="verified") == org:
                raise _Repeated
            raise Conflict("DURE-6020", f"organisation {request.name} exists with other data", "choose another name")
        _check_class(tx, policies, org)
        tx.add(org)
        _note(tx, number, "org", org, now_ms)
    return org_body(known or org), known is None


def _registration_number(text: str) -> str:
    """The number as NNN-NN-NNNNN, "" for none; raises Invalid that names the field and the digit that does not fit."""
    try:
        return normalise(text) if text else ""
    except ValueError as error:
        fix = "compare it digit by digit with the certificate of registration"
        raise Invalid("DURE-1301", f"registration_number: {error}", fix) from error


def _check_class(tx: Writer, policies: EffectivePolicies, org: OrgRecord) -> None:
    record = newest_policy(tx)
    if record is None:
        raise Refused("DURE-2100", "no policy is in force yet", "apply one first: dure policy apply FILE --reason TEXT")
    policy = policies.parsed(record).policy
    if org.class_name not in policy.classes:
        known = ", ".join(sorted(policy.classes))
        raise Invalid("DURE-1302", f'the policy has no class "{org.class_name}"', f"use one of: {known}")
    of_class = tx.select(OrgRecord, Where("class_name", "=", org.class_name), order=("name",), limit=ORGS_MAX)
    findings = joins(policy, org, of_class, org.created_at_ms)
    if findings:
        fix = findings[0].fix or "change the policy, or give it no guarantee"
        raise Refused("DURE-2106", f"{org.name} no longer fits: {findings[0].message}", fix)


def create_project(store: Store, actor: Actor, request: ProjectRequest, now_ms: int) -> tuple[ProjectBody, bool]:
    """Create a project of an organisation; a repeat changes nothing. Returns it and whether it is new."""
    require(actor.administers(request.org), f"create projects of {request.org}", "the organisation's admin")
    project = ProjectRecord(org=request.org, name=request.name, title=request.title, created_at_ms=now_ms)
    known = None
    with suppress(_Repeated), store.write() as tx:
        number = tx.next_number(REGISTRY_COUNTER)
        if tx.get(OrgRecord, request.org) is None:
            raise NotFound("DURE-3003", f"no organisation {request.org}", "dure org list")
        known = tx.get(ProjectRecord, request.org, request.name)
        if known is not None:
            raise _Repeated
        tx.add(project)
        _note(tx, number, "project", project, now_ms)
    return project_body(known or project), known is None


def _may_grant(actor: Actor, request: MemberRequest) -> None:
    """Nobody grants a role as high as or higher than their own, but an admin may name further admins."""
    kind, _, rest = request.scope.partition(":")
    if kind not in SCOPES_BY_ROLE[request.role]:
        allowed = " or ".join(SCOPES_BY_ROLE[request.role])
        raise Invalid("DURE-1303", f"role {request.role} has scope {allowed}, not {kind}", "dure member add --help")
    org, _, project = rest.partition("/")
    below = {"project": ("member", "project-admin"), "org": ("auditor",)}.get(kind, ())
    by_org_admin = request.role in below and actor.administers(org)
    by_project_admin = request.role == "member" and kind == "project" and actor.administers(org, project)
    require(actor.is_admin or by_org_admin or by_project_admin, f"grant {request.role} in {request.scope}", ADMIN)


def add_member(store: Store, actor: Actor, request: MemberRequest, now_ms: int) -> tuple[MemberBody, bool]:
    """Grant a role in a scope; a repeat changes nothing. Returns it and whether it is new."""
    _may_grant(actor, request)
    member = MemberRecord(
        user=request.user, role=request.role, scope=request.scope, granted_at_ms=now_ms, granted_by=actor.user
    )
    repeated = None
    with suppress(_Repeated), store.write() as tx:
        number = tx.next_number(REGISTRY_COUNTER)
        _check_scope(tx, request.scope)
        known = tx.get(MemberRecord, request.user, request.role, request.scope)
        if known is None:
            tx.add(member)
        elif known.state == "active":
            repeated = known
            raise _Repeated
        elif not tx.change(replace(member, version=known.version), version=known.version):
            raise Retry("DURE-6001", "the member changed at the same moment", "try again")
        _note(tx, number, "member", member, now_ms)
    return member_body(repeated or member), repeated is None


def remove_member(store: Store, actor: Actor, request: MemberRequest, now_ms: int) -> MemberBody:
    """Take a role away, at once and for every token; the last administrator cannot be removed."""
    _may_grant(actor, request)
    removed = None
    with suppress(_Repeated), store.write() as tx:
        number = tx.next_number(REGISTRY_COUNTER)
        known = tx.get(MemberRecord, request.user, request.role, request.scope)
        if known is None:
            raise NotFound("DURE-3004", f"{request.user} is not {request.role} in {request.scope}", "dure member list")
        removed = replace(known, state="removed")
        if known.state == "removed":
            raise _Repeated
        if request.role == "admin":
            admins = (Where("role", "=", "admin"), Where("scope", "=", "all"), Where("state", "=", "active"))
            if tx.count(MemberRecord, *admins) <= 1:
                raise Conflict("DURE-6021", "this is the last administrator", "name another one first")
        if not tx.change(removed, version=known.version):
            raise Retry("DURE-6001", "the member changed at the same moment", "try again")
        _note(tx, number, "member", removed, now_ms)
    assert removed is not None  # else something was raised
    return member_body(removed)


def _check_scope(view: Reader, scope: str) -> None:
    kind, _, rest = scope.partition(":")
    org, _, project = rest.partition("/")
    if kind in ("org", "project") and view.get(OrgRecord, org) is None:
        raise NotFound("DURE-3003", f"no organisation {org}", "dure org list")
    if kind == "project" and view.get(ProjectRecord, org, project) is None:
        raise NotFound("DURE-3002", f"no project {org}/{project}", "dure project list")


def list_orgs(view: Reader, actor: Actor, limit: int, after: str = "") -> list[OrgBody]:
    """Organisations the actor may see, by name."""
    rows = view.select(OrgRecord, Where("name", ">", after), order=("name",), limit=ORGS_MAX)
    return [org_body(row) for row in rows if actor.sees_org(row.name)][:limit]


def list_projects(view: Reader, actor: Actor, org: str, limit: int, after: str = "") -> list[ProjectBody]:
    """Projects the actor may see, by organisation and name; ``after`` is ORG/PROJECT."""
    where = (Where("org", "=", org),) if org else ()
    rows = view.select(ProjectRecord, *where, order=("org", "name"), limit=ORGS_MAX)
    last_org, _, last_name = after.partition("/")
    seen = (
        row for row in rows if actor.sees_project(row.org, row.name) and (row.org, row.name) > (last_org, last_name)
    )
    return [project_body(row) for row in seen][:limit]


def get_org(view: Reader, actor: Actor, name: str) -> OrgBody:
    """One organisation; raises NotFound alike for absent and hidden."""
    org = view.get(OrgRecord, name)
    if org is None or not actor.sees_org(name):
        raise NotFound("DURE-3003", f"no organisation {name} that you may see", "dure org list")
    return org_body(org)


def list_members(view: Reader, actor: Actor, scope: str, limit: int, after: str = "") -> list[MemberBody]:
    """Members in scopes that the actor administers, or itself, by ``member_place``; ``after`` is one of those."""
    where = (Where("scope", "=", scope),) if scope else ()
    rows = view.select(MemberRecord, *where, order=("scope", "user", "role"), limit=ORGS_MAX)
    seen = (member_body(row) for row in rows if row.user == actor.user or _administers(actor, row.scope))
    return sorted((body for body in seen if member_place(body) > after), key=member_place)[:limit]


def member_place(member: MemberBody) -> str:
    """Where a member stands in lists."""
    return f"{member.scope} {member.user} {member.role}"


def _administers(actor: Actor, scope: str) -> bool:
    matched = re.fullmatch(r"(?:org|project):([a-z0-9-]+)(?:/([a-z0-9-]+))?", scope)
    if matched is None:
        return actor.reads_all
    return actor.reads_all or actor.administers(matched[1], matched[2] or "")


def org_body(org: OrgRecord) -> OrgBody:
    """The organisation as a body."""
    return OrgBody(
        name=org.name,
        class_name=org.class_name,
        title=org.title,
        state=org.state,
        registration_number=org.registration_number,
        tax_treatment=org.tax_treatment,
    )


def project_body(project: ProjectRecord) -> ProjectBody:
    """The project as a body."""
    return ProjectBody(org=project.org, name=project.name, title=project.title, state=project.state)


def member_body(member: MemberRecord) -> MemberBody:
    """The member as a body."""
    return MemberBody(
        user=member.user,
        role=member.role,
        scope=member.scope,
        state=member.state,
        granted_at=instant(member.granted_at_ms),
        granted_by=member.granted_by,
    )
