"""Prometheus as a second opinion: what it is asked, and how the gap reads."""

from __future__ import annotations

from urllib.parse import parse_qs

import httpx
import pytest

from scheduler.core.errors import Retry
from scheduler.meter.opinion import PrometheusWitness, gap_text
from scheduler.meter.promql import PromQL
from scheduler.meter.reconcile import GapLine

HOUR_MS = 3_600_000
GPU_HOUR = 3_600_000_000


def witness(*seconds: str, asked: list[dict[str, list[str]]] | None = None, status: int = 200) -> PrometheusWitness:
    """A Prometheus whose counter of acme has these values, one a minute."""

    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(parse_qs(request.content.decode()))
        values = [[60 * place, value] for place, value in enumerate(seconds)]
        result = [{"metric": {"org": "acme"}, "values": values}] if values else []
        return httpx.Response(status, json={"status": "success", "data": {"result": result}})

    def client(url: str, *, timeout_seconds: float) -> PromQL:
        return PromQL(url, timeout_seconds=timeout_seconds, http=httpx.MockTransport(answer))

    return PrometheusWitness("http://prometheus", client)


@pytest.mark.parametrize(
    ("seconds", "ok", "text"),
    [
        (("0", "3600"), True, "+0.00 % (limit 1 %, or 0.1 GPU-hours)"),
        (("0", "3500"), True, "+2.77 % (limit 1 %, or 0.1 GPU-hours)"),  # 100 s are less than 0.1 GPU-hours
        (("0", "3000"), False, "+16.66 % (limit 1 %, or 0.1 GPU-hours)"),
        (("0", "4200"), False, "-16.66 % (limit 1 %, or 0.1 GPU-hours)"),
        ((), False, "+100.00 % (limit 1 %, or 0.1 GPU-hours)"),
    ],
)
def test_an_hour_of_one_gpu(seconds: tuple[str, ...], ok: bool, text: str) -> None:
    assert witness(*seconds).compare("acme", GPU_HOUR, 0, HOUR_MS) == (ok, text)


def test_it_asks_for_one_organisation_and_one_time() -> None:
    asked: list[dict[str, list[str]]] = []
    witness("0", asked=asked).compare("acme", 0, 60_000, HOUR_MS)
    assert [(form["query"], form["start"], form["end"]) for form in asked] == [
        (['dure_gpu_seconds_total{org="acme"}'], ["60.000"], ["3600.000"])
    ]


def test_nothing_billed() -> None:
    assert gap_text(GapLine("acme", 0, 0)) == "nothing billed, nothing seen"
    assert gap_text(GapLine("acme", 0, GPU_HOUR)) == "nothing billed, and usage was seen"


def test_a_prometheus_that_does_not_answer_is_no_opinion() -> None:
    with pytest.raises(Retry, match="503"):
        witness(status=503).compare("acme", GPU_HOUR, 0, HOUR_MS)
