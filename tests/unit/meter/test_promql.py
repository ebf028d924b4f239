"""The client of Prometheus: what it asks, and that no answer, however odd, gets past it as a number."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import parse_qs

import httpx
import pytest

from scheduler.core.errors import DureError, Fatal, Retry
from scheduler.meter import promql
from scheduler.meter.promql import PromQL, Series


def asked(answer: Callable[[httpx.Request], httpx.Response]) -> list[Series]:
    """The series of one range query that is answered by a function."""
    with PromQL("http://prometheus:9090/", http=httpx.MockTransport(answer)) as client:
        return client.query_range("up", 1_500, 61_500, 1_000)


def success(*result: object) -> dict[str, object]:
    """An answer of Prometheus."""
    return {"status": "success", "data": {"resultType": "matrix", "result": list(result)}}


def test_a_range_query() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://prometheus:9090/api/v1/query_range"
        data = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        assert data == {"query": "up", "start": "1.500", "end": "61.500", "step": "1.000"}
        item = {"metric": {"org": "alpha"}, "values": [[1.5, "0.25"], [2.5, "1e3"]]}
        return httpx.Response(200, json=success(item))

    assert asked(answer) == [Series({"org": "alpha"}, ((1_500, Decimal("0.25")), (2_500, Decimal(1_000))))]


def fail(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    """A network that breaks."""

    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def constant(status: int, content: bytes) -> Callable[[httpx.Request], httpx.Response]:
    """A server that always says the same."""
    return lambda _request: httpx.Response(status, content=content)


REFUSAL = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error"}).encode()


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (fail(httpx.ConnectError("refused")), Retry, "cannot be reached: refused"),
        (fail(httpx.ReadTimeout("")), Retry, "cannot be reached: ReadTimeout"),
        (constant(503, b""), Retry, "answers 503"),
        (constant(400, REFUSAL), Fatal, "refuses the query: parse error"),
        (constant(200, b"<html>"), Fatal, "no Prometheus"),
        (constant(200, b"[]"), Fatal, "refuses the query: 200"),
        (constant(404, b"{}"), Fatal, "refuses the query: 404"),
        (constant(302, b"{}"), Fatal, "refuses the query: 302"),
        (constant(200, json.dumps({"status": "success"}).encode()), Fatal, "not understood"),
        (constant(200, json.dumps(success({"metric": {}})).encode()), Fatal, "not understood"),
        (constant(200, json.dumps(success({"metric": {}, "values": [[1, "x"]]})).encode()), Fatal, "not understood"),
    ],
)
def test_odd_answers(answer: Callable[[httpx.Request], httpx.Response], kind: type[DureError], text: str) -> None:
    with pytest.raises(kind, match=text):
        asked(answer)


def test_an_answer_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promql, "ANSWER_BYTES_MAX", 1_000)
    with pytest.raises(Fatal, match="larger than 1000 bytes"):
        asked(constant(200, b" " * 1_001))


@pytest.mark.parametrize(("start_ms", "end_ms", "step_ms"), [(0, 10_000_000, 1_000), (1, 0, 1), (0, 1, 0)])
def test_ranges_are_bounded(start_ms: int, end_ms: int, step_ms: int) -> None:
    with PromQL("http://x") as client, pytest.raises(ValueError, match="no range"):
        client.query_range("up", start_ms, end_ms, step_ms)


@pytest.mark.parametrize("url", ["", "prometheus:9090", "file:///etc/passwd"])
def test_addresses(url: str) -> None:
    with pytest.raises(Fatal, match="not the address"):
        PromQL(url)
