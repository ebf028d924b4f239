"""The Prometheus of the tests really scrapes: a sample that a small server exposes comes back through PromQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from wsgiref.simple_server import WSGIServer

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Gauge

from tests.support.prometheus import PrometheusServer

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]


@pytest.fixture
def exporter() -> Iterator[str]:
    """The address of a server that exposes one gauge."""
    registry = CollectorRegistry()
    Gauge("dure_test_gpus", "A value to find again", ["flavor"], registry=registry).labels("h100-80g").set(8)
    server: WSGIServer
    thread: threading.Thread
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_sample_is_scraped(prometheus: PrometheusServer, exporter: str) -> None:
    prometheus.add_target(exporter, labels={"cluster": "test"})
    ((labels, value),) = prometheus.wait_for("dure_test_gpus")
    assert (value, labels["flavor"], labels["cluster"]) == ("8", "h100-80g", "test")


def test_a_bad_query_is_told(prometheus: PrometheusServer) -> None:
    with pytest.raises(ValueError, match="parse error"):
        prometheus.query("sum(")
