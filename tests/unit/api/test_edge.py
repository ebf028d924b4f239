"""What every request meets: hosts, sizes, speed, headers, and errors that tell a stable code and nothing internal."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scheduler.api.deps import Limits
from scheduler.api.edge import SECURITY_HEADERS, host_name
from scheduler.core.errors import ConstraintBroken, DuplicateRecord, Fatal, Finding, Retry
from scheduler.schema.codes import CODES
from scheduler.services.policies import FileRefused
from tests.support import asgi
from tests.unit.api.place import TASK, Made, Place

SECRET = "the password of the database"
MIB = 1024 * 1024


class FailingStore:
    """A store whose views raise."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.error: Exception | None = None

    @contextmanager
    def read(self) -> Iterator[Any]:
        """A view, or the error."""
        if self.error is not None:
            raise self.error
        with self._store.read() as view:
            yield view

    def write(self) -> Any:
        """A transaction."""
        return self._store.write()


def failing(make_place: Made, error: Exception) -> Place:
    """A place in which every read fails."""
    from scheduler.store.memory import MemoryStore

    store = FailingStore(MemoryStore())
    place = make_place(store=store)
    store.error = error
    return place


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (Retry("DURE-6001", "later", "try again"), 503, "DURE-6001", "1"),
        (DuplicateRecord("jobs: key"), 503, "DURE-6001", "1"),
        (Fatal("DURE-1040", "wrong", "send it again"), 422, "DURE-1040", None),
        (FileRefused([Finding("policy.yaml:1:2", "DURE-1201", "broken", "mend it")]), 422, "DURE-1201", None),
    ],
)
def test_errors_of_services(
    make_place: Made, error: Exception, status: int, code: str, retry_after: str | None
) -> None:
    answer = failing(make_place, error).client("admin").get("/api/v1/whoami")
    body = answer.json()
    assert (answer.status_code, body["code"], answer.headers.get("retry-after")) == (status, code, retry_after)
    assert body["title"] == CODES[code].title
    assert body["type"] == f"urn:dure:problem:{code}"
    if isinstance(error, FileRefused):
        assert body["findings"] == [
            {"where": "policy.yaml:1:2", "code": "DURE-1201", "message": "broken", "fix": "mend it"}
        ]


