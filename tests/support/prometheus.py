"""A real Prometheus for the whole test session; tests add the addresses it shall scrape."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import programs

MISSING = "Prometheus is not installed; on Debian or Ubuntu run: apt-get install prometheus"
START_TRIES_MAX = 3
START_SECONDS_MAX = 20.0
# Prometheus looks at new targets every five seconds, so the first sample needs more than that.
SAMPLE_SECONDS_MAX = 20.0

Vector = list[tuple[dict[str, str], str]]

CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: dure
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: 1s
"""


class PrometheusServer:
    """One running Prometheus on 127.0.0.1 that scrapes every second; data in a temporary folder that goes with it."""

    def __init__(self, program: str) -> None:
        """Start it without targets; raises RuntimeError with its log when it does not come up."""
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="dure-prometheus-"))
        self._targets: dict[str, dict[str, str]] = {}
        (self._folder / "prometheus.yml").write_text(CONFIG, encoding="utf-8")
        self._write_targets()
        try:
            self._process = self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        for _ in range(START_TRIES_MAX - 1):
            try:
                return self._start_once()
            except RuntimeError:
                continue  # somebody took the port between our look and the server's bind
        return self._start_once()

    def _start_once(self) -> subprocess.Popen[bytes]:
        port = programs.free_port()
        self.url = f"http://127.0.0.1:{port}"
        log = self._folder / "prometheus.log"
        command = [self._program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle"]
        with log.open("wb") as out:
            process = subprocess.Popen(programs.die_with_parent(command), cwd=self._folder, stdout=out, stderr=out)
        try:
            programs.wait_until(self._ready, process, log, START_SECONDS_MAX)
        except BaseException:
            programs.stop(process)
            raise
        return process

    def _ready(self) -> bool:
        try:
            return self._get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _get(self, path: str, **params: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=5) as client:
            return client.get(self.url + path, params=params)

    def _write_targets(self) -> None:
        groups = [{"targets": [address], "labels": labels} for address, labels in sorted(self._targets.items())]
        fresh = self._folder / "targets.json.new"
        fresh.write_text(json.dumps(groups), encoding="utf-8")
        fresh.replace(self._folder / "targets.json")

    def add_target(self, address: str, *, path: str = "/metrics", labels: dict[str, str] | None = None) -> None:
        """Scrape ``host:port`` from now on; its first sample comes 1 to 7 seconds later."""
        self._targets[address] = {"__metrics_path__": path, **(labels or {})}
        self._write_targets()

    def remove_target(self, address: str) -> None:
        """Stop scraping an address; unknown ones are ignored."""
        self._targets.pop(address, None)
        self._write_targets()

    def query(self, promql: str) -> Vector:
        """An instant query's vector as (labels, value's text), in Prometheus's order; ValueError on a bad query."""
        answer = self._get("/api/v1/query", query=promql).json()
        if answer["status"] != "success":
            raise ValueError(f"{promql}: {answer['error']}")
        return [(sample["metric"], sample["value"][1]) for sample in answer["data"]["result"]]

    def wait_for(
        self, promql: str, holds: Callable[[Vector], bool] = bool, *, seconds_max: float = SAMPLE_SECONDS_MAX
    ) -> Vector:
        """Ask until ``holds(vector)`` (by default: any sample); returns the vector or raises TimeoutError."""
        deadline = time.monotonic() + seconds_max
        while True:
            vector = self.query(promql)
            if holds(vector):
                return vector
            if time.monotonic() > deadline:
                raise TimeoutError(f"{promql} still answers {vector} after {seconds_max:.0f} s")
            time.sleep(0.2)

    def close(self) -> None:
        """Stop the server and remove its files."""
        programs.stop(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def prometheus_server() -> Iterator[PrometheusServer]:
    """The session's Prometheus; skips (in CI: a failure) when it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(MISSING)
    server = PrometheusServer(program)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def prometheus(prometheus_server: PrometheusServer) -> Iterator[PrometheusServer]:
    """The session's Prometheus, for one test: targets it added are removed afterwards."""
    before = set(prometheus_server._targets)
    yield prometheus_server
    for address in set(prometheus_server._targets) - before:
        prometheus_server.remove_target(address)
