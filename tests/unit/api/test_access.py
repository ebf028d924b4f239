"""Who may do what: each route of the contract asked by each role, and what is hidden looks like what is absent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi.routing import APIRoute

from scheduler.api.app import ROUTERS
from tests.unit.api.place import DEFAULT_POLICY, TASK, Made, Place

PACKAGE = b"PK\x05\x06" + b"\0" * 18
SHA = "8739c76e681f900923b900c9df0ef75cf421d39cabb54650c4b9ad19b6a76d85"
JOB = "aaaaaaaaaaaa"
NODE = {"at_ms": 1, "observed_through_ms": 1, "observations": []}

PERSONAS = ("", "roleless", "stranger", "member", "org-admin", "auditor", "operator", "other-operator", "admin")


class Row(NamedTuple):
    """A request, and the status for each of PERSONAS in order. The state is what the setup and those before left."""

    method: str
    path: str
    statuses: tuple[int, ...]
    template: str = ""
    json: Any = None
    content: bytes | None = None
    headers: dict[str, str] | None = None


def each(anonymous: int, roleless: int, *others: int) -> tuple[int, ...]:
    """The statuses of all personas."""
    assert len(others) == len(PERSONAS) - 2
    return (anonymous, roleless, *others)


#                  none  roleless stranger member org-admin auditor operator other-op admin
OPEN = each(200, 200, 200, 200, 200, 200, 200, 200, 200)
ANY = each(401, 200, 200, 200, 200, 200, 200, 200, 200)
THE_JOB = each(401, 404, 404, 200, 200, 200, 404, 404, 200)
STEER = each(401, 404, 404, 200, 200, 403, 404, 404, 200)
ORG_MONEY = each(401, 404, 404, 404, 404, 404, 404, 404, 404)
AUDIT = each(401, 403, 403, 403, 403, 200, 403, 403, 200)
ADMIN = each(401, 403, 403, 403, 403, 403, 403, 403, 201)
ADMIN_OR_NOTHING = each(401, 403, 403, 403, 403, 403, 403, 403, 404)
LINT = each(401, 403, 403, 403, 403, 403, 403, 403, 200)
ORG_ADMIN = each(401, 403, 403, 403, 201, 403, 403, 403, 200)
OPERATOR = each(401, 403, 403, 403, 403, 403, 200, 403, 403)
CREDIT = {"invoice": "DURE-2027-000001", "reason": "01", "explanation": "x"}
ROWS = (
    Row("GET", "/healthz", OPEN),
    Row("GET", "/readyz", OPEN),
    Row("GET", "/version", OPEN),
    Row("GET", "/metrics", AUDIT),
    Row("GET", "/api/v1/whoami", ANY),
    Row(
        "POST",
        "/api/v1/jobs",
        each(401, 404, 404, 201, 201, 403, 404, 404, 201),
        json=TASK,
        headers={"Idempotency-Key": "another"},
    ),
    Row("POST", "/api/v1/jobs/plan", each(401, 404, 404, 200, 200, 403, 404, 404, 200), json=TASK),
    Row("GET", "/api/v1/jobs", ANY),
    Row("GET", f"/api/v1/jobs/{JOB}", THE_JOB, "/api/v1/jobs/{job}"),
    Row("GET", f"/api/v1/jobs/{JOB}/events", THE_JOB, "/api/v1/jobs/{job}/events"),
    Row("GET", f"/api/v1/jobs/{JOB}/why", THE_JOB, "/api/v1/jobs/{job}/why"),
    Row("GET", f"/api/v1/jobs/{JOB}/logs", THE_JOB, "/api/v1/jobs/{job}/logs"),
    Row("POST", f"/api/v1/jobs/{JOB}/hold", STEER, "/api/v1/jobs/{job}/hold"),
    Row("POST", f"/api/v1/jobs/{JOB}/release", STEER, "/api/v1/jobs/{job}/release"),
    Row("POST", f"/api/v1/jobs/{JOB}/cancel", STEER, "/api/v1/jobs/{job}/cancel"),
    Row(
        "PUT",
        f"/api/v1/packages/{SHA}",
        each(401, 403, 200, 200, 200, 200, 200, 200, 200),
        "/api/v1/packages/{sha256}",
        content=PACKAGE,
    ),
    Row(
        "HEAD",
        f"/api/v1/packages/{SHA}",
        each(401, 403, 404, 404, 404, 404, 404, 404, 404),
        "/api/v1/packages/{sha256}",
    ),
    Row(
        "GET", f"/api/v1/packages/{SHA}", each(401, 403, 403, 403, 403, 403, 404, 404, 403), "/api/v1/packages/{sha256}"
    ),
    Row(  # no user's token speaks for an attempt
        "POST",
        f"/api/v1/attempts/{JOB}/1/checkpoint",
        each(401, 401, 401, 401, 401, 401, 401, 401, 401),
        "/api/v1/attempts/{job}/{attempt}/checkpoint",
        json={"step": 1},
    ),
    Row("GET", "/api/v1/quota", ANY),
    Row("GET", "/api/v1/usage", ANY),
    Row("GET", "/api/v1/fairness", each(401, 403, 403, 403, 403, 200, 403, 403, 200)),
    Row("GET", "/api/v1/fairness.csv", each(401, 403, 403, 403, 403, 200, 403, 403, 200)),
    Row("GET", "/api/v1/gpus", ANY),
    Row("POST", "/api/v1/tokens", each(401, 201, 201, 201, 201, 201, 201, 201, 201), json={"note": "mine"}),
    Row("GET", "/api/v1/tokens", ANY),
    Row(
        "DELETE",
        "/api/v1/tokens/tokencolleague",
        each(401, 404, 404, 404, 404, 404, 404, 404, 200),
        "/api/v1/tokens/{token}",
    ),
    Row("POST", "/api/v1/policy", ADMIN, json={"text": DEFAULT_POLICY + "\n", "reason": "test"}),
    Row("POST", "/api/v1/policy/rollback", LINT, json={"version": 1, "reason": "test"}),
    Row("POST", "/api/v1/policy/diff", ANY, json={"text": DEFAULT_POLICY}),
    Row("GET", "/api/v1/policy/diff", ANY),
    Row("GET", "/api/v1/policy/versions", ANY),
    Row("GET", "/api/v1/policy", ANY),
    Row("GET", "/api/v1/policy/1", ANY, "/api/v1/policy/{version}"),
    Row("POST", "/api/v1/policy/lint", LINT, json={"text": DEFAULT_POLICY}),
    Row("POST", "/api/v1/orgs", ADMIN, json={"name": "gamma", "class_name": "sme"}),
    Row("GET", "/api/v1/orgs", ANY),
    Row("GET", "/api/v1/orgs/alpha", each(401, 404, 404, 200, 200, 200, 404, 404, 200), "/api/v1/orgs/{org}"),
    Row("POST", "/api/v1/projects", ORG_ADMIN, json={"org": "alpha", "name": "vision"}),
    Row("GET", "/api/v1/projects", ANY),
    Row("POST", "/api/v1/members", ORG_ADMIN, json={"user": "new", "role": "member", "scope": "project:alpha/nlp"}),
    Row(
        "POST",
        "/api/v1/members/remove",
        each(401, 403, 403, 403, 200, 403, 403, 403, 200),
        json={"user": "colleague", "role": "member", "scope": "project:alpha/nlp"},
    ),
    Row("GET", "/api/v1/members", ANY),
    Row("GET", "/api/v1/periods", AUDIT),
    Row("POST", "/api/v1/periods/close?id=none", each(401, 403, 403, 403, 403, 403, 403, 403, 404)),
    Row("GET", "/api/v1/invoices", ANY),
    Row("GET", "/api/v1/invoices/DURE-2027-000001", ORG_MONEY, "/api/v1/invoices/{number}"),
    Row("GET", "/api/v1/invoices/DURE-2027-000001.csv", ORG_MONEY, "/api/v1/invoices/{number}.csv"),
    Row("GET", "/api/v1/invoices/DURE-2027-000001.pdf", ORG_MONEY, "/api/v1/invoices/{number}.pdf"),
    Row("GET", "/api/v1/invoices/DURE-2027-000001/verify", ORG_MONEY, "/api/v1/invoices/{number}/verify"),
    Row("POST", "/api/v1/credits", ADMIN_OR_NOTHING, json=CREDIT),
    Row("POST", "/api/v1/credits/aaaa/approve", ADMIN_OR_NOTHING, "/api/v1/credits/{proposal}/approve"),
    Row("GET", "/api/v1/credits", ANY),
    Row("GET", "/api/v1/credits/DURE-CN-2027-000001", ORG_MONEY, "/api/v1/credits/{name}"),
    Row("GET", "/api/v1/credits/DURE-CN-2027-000001.csv", ORG_MONEY, "/api/v1/credits/{number}.csv"),
    Row("GET", "/api/v1/credits/DURE-CN-2027-000001.pdf", ORG_MONEY, "/api/v1/credits/{number}.pdf"),
    Row("GET", "/api/v1/credits/DURE-CN-2027-000001/verify", ORG_MONEY, "/api/v1/credits/{number}/verify"),
    Row("POST", "/api/v1/operator/local/pull", OPERATOR, "/api/v1/operator/{cluster}/pull", json={}),
    Row("POST", "/api/v1/operator/local/report", OPERATOR, "/api/v1/operator/{cluster}/report", json=NODE),
    Row(
        "POST",
        f"/api/v1/operator/local/logs/{JOB}/1/0?offset=0",
        each(401, 403, 403, 403, 403, 403, 404, 403, 403),
        "/api/v1/operator/{cluster}/logs/{job}/{attempt}/{rank}",
        content=b"hello",
    ),
    Row("GET", f"/api/v1/jobs/{JOB}/artifacts", THE_JOB, "/api/v1/jobs/{job}/artifacts"),
    Row(
        "GET",
        f"/api/v1/jobs/{JOB}/artifacts/1/0",
        each(401, 404, 404, 404, 404, 404, 404, 404, 404),
        "/api/v1/jobs/{job}/artifacts/{attempt}/{number}",
    ),
    Row(
        "POST",
        f"/api/v1/operator/local/artifacts/{JOB}/1",
        each(401, 403, 403, 403, 403, 403, 404, 403, 403),
        "/api/v1/operator/{cluster}/artifacts/{job}/{attempt}",
        json={"files": []},
    ),
    Row(
        "POST",
        f"/api/v1/operator/local/artifacts/{JOB}/1/0?offset=0",
        each(401, 403, 403, 403, 403, 403, 404, 403, 403),
        "/api/v1/operator/{cluster}/artifacts/{job}/{attempt}/{number}",
        content=b"hello",
    ),
)


def ask(place: Place, row: Row, user: str) -> httpx.Response:
    """The answer to a row's request by a user."""
    return place.client(user).request(row.method, row.path, json=row.json, content=row.content, headers=row.headers)


