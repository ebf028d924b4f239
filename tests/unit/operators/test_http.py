"""The control plane over HTTP: what is on the wire, and which refusals may end something."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from operators.http import HttpControlPlane
from operators.ports import Observation, ObservationKind, StopOrder
from scheduler.client.http import Client
from scheduler.client.transport import Policy
from scheduler.core.errors import DureError, Fatal, Retry
from scheduler.core.model import Rank
from tests.support.assignments import assignment

Handler = Callable[[httpx.Request], httpx.Response]
Connect = Callable[[Handler], HttpControlPlane]
ONE_TRY = Policy(tries=1)
PACKAGE = b"PK-something"
SHA256 = hashlib.sha256(PACKAGE).hexdigest()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes control planes whose server is a function."""
    clients: list[Client] = []

    def make(handler: Handler) -> HttpControlPlane:
        transport = httpx.MockTransport(handler)
        clients.append(Client("http://127.0.0.1:1", "dure_x_y", policy=ONE_TRY, http=transport))
        return HttpControlPlane(clients[-1], "local")

    yield make
    for client in clients:
        client.close()


def problem(status: int, code: str) -> httpx.Response:
    """Dure's own refusal."""
    body = {"type": "about:blank", "title": "no", "status": status, "code": code}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


def test_a_pull_and_its_answer(connect: Connect) -> None:
    wanted = assignment("aaaa", 2, ranks=(Rank(0, "x-0", 2), Rank(1, "x-1", 2)), env=(("A", "1"), ("B", "2")))
    wanted = assignment("aaaa", 2, ranks=wanted.ranks, env=wanted.env, stop=StopOrder("evict", 700))
    body = {
        **{name: getattr(wanted, name) for name in wanted.__slots__ if name not in ("ranks", "env", "stop")},
        "ranks": [{"rank": rank.rank, "node": rank.node, "gpus": rank.gpus} for rank in wanted.ranks],
        "env": {"B": "2", "A": "1"},
        "stop": {"reason": "evict", "grace_ms": 700},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/operator/local/pull"
        assert json.loads(request.content)["existing"] == ["d-old-a1"]
        return httpx.Response(200, json={"kind": "Pull", "assignments": [body], "forget": ["d-old-a1"]})

    pulled = connect(answer).pull("local", ["d-old-a1"])
    assert (pulled.assignments, pulled.forget) == ((wanted,), ("d-old-a1",))


def test_a_report_is_all_of_every_observation(connect: Connect) -> None:
    sent = [
        Observation(
            "d-aaaa-a1/rank-ended/0", ObservationKind.RANK_ENDED, 7, "aaaa", 1, 0, exit_code=3, evidence="observed"
        ),
        Observation("node/1", ObservationKind.NODE, 8, node="x-0", flavor="x", gpus=2, registered=2, schedulable=False),
    ]
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"kind": "Report", "new": 2, "repeated": 0, "conflicts": 0})

    connect(answer).report("local", 9, 6, sent)
    body = json.loads(requests[0].content)
    assert (requests[0].url.path, body["at_ms"], body["observed_through_ms"]) == ("/api/v1/operator/local/report", 9, 6)
    assert [(item["id"], item["kind"], item["exit_code"], item["schedulable"]) for item in body["observations"]] == [
        ("d-aaaa-a1/rank-ended/0", "rank-ended", 3, True),
        ("node/1", "node", None, False),
    ]


def test_output_is_sent_as_it_is(connect: Connect) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/operator/local/logs/aaaa/2/1"
        assert (request.url.params["offset"], request.content) == ("5", b"\xff\x00")
        return httpx.Response(200, json={"kind": "LogAck", "size": 7})

    assert connect(answer).push_log("aaaa", 2, 1, 5, b"\xff\x00") == 7


REFUSALS: dict[str, tuple[httpx.Response, type[DureError], type[DureError]]] = {
    "no such package": (problem(404, "DURE-3009"), Fatal, Retry),
    "log full": (problem(403, "DURE-2110"), Retry, Fatal),
    "no such attempt": (problem(404, "DURE-3010"), Retry, Fatal),
    "token withdrawn": (problem(401, "DURE-4001"), Retry, Retry),
    "not permitted": (problem(403, "DURE-4003"), Retry, Retry),
    "busy": (problem(503, "DURE-8011"), Retry, Retry),
    "a proxy's 404": (httpx.Response(404, html="<p>nothing</p>"), Retry, Retry),
    "a redirect": (httpx.Response(302, headers={"Location": "http://elsewhere"}), Retry, Retry),
    "a portal's page": (httpx.Response(200, html="<p>log in</p>"), Retry, Retry),
}


@pytest.mark.parametrize(("response", "package", "log"), REFUSALS.values(), ids=REFUSALS.keys())
def test_only_dures_own_word_ends_anything(
    connect: Connect, response: httpx.Response, package: type[DureError], log: type[DureError]
) -> None:
    plane = connect(lambda _: response)
    with pytest.raises(package):
        plane.package(SHA256)
    with pytest.raises(log):
        plane.push_log("aaaa", 1, 0, 0, b"x")


def test_a_package_is_what_its_name_says(connect: Connect) -> None:
    assert connect(lambda _: httpx.Response(200, content=PACKAGE)).package(SHA256) == PACKAGE


def test_no_connection_is_something_that_passes(connect: Connect) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Retry):
        connect(answer).pull("local", [])
