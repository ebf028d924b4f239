"""Every method of the client calls a route that the API's own document has, with parameters that it takes."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from scheduler.client import artifacts
from scheduler.client.http import Client
from scheduler.client.transport import Policy
from scheduler.core.errors import DureError
from scheduler.schema import bodies
from tests.support.source import ROOT

SHA = "a" * 64
TASK = bodies.TaskBody(name="t", project="o/p", gpus="h100:1", run="true")
MEMBER = bodies.MemberRequest(user="u", role="member", scope="all")
POLICY = bodies.PolicyRequest(text="x", reason="tests")
CREDIT = bodies.CreditRequest(invoice="n", reason="01", explanation="x")
FILTERS = ("org", "project", "state", "user", "name", "all", "cursor", "limit")
CALLS: dict[str, Callable[[Client], object]] = {
    "version": lambda api: api.version(),
    "server_date": lambda api: api.server_date(),
    "whoami": lambda api: api.whoami(),
    "submit": lambda api: api.submit(TASK, "k"),
    "plan": lambda api: api.plan(TASK),
    "jobs": lambda api: api.jobs(
        {
            "org": "o",
            "project": "p",
            "state": "Held",
            "user": "u",
            "name": "n",
            "all": "true",
            "cursor": "c",
            "limit": 1,
        }
    ),
    "job": lambda api: api.job("j"),
    "events": lambda api: api.events("j"),
    "why": lambda api: api.why("j"),
    "cancel": lambda api: api.cancel("j"),
    "hold": lambda api: api.hold("j"),
    "release": lambda api: api.release("j"),
    "log": lambda api: api.log("j", attempt=1, rank=2, offset=3),
    "has_package": lambda api: api.has_package(SHA),
    "put_package": lambda api: api.put_package(SHA, b"x"),
    "package": lambda api: api.package(SHA),
    "quota": lambda api: api.quota(org="o", flavor="f"),
    "usage": lambda api: api.usage(org="o", project="p", since="s", until="u", by="day"),
    "gpus": lambda api: api.gpus(),
    "fairness": lambda api: api.fairness({"view": "whole", "period": "p", "since": "s", "until": "u"}),
    "fairness_csv": lambda api: api.fairness_csv({"view": "public", "period": "p"}),
    "fairness_page": lambda api: api.fairness_page({"view": "public"}, "ko"),
    "create_token": lambda api: api.create_token(bodies.TokenRequest()),
    "tokens": lambda api: api.tokens(),
    "revoke_token": lambda api: api.revoke_token("t"),
    "apply_policy": lambda api: api.apply_policy(POLICY),
    "policy": lambda api: [api.policy(1), api.policy()],
    "policy_versions": lambda api: api.policy_versions(cursor="c"),
    "diff_policy": lambda api: api.diff_policy(bodies.PolicyDiffRequest(text="x")),
    "diff_versions": lambda api: api.diff_versions(1, 2),
    "rollback_policy": lambda api: api.rollback_policy(bodies.RollbackRequest(version=1, reason="tests")),
    "lint_policy": lambda api: api.lint_policy(POLICY),
    "create_org": lambda api: api.create_org(bodies.OrgRequest(name="o", class_name="c")),
    "orgs": lambda api: api.orgs(cursor="c"),
    "org": lambda api: api.org("o"),
    "create_project": lambda api: api.create_project(bodies.ProjectRequest(org="o", name="p")),
    "projects": lambda api: api.projects("o", cursor="c"),
    "add_member": lambda api: api.add_member(MEMBER),
    "remove_member": lambda api: api.remove_member(MEMBER),
    "members": lambda api: api.members("all", cursor="c"),
    "periods": lambda api: api.periods(),
    "close_period": lambda api: api.close_period("p"),
    "invoices": lambda api: api.invoices(period="p", org="o"),
    "invoice": lambda api: api.invoice("n"),
    "invoice_csv": lambda api: api.invoice_csv("n"),
    "verify_invoice": lambda api: api.verify_invoice("n"),
    "invoice_pdf": lambda api: api.invoice_pdf("n", "en"),
    "propose_credit": lambda api: api.propose_credit(CREDIT),
    "approve_credit": lambda api: api.approve_credit("p"),
    "credits": lambda api: api.credits(invoice="n", org="o"),
    "credit": lambda api: api.credit("n"),
    "credit_csv": lambda api: api.credit_csv("n"),
    "credit_pdf": lambda api: api.credit_pdf("n", "en"),
    "verify_credit": lambda api: api.verify_credit("n"),
    "pull": lambda api: api.pull("c", bodies.PullRequest()),
    "report": lambda api: api.report("c", bodies.ReportRequest(at_ms=1, observed_through_ms=1, observations=[])),
    "push_log": lambda api: api.push_log("c", "j", 1, 0, 0, b"x"),
}
# Calls that lie beside the client and go through its ``send``.
BESIDE: dict[str, Callable[[Client], object]] = {
    "list_artifacts": lambda api: artifacts.list_artifacts(api, "j", 1),
    "read_part": lambda api: artifacts.read_part(api, "j", 1, 0, 0),
    "send_list": lambda api: artifacts.send_list(api, "c", "j", 1, bodies.ArtifactsRequest(files=[])),
    "send_part": lambda api: artifacts.send_part(api, "c", "j", 1, 0, 0, b"x"),
}
EVERY = CALLS | BESIDE
# Routes for people and machines that are no user of the client.
JOBS_OWN = ("POST", "/api/v1/attempts/{job}/{attempt}/checkpoint")
NOT_FOR_THE_CLIENT = {("GET", "/readyz"), ("GET", "/metrics"), JOBS_OWN}


def read_operations() -> dict[tuple[str, str], dict[str, Any]]:
    """(method, path) -> operation of the committed document, which a test of the API keeps up to date."""
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    return {(method.upper(), path): item for path, methods in paths.items() for method, item in methods.items()}


OPERATIONS = read_operations()


def sent(call: Callable[[Client], object]) -> httpx.Request:
    """The request that a call makes; it is answered with an error."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(418)

    transport = httpx.MockTransport(answer)
    with Client("http://h", "t", policy=Policy(tries=1), http=transport) as api, contextlib.suppress(DureError):
        call(api)
    return seen[0]


