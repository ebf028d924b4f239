"""The registry: organisations, projects, members; who may grant what; and tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.records import MemberRecord, NodeRecord, OrgRecord, ProjectRecord, TokenRecord
from scheduler.schema.bodies import MemberRequest, OrgRequest, ProjectRequest, RoleName, TokenRequest
from scheduler.services import registry, tokens
from scheduler.services.actors import SCOPES_BY_ROLE, Actor, Forbidden
from scheduler.services.effective import EffectivePolicies
from scheduler.services.submit import Conflict, Invalid, NotFound, Refused
from scheduler.services.tokens import Unauthenticated
from scheduler.store.memory import MemoryStore
from tests.support.control_plane import ControlPlane


def org(plane: ControlPlane, user: str = "admin", **fields: Any) -> tuple[Any, bool]:
    """Register an organisation of class university."""
    request = OrgRequest.model_validate({"name": "new", "class_name": "university", **fields})
    return registry.create_org(plane.store, plane.policies, plane.actor(user), request, plane.now_ms)


def member(user: str, role: RoleName, scope: str) -> MemberRequest:
    """A role in a scope."""
    return MemberRequest(user=user, role=role, scope=scope)


# Organisations and projects.


def test_a_new_organisation(plane: ControlPlane) -> None:
    body, new = org(plane, title="A new one", registration_number="1248100998", tax_treatment="exempt")
    assert (new, body.state, body.registration_number) == (True, "verified", "124-81-00998")
    assert plane.facts()[-1] == "RegistryChanged"
    facts = plane.facts()
    plane.pass_ms(1_000)
    assert org(plane, title="A new one", registration_number="124-81-00998", tax_treatment="exempt") == (body, False)
    assert plane.facts() == facts


REFUSED_ORGS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "another one of this name": ({"name": "acme", "class_name": "sme", "title": "x"}, Conflict, "DURE-6020"),
    "another class": ({"name": "acme", "class_name": "university"}, Conflict, "DURE-6020"),
    "a class that is not there": ({"class_name": "startup"}, Invalid, "DURE-1302"),
    "a number with a wrong digit": ({"registration_number": "124-81-00997"}, Invalid, "DURE-1301"),
    "no number": ({"registration_number": "abc"}, Invalid, "DURE-1301"),
}


@pytest.mark.parametrize("case", REFUSED_ORGS.values(), ids=REFUSED_ORGS.keys())
def test_refused_organisations(plane: ControlPlane, case: tuple[dict[str, Any], type[Exception], str]) -> None:
    fields, error, code = case
    facts = plane.facts()
    with pytest.raises(error) as refused:
        org(plane, **fields)
    assert getattr(refused.value, "code", "") == code
    assert plane.facts() == facts


def test_an_organisation_whose_default_does_not_fit_is_refused(plane: ControlPlane) -> None:
    """Class sme has 4 guaranteed, 2 for each organisation: the third does not fit."""
    org(plane, name="second", class_name="sme")
    with pytest.raises(Refused, match="third no longer fits") as refused:
        org(plane, name="third", class_name="sme")
    assert refused.value.code == "DURE-2106"
    assert [row.name for row in plane.rows(OrgRecord)] == ["acme", "second", "uni"]


def test_what_is_guaranteed_nothing_always_fits(plane: ControlPlane) -> None:
    """Class sme is full, and most nodes are gone from the register: a university may join all the same."""
    org(plane, name="second", class_name="sme")
    with plane.store.write() as tx:
        for node in tx.select(NodeRecord):
            assert tx.change(replace(node, registered=0, healthy=0), version=node.version)
    body, new = org(plane, name="seoul-uni", class_name="university")
    assert (body.name, new) == ("seoul-uni", True)


def test_no_organisation_before_a_policy() -> None:
    request = OrgRequest(name="new", class_name="sme")
    admin = Actor("admin", frozenset({("admin", "all")}))
    with pytest.raises(Refused) as refused:
        registry.create_org(MemoryStore(), EffectivePolicies(), admin, request, 1)
    assert refused.value.code == "DURE-2100"


@pytest.mark.parametrize("user", ["org-admin", "auditor", "member", "nobody"])
def test_only_an_administrator_registers(plane: ControlPlane, user: str) -> None:
    with pytest.raises(Forbidden):
        org(plane, user)


PROJECTS: dict[str, tuple[str, str, type[Exception] | None]] = {
    "the administrator": ("admin", "acme", None),
    "the organisation's admin": ("org-admin", "acme", None),
    "another organisation": ("org-admin", "uni", Forbidden),
    "a project's admin": ("project-admin", "acme", Forbidden),
    "a member": ("member", "acme", Forbidden),
    "an organisation that is not there": ("admin", "nowhere", NotFound),
}


@pytest.mark.parametrize("case", PROJECTS.values(), ids=PROJECTS.keys())
def test_projects(plane: ControlPlane, case: tuple[str, str, type[Exception] | None]) -> None:
    user, org_name, error = case
    request = ProjectRequest(org=org_name, name="speech", title="Speech")
    if error is not None:
        with pytest.raises(error):
            registry.create_project(plane.store, plane.actor(user), request, plane.now_ms)
        return
    body, new = registry.create_project(plane.store, plane.actor(user), request, plane.now_ms)
    assert (body.name, body.state, new) == ("speech", "active", True)
    assert registry.create_project(plane.store, plane.actor(user), request, plane.now_ms) == (body, False)
    assert len(plane.rows(ProjectRecord, ("name", "=", "speech"))) == 1


# Members: who may grant what. "+" may, "-" is forbidden.
GRANTS: dict[tuple[RoleName, str], dict[str, str]] = {
    ("member", "project:acme/nlp"): {"admin": "+", "org-admin": "+", "project-admin": "+", "member": "-"},
    ("project-admin", "project:acme/nlp"): {"admin": "+", "org-admin": "+", "project-admin": "-", "member": "-"},
    ("auditor", "org:acme"): {"admin": "+", "org-admin": "+", "project-admin": "-", "org-auditor": "-"},
    ("org-admin", "org:acme"): {"admin": "+", "org-admin": "-", "project-admin": "-"},
    ("member", "project:uni/vision"): {"admin": "+", "org-admin": "-", "project-admin": "-", "stranger": "-"},
    ("auditor", "all"): {"admin": "+", "org-admin": "-", "auditor": "-"},
    ("operator", "cluster:site"): {"admin": "+", "org-admin": "-", "operator": "-"},
    ("admin", "all"): {"admin": "+", "org-admin": "-", "auditor": "-", "nobody": "-"},
}
CASES = [(role, scope, user, allowed) for (role, scope), table in GRANTS.items() for user, allowed in table.items()]


@pytest.mark.parametrize(("role", "scope", "user", "allowed"), CASES)
def test_who_grants_and_takes_what(plane: ControlPlane, role: RoleName, scope: str, user: str, allowed: str) -> None:
    request = member("newcomer", role, scope)
    if allowed == "-":
        for service in (registry.add_member, registry.remove_member):
            with pytest.raises(Forbidden):
                service(plane.store, plane.actor(user), request, plane.now_ms)
        assert plane.rows(MemberRecord, ("user", "=", "newcomer")) == []
        return
    body, new = registry.add_member(plane.store, plane.actor(user), request, plane.now_ms)
    assert (body.state, body.granted_by, new) == ("active", user, True)
    assert (role, scope) in plane.actor("newcomer").grants
    assert registry.add_member(plane.store, plane.actor(user), request, plane.now_ms) == (body, False)
    assert registry.remove_member(plane.store, plane.actor(user), request, plane.now_ms).state == "removed"
    assert plane.actor("newcomer").grants == frozenset()
    facts = plane.facts()
    assert registry.remove_member(plane.store, plane.actor(user), request, plane.now_ms).state == "removed"
    assert plane.facts() == facts
    assert registry.add_member(plane.store, plane.actor(user), request, plane.now_ms)[1], "it may come back"
    assert (role, scope) in plane.actor("newcomer").grants


WRONG_SCOPES: list[tuple[RoleName, str]] = [
    ("admin", "org:acme"),
    ("member", "org:acme"),
    ("org-admin", "project:acme/nlp"),
    ("operator", "all"),
    ("auditor", "project:acme/nlp"),
    ("project-admin", "all"),
]


@pytest.mark.parametrize(("role", "scope"), WRONG_SCOPES)
def test_a_role_has_its_scope(plane: ControlPlane, role: RoleName, scope: str) -> None:
    with pytest.raises(Invalid) as refused:
        registry.add_member(plane.store, plane.actor(), member("newcomer", role, scope), plane.now_ms)
    assert refused.value.code == "DURE-1303"


ABSENT: list[tuple[RoleName, str, str]] = [
    ("org-admin", "org:nowhere", "DURE-3003"),
    ("member", "project:nowhere/nlp", "DURE-3003"),
    ("member", "project:acme/other", "DURE-3002"),
]


@pytest.mark.parametrize(("role", "scope", "code"), ABSENT)
def test_a_scope_that_is_not_there(plane: ControlPlane, role: RoleName, scope: str, code: str) -> None:
    with pytest.raises(NotFound) as refused:
        registry.add_member(plane.store, plane.actor(), member("newcomer", role, scope), plane.now_ms)
    assert refused.value.code == code


def test_taking_what_was_never_granted(plane: ControlPlane) -> None:
    with pytest.raises(NotFound) as refused:
        registry.remove_member(plane.store, plane.actor(), member("nobody", "auditor", "all"), plane.now_ms)
    assert refused.value.code == "DURE-3004"


def test_the_last_administrator_stays(plane: ControlPlane) -> None:
    request = member("admin", "admin", "all")
    with pytest.raises(Conflict) as refused:
        registry.remove_member(plane.store, plane.actor(), request, plane.now_ms)
    assert refused.value.code == "DURE-6021"
    plane.add_member("second", "admin", "all")
    assert registry.remove_member(plane.store, plane.actor("second"), request, plane.now_ms).state == "removed"
    with pytest.raises(Conflict):
        registry.remove_member(plane.store, plane.actor("second"), member("second", "admin", "all"), plane.now_ms)


def test_every_change_is_numbered(plane: ControlPlane) -> None:
    with plane.store.read() as view:
        facts = [fact.body for fact in view.facts(0) if fact.kind == "RegistryChanged"]
    sequences = [getattr(fact, "sequence", 0) for fact in facts]
    assert sequences == list(range(1, len(sequences) + 1))


# Lists.

SEES = {
    "admin": (["acme", "uni"], 2),
    "auditor": (["acme", "uni"], 2),
    "org-admin": (["acme"], 1),
    "member": (["acme"], 1),
    "stranger": (["uni"], 1),
    "operator": ([], 0),
    "nobody": ([], 0),
}


@pytest.mark.parametrize("user", SEES)
def test_what_is_seen(plane: ControlPlane, user: str) -> None:
    orgs, projects = SEES[user]
    actor = plane.actor(user)
    with plane.store.read() as view:
        assert [body.name for body in registry.list_orgs(view, actor, 10)] == orgs
        assert len(registry.list_projects(view, actor, "", 10)) == projects
        if orgs:
            assert registry.get_org(view, actor, orgs[0]).name == orgs[0]
        for hidden in {"acme", "uni", "nowhere"} - set(orgs):
            with pytest.raises(NotFound):
                registry.get_org(view, actor, hidden)


def test_lists_go_on_where_they_ended(plane: ControlPlane) -> None:
    for name in ("b", "c", "d"):
        org(plane, name=name)
    actor = plane.actor()
    with plane.store.read() as view:
        pages = [registry.list_orgs(view, actor, 2)]
        while len(pages[-1]) == 2:
            pages.append(registry.list_orgs(view, actor, 2, pages[-1][-1].name))
    assert [body.name for page in pages for body in page] == ["acme", "b", "c", "d", "uni"]


MEMBERS_SEEN = {"admin": 9, "auditor": 9, "org-admin": 5, "project-admin": 3, "member": 1, "nobody": 0}


@pytest.mark.parametrize("user", MEMBERS_SEEN)
def test_members_seen(plane: ControlPlane, user: str) -> None:
    """All; those inside the organisation; those of the project; oneself."""
    with plane.store.read() as view:
        assert len(registry.list_members(view, plane.actor(user), "", 100)) == MEMBERS_SEEN[user]


# Tokens.


def token(plane: ControlPlane, by: str = "member", **fields: Any) -> Any:
    """A new token with the id ``t1`` and the secret ``s3cret``."""
    return tokens.create_token(plane.store, plane.actor(by), TokenRequest(**fields), "t1", "s3cret", plane.now_ms)


def test_a_token_speaks_for_its_user(plane: ControlPlane) -> None:
    body = token(plane, note="laptop")
    assert (body.user, body.secret, body.note) == ("member", "dure_t1_s3cret", "laptop")
    actor = tokens.authenticate(plane.store, f"Bearer {body.secret}", plane.now_ms)
    assert actor == plane.actor("member")
    assert plane.rows(TokenRecord)[0].sha256 != "s3cret"
    with plane.store.read() as view:
        assert [item.secret for item in tokens.list_tokens(view, actor, 10)] == [""]


HEADERS = {
    "none": None,
    "empty": "",
    "no scheme": "dure_t1_s3cret",
    "another scheme": "Basic dure_t1_s3cret",
    "another prefix": "Bearer other_t1_s3cret",
    "too few parts": "Bearer dure_t1",
    "too many parts": "Bearer dure_t1_s3cret_x",
    "another id": "Bearer dure_t2_s3cret",
    "another secret": "Bearer dure_t1_secret",
    "no secret": "Bearer dure_t1_",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_what_is_no_token(plane: ControlPlane, header: str | None) -> None:
    token(plane)
    with pytest.raises(Unauthenticated) as refused:
        tokens.authenticate(plane.store, header, plane.now_ms)
    assert refused.value.code == "DURE-4001"


def test_a_token_expires(plane: ControlPlane) -> None:
    header = f"bearer {token(plane, expires_seconds=60).secret}"
    plane.pass_ms(59_999)
    assert tokens.authenticate(plane.store, header, plane.now_ms).user == "member"
    plane.pass_ms(1)
    with pytest.raises(Unauthenticated) as refused:
        tokens.authenticate(plane.store, header, plane.now_ms)
    assert refused.value.code == "DURE-4002"


def test_a_revoked_token_says_nothing_any_more(plane: ControlPlane) -> None:
    header = f"Bearer {token(plane).secret}"
    assert tokens.revoke_token(plane.store, plane.actor("member"), "t1", plane.now_ms).revoked
    with pytest.raises(Unauthenticated):
        tokens.authenticate(plane.store, header, plane.now_ms)
    before = plane.rows(TokenRecord)
    plane.pass_ms(1)
    tokens.revoke_token(plane.store, plane.actor("member"), "t1", plane.now_ms)
    assert plane.rows(TokenRecord) == before


def test_a_member_who_left_keeps_a_token_without_rights(plane: ControlPlane) -> None:
    header = f"Bearer {token(plane).secret}"
    request = member("member", "member", "project:acme/nlp")
    registry.remove_member(plane.store, plane.actor(), request, plane.now_ms)
    assert tokens.authenticate(plane.store, header, plane.now_ms).grants == frozenset()


def test_tokens_of_others(plane: ControlPlane) -> None:
    assert token(plane, "admin", user="operator").user == "operator"
    with pytest.raises(Forbidden):
        token(plane, "member", user="admin")
    for user in ("member", "nobody"):
        with pytest.raises(NotFound):
            tokens.revoke_token(plane.store, plane.actor(user), "t1", plane.now_ms)
    with plane.store.read() as view:
        assert tokens.list_tokens(view, plane.actor("member"), 10) == []
        assert len(tokens.list_tokens(view, plane.actor("admin"), 10)) == 1


def test_every_role_has_its_line() -> None:
    assert {role for role, _ in GRANTS} == set(SCOPES_BY_ROLE)


def test_a_wrong_last_digit_is_named_with_its_field_and_what_to_do(plane: ControlPlane) -> None:
    with pytest.raises(Invalid) as refused:
        org(plane, registration_number="124-81-00997")
    error = refused.value
    assert error.code == "DURE-1301"
    assert error.message.startswith("registration_number: '124-81-00997'")
    assert error.message.endswith("its last digit would be 8")
    assert error.fix == "compare it digit by digit with the certificate of registration"