@pytest.mark.parametrize("error", [RuntimeError(SECRET), ConstraintBroken(SECRET), KeyError(SECRET)], ids=repr)
def test_the_unexpected_tells_an_incident_and_is_logged_once(
    make_place: Made, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    place = failing(make_place, error)
    with caplog.at_level(logging.DEBUG):
        answer = place.client("admin").get("/api/v1/whoami")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (500, "DURE-9001")
    assert "password" not in answer.text
    assert "Traceback" not in answer.text
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.__dict__["incident"] in body["detail"]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


# What ails the server -> status, and whether the caller reads the error's own text.
TROUBLE: dict[str, tuple[Exception, int, bool]] = {
    "database out of reach": (Retry("DURE-8020", SECRET, SECRET), 503, False),
    "database unusable": (Fatal("DURE-8021", SECRET, SECRET), 500, False),
    "disk full": (Retry("DURE-8033", SECRET, SECRET), 503, False),
    "package damaged": (Fatal("DURE-8031", "the stored package abc is damaged", "submit again"), 500, True),
    "busy": (Retry("DURE-8011", "many packages are being sent just now", "try again"), 503, True),
}


@pytest.mark.parametrize("case", TROUBLE.values(), ids=TROUBLE.keys())
def test_what_ails_the_server_is_told_to_the_log_only(
    make_place: Made, case: tuple[Exception, int, bool], caplog: pytest.LogCaptureFixture
) -> None:
    error, status, own_text = case
    assert isinstance(error, Retry | Fatal)
    place = failing(make_place, error)
    with caplog.at_level(logging.DEBUG):
        answer = place.client("admin").get("/api/v1/whoami")
    body = answer.json()
    assert (answer.status_code, body["code"], body["title"]) == (status, error.code, CODES[error.code].title)
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
    assert SECRET not in answer.text
    if own_text:
        assert body["detail"] == error.message
        return
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert SECRET in record.getMessage()
    assert body["detail"] == f"{CODES[error.code].title}, incident {record.__dict__['incident']}"


def test_an_answer_of_the_wrong_shape_is_unexpected_too(make_place: Made) -> None:
    answer = make_place(unready=lambda: 1 / 0).client().get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (500, "DURE-9001")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "DURE-3000"),
        ("GET", "/docs", 404, "DURE-3000"),
        ("GET", "/redoc", 404, "DURE-3000"),
        ("GET", "/api/v1/jobs/", 404, "DURE-3000"),
        ("GET", "/api/v2/jobs", 404, "DURE-3000"),
        ("DELETE", "/api/v1/jobs", 405, "DURE-1045"),
        ("GET", "/api/v1/jobs?limit=0", 422, "DURE-1040"),
        ("GET", "/api/v1/jobs?limit=501", 422, "DURE-1040"),
        ("GET", "/api/v1/jobs?limit=ten", 422, "DURE-1040"),
        ("GET", "/api/v1/jobs?state=Lost", 422, "DURE-1040"),
        ("GET", "/api/v1/jobs?org=%00", 422, "DURE-1040"),
        ("GET", "/api/v1/jobs?cursor=%21%21", 422, "DURE-1044"),
        ("GET", "/api/v1/jobs?cursor=YWJj", 422, "DURE-1044"),
        ("GET", "/api/v1/jobs?cursor=LTE", 422, "DURE-1044"),
        ("GET", "/api/v1/orgs?cursor=AAAA", 422, "DURE-1044"),
        ("GET", "/api/v1/jobs/a%00b", 422, "DURE-1040"),
        ("GET", "/api/v1/jobs/nothing", 404, "DURE-3001"),
        ("GET", "/api/v1/jobs/nothing/logs?offset=-1", 422, "DURE-1040"),
        ("GET", "/api/v1/usage?since=yesterday", 422, "DURE-1040"),
        ("GET", "/api/v1/usage?until=2026-13-01T00:00:00Z", 422, "DURE-1040"),
        ("GET", "/api/v1/policy/0", 422, "DURE-1040"),
        ("GET", "/api/v1/policy/99", 404, "DURE-3006"),
        ("GET", "/api/v1/policy/99999999999999999999", 422, "DURE-1040"),
        ("PUT", "/api/v1/packages/xyz", 422, "DURE-1040"),
        ("GET", "/api/v1/invoices/nothing.csv", 404, "DURE-3008"),
        ("POST", "/api/v1/periods/close?id=nothing", 404, "DURE-3007"),
    ],
)
def test_mistakes_in_addresses(place: Place, method: str, path: str, status: int, code: str) -> None:
    answer = place.client("admin").request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content", "status", "place_of_mistake"),
    [
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 100_000, 400, None),
        (b"", 422, "body"),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b"{}", 422, "body.name"),
        (json.dumps({**TASK, "extra": 1}).encode(), 422, "body.extra"),
        (json.dumps({**TASK, "gpus": "h100"}).encode(), 422, "body.gpus"),
        (json.dumps({**TASK, "nodes": 10**30}).encode(), 422, "body.nodes"),
        (json.dumps({**TASK, "env": {"A B": "c"}}).encode(), 422, "body.env.A B.[key]"),
        (json.dumps({**TASK, "run": "\ud800"}).encode(), 422, "body.run"),
    ],
)
def test_bodies_that_do_not_fit(place: Place, content: bytes, status: int, place_of_mistake: str | None) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = place.client("member").post("/api/v1/jobs", content=content, headers=headers)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, {400: "DURE-1041", 422: "DURE-1040"}[status])
    if place_of_mistake is not None:
        assert place_of_mistake in [finding["where"] for finding in body["findings"]]


def test_many_mistakes_are_counted_and_the_list_is_bounded(place: Place) -> None:
    task = {**TASK, **{f"x{number}": 1 for number in range(500)}}
    body = place.client("member").post("/api/v1/jobs", json=task, headers={"Idempotency-Key": "k"}).json()
    assert len(body["findings"]) == 100
    assert body["detail"].endswith("(and 499 more)")