def operation_of(request: httpx.Request) -> tuple[str, str]:
    """The operation whose path fits, the most literal one first."""
    fitting = []
    for method, path in OPERATIONS:
        literal = re.split(r"\{\w+\}", path)
        pattern = "[^/]+".join(re.escape(part) for part in literal)
        if method == request.method and re.fullmatch(pattern, request.url.path):
            fitting.append((len("".join(literal)), (method, path)))
    assert fitting, f"{request.method} {request.url.path} is no route of the API"
    return max(fitting)[1]


def test_every_method_is_tried() -> None:
    public = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert public - {"close", "send"} == set(CALLS)


@pytest.mark.parametrize("name", EVERY)
def test_the_route_exists_and_takes_what_is_sent(name: str) -> None:
    request = sent(EVERY[name])
    operation = OPERATIONS[operation_of(request)]
    taken = {item["name"]: item for item in operation.get("parameters", [])}
    assert set(request.url.params) <= {key for key, item in taken.items() if item["in"] == "query"}
    required = {key.lower() for key, item in taken.items() if item["in"] == "header" and item.get("required")}
    assert required <= {key.lower() for key in request.headers}
    assert bool(request.content) == ("requestBody" in operation)


def test_tokens_are_those_of_all_pages() -> None:
    pages = {None: (["a", "b"], "1"), "1": (["c"], "2"), "2": ([], "3"), "3": (["d"], "")}

    def answer(request: httpx.Request) -> httpx.Response:
        ids, following = pages[request.url.params.get("cursor")]
        items = [{"id": name, "user": "u", "created_at": ""} for name in ids]
        return httpx.Response(200, json={"kind": "TokenList", "items": items, "next": following})

    with Client("http://h", "t", http=httpx.MockTransport(answer)) as api:
        page = api.tokens()
    assert ([item.id for item in page.items], page.next) == (["a", "b", "c", "d"], "")


def test_tokens_without_end_are_not_waited_for() -> None:
    endless = httpx.MockTransport(lambda _: httpx.Response(200, json={"items": [], "next": "again"}))
    with Client("http://h", "t", http=endless) as api, pytest.raises(DureError, match="1000 pages"):
        api.tokens()


def test_every_route_has_a_method() -> None:
    reached = {operation_of(sent(call)) for call in EVERY.values()}
    reached.add(("GET", "/api/v1/policy"))
    missing = set(OPERATIONS) - reached - NOT_FOR_THE_CLIENT
    assert missing == set()


def test_a_policy_without_a_version_is_the_one_in_force() -> None:
    assert sent(lambda api: api.policy()).url.path == "/api/v1/policy"
