"""The processes of the demo: ``dure up`` on a folder of its own, and Prometheus where it is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from scripts.demo_parts.cast import FLAVORS
from scripts.demo_parts.cli import DURE, DemoFailed

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
POLL_SECONDS = 0.1

PROMETHEUS_CONFIG = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: dure
    static_configs: [{{targets: ["{target}"]}}]
"""


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS_MAX)
    if process.poll() is None:
        process.kill()
        process.wait(STOP_SECONDS_MAX)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            url = (data / "server.url").read_text(encoding="utf-8").strip()
            if url and _answers(f"{url}/readyz"):
                return url
        time.sleep(POLL_SECONDS)
    raise DemoFailed(f"dure up did not become ready\n{log.read_text(encoding='utf-8')[-4_000:]}")


@contextlib.contextmanager
def dure_up(data: Path, policy: Path, log: Path) -> Iterator[str]:
    """``dure up`` until the block ends; yields the server's URL."""
    gpus = [part for flavor, shape in FLAVORS.items() for part in ("--gpus", f"{flavor}={shape}")]
    command = [str(DURE), "up", *gpus, "--data", str(data), "--port", "0", "--policy", str(policy), "--no-demo-org"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DURE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield _wait_until_ready(process, data, log)
        finally:
            _stop(process)


@contextlib.contextmanager
def prometheus(folder: Path, server: str) -> Iterator[str]:
    """Prometheus scraping the server each second, until the block ends; yields "" where it is not installed."""
    binary = shutil.which("prometheus")
    if binary is None:
        yield ""
        return
    folder.mkdir(parents=True)
    config = folder / "prometheus.yml"
    config.write_text(PROMETHEUS_CONFIG.format(target=server.removeprefix("http://")), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen(
            [binary, *options], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield f"http://{address}"
        finally:
            _stop(process)