@pytest.mark.parametrize(
    ("path", "limits", "most"),
    [
        ("/api/v1/jobs", Limits(body_bytes=2_000), 2_000),
        ("/api/v1/packages/" + "0" * 64, Limits(package_bytes=3_000), 3_000),
        ("/api/v1/operator/local/logs/aaaa/1/0?offset=0", Limits(log_chunk_bytes=4_000), 4_000),
    ],
)
def test_a_body_is_as_large_as_its_address_allows(make_place: Made, path: str, limits: Limits, most: int) -> None:
    client = make_place(limits=limits).client("operator")
    method = "PUT" if "packages" in path else "POST"
    for size, refused in ((most, False), (most + 1, True)):
        announced = client.request(method, path, content=b"x" * size)
        unannounced = client.request(method, path, content=b"x" * size, headers={"Transfer-Encoding": "chunked"})
        for answer in (announced, unannounced):
            assert (answer.status_code == 413) is refused
            if refused:
                assert answer.json()["code"] == "DURE-1042"


def test_an_unannounced_body_is_stopped_while_it_arrives(place: Place) -> None:
    """Without a Content-Length only counting helps; what comes after the limit is never asked for."""
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"x" * (MIB // 4), "more_body": True}

    sent = asyncio.run(raw(place, receive))
    assert sent[0]["status"] == 413
    assert asked == 5


def test_a_body_that_does_not_come_is_not_waited_for(make_place: Made) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    sent = asyncio.run(raw(make_place(limits=Limits(body_idle_seconds=0.01)), receive))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["code"] == "DURE-1043"


async def raw(place: Place, receive: Any) -> list[dict[str, Any]]:
    """POST /jobs with a body of one's own making; what the application sends."""
    sent: list[dict[str, Any]] = []
    headers = [(b"host", b"x"), (b"authorization", f"Bearer {place.tokens['member']}".encode())]
    headers += [(b"content-type", b"application/json"), (b"idempotency-key", b"k")]
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/v1/jobs",
        "raw_path": b"",
    }
    scope |= {"query_string": b"", "root_path": "", "scheme": "http", "headers": headers, "asgi": {"version": "3.0"}}

    async def send(message: Any) -> None:
        sent.append(message)

    await place.app(scope, receive, send)
    return sent


def test_packages_in_memory_are_few(make_place: Made) -> None:
    answer = make_place(limits=Limits(packages_at_once=0)).client("member").put(f"/api/v1/packages/{'0' * 64}")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "DURE-8011", "1")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("LOCALHOST:1", True),
        ("[::1]:8080", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_hosts(make_place: Made, host: str, allowed: bool) -> None:
    place = make_place(hosts=frozenset({"localhost", "127.0.0.1", "::1"}))
    answer = place.client("admin").get("/api/v1/whoami", headers={"Host": host})
    assert answer.status_code == (200 if allowed else 421)
    if not allowed:
        assert answer.json()["code"] == "DURE-4004"


@pytest.mark.parametrize(("header", "name"), [("a:1", "a"), ("[::1]", "::1"), ("A.b ", "a.b"), ("", "")])
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/api/v1/whoami", "/openapi.json", "/metrics"])
def test_every_answer_has_the_security_headers(place: Place, path: str) -> None:
    headers = place.client().get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_metrics_are_open_on_the_loopback_address_only(make_place: Made) -> None:
    assert make_place().client().get("/metrics").status_code == 401
    answer = make_place(metrics_open=True).client().get("/metrics")
    assert (answer.status_code, answer.text) == (200, "dure_build_info 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_readiness_names_what_does_not_work(make_place: Made) -> None:
    answer = make_place(unready=lambda: ["the allocator has not run for 31 s"]).client().get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "DURE-8010")
    assert answer.json()["detail"] == "the allocator has not run for 31 s"
    assert make_place().client().get("/readyz").text == "ready\n"


def test_websockets_are_not_served(place: Place) -> None:
    with asgi.client(place.app) as client:
        answer = client.get("/healthz", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert answer.status_code == 200