def served() -> Iterator[tuple[str, str]]:
    """Method and path of every route there is."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield from ((method, route.path) for method in route.methods or ())


def test_the_table_has_every_route_and_no_other() -> None:
    assert sorted((row.method, row.template or row.path.partition("?")[0]) for row in ROWS) == sorted(served())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.template or row.path}")
def test_each_role_gets_what_is_its_due(place: Place, row: Row) -> None:
    assert place.submit()["id"] == JOB
    answers = [ask(place, row, user) for user in PERSONAS]
    assert dict(zip(PERSONAS, [answer.status_code for answer in answers], strict=True)) == dict(
        zip(PERSONAS, row.statuses, strict=True)
    )
    for answer in answers:
        if answer.status_code >= 400 and row.method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
            assert answer.json()["detail"]
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"] == "Bearer"


HIDDEN = [row for row in ROWS if "/jobs/" in row.path and "/operator/" not in row.path] + [
    row for row in ROWS if row.path.startswith(("/api/v1/orgs/alpha", "/api/v1/tokens/tokencolleague"))
]


@pytest.mark.parametrize("row", HIDDEN, ids=lambda row: f"{row.method} {row.template}")
def test_the_hidden_is_answered_like_the_absent(make_place: Made, row: Row) -> None:
    there = make_place()
    there.submit()
    absent = make_place(found=("beta",))
    for user in ("roleless", "stranger"):
        hidden, missing = ask(there, row, user), ask(absent, row, user)
        assert hidden.status_code == missing.status_code == 404
        assert hidden.content == missing.content
        assert dict(hidden.headers) == dict(missing.headers)


def test_a_job_of_another_project_is_not_listed(place: Place) -> None:
    place.submit()
    listed = {user: place.client(user).get("/api/v1/jobs").json()["items"] for user in PERSONAS if user}
    assert {user for user, items in listed.items() if items} == {"member", "org-admin", "auditor", "admin"}


def test_tokens_end(place: Place) -> None:
    mine = place.client("member")
    made = mine.post("/api/v1/tokens", json={"expires_seconds": 60}).json()
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    anonymous = place.client()
    assert anonymous.get("/api/v1/whoami", headers=bearer).json()["user"] == "member"
    place.now_ms += 59_999
    assert anonymous.get("/api/v1/whoami", headers=bearer).status_code == 200
    place.now_ms += 1
    assert anonymous.get("/api/v1/whoami", headers=bearer).json()["code"] == "DURE-4002"
    assert mine.delete(f"/api/v1/tokens/{made['id']}").json()["revoked"] is True
    assert anonymous.get("/api/v1/whoami", headers=bearer).json()["code"] == "DURE-4001"
    assert "secret" in made["secret"]
    assert "secret00" not in mine.get("/api/v1/tokens").text


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic dG9rZW46", "Bearer dure_tokenadmin_wrong", "Bearer dure__", "Bearer é"]
)
def test_what_is_no_token_is_refused(place: Place, header: str) -> None:
    answer = place.client().get("/api/v1/whoami", headers=[(b"Authorization", header.encode("latin-1"))])
    assert (answer.status_code, answer.json()["code"]) == (401, "DURE-4001")


def test_who_leaves_loses_every_token_at_once(place: Place) -> None:
    member = place.client("member")
    assert member.get("/api/v1/orgs/alpha").status_code == 200
    role = {"user": "member", "role": "member", "scope": "project:alpha/nlp"}
    assert place.client("admin").post("/api/v1/members/remove", json=role).status_code == 200
    assert member.get("/api/v1/orgs/alpha").status_code == 404
    assert member.get("/api/v1/whoami").json()["grants"] == []
