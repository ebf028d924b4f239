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
from scripts.demo_parts.leftovers import end_tree

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
POLL_SECONDS = 0.1

ISSUER = {"DURE_ISSUER": "Demo GPU Pool", "DURE_ISSUER_NUMBER": "999-82-00012"}
"""Who writes the invoices; made up, with a check digit that is right."""

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


class Up:
    """``dure up`` on a data folder of its own; may be killed and started again on the same folder."""

    def __init__(self, data: Path, policy: Path, log: Path) -> None:
        self.data = data
        self.url = ""
        self._policy = policy
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_token(self) -> str:
        """The bootstrap administrator's token."""
        return (self.data / "admin.token").read_text(encoding="utf-8").strip()

    def start(self) -> str:
        """Start it and wait until it is ready; returns its URL."""
        self.url = self._wait_until_ready(self.spawn())
        return self.url

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it on the port it had before, or a free one, and wait for nothing.

        In a session of its own: a key at the terminal is for whoever started it, who then ends it in good order.
        """
        gpus = [part for flavor, shape in FLAVORS.items() for part in ("--gpus", f"{flavor}={shape}")]
        port = self.url.rsplit(":", 1)[1] if self.url else "0"
        first = ["--policy", str(self._policy), "--no-demo-org"]
        command = [str(DURE), "up", *gpus, "--data", str(self.data), "--port", port, *first]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DURE_")}
        environment |= ISSUER
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._process

    def kill(self) -> None:
        """SIGKILL, as a power cut of this one process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS_MAX)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self._process is not None:
            _stop(self._process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                url = (self.data / "server.url").read_text(encoding="utf-8").strip()
                if url and _answers(f"{url}/readyz"):
                    return url
            time.sleep(POLL_SECONDS)
        raise DemoFailed(f"dure up did not become ready\n{self._log.read_text(encoding='utf-8')[-4_000:]}")


@contextlib.contextmanager
def dure_up(data: Path, policy: Path, log: Path) -> Iterator[Up]:
    """``dure up`` until the block ends, however it ends; attempts that are left then end with it."""
    up = Up(data, policy, log)
    try:
        up.start()
        yield up
    finally:
        try:
            up.stop()
        finally:
            end_tree(data)


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
            [binary, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield f"http://{address}"
        finally:
            _stop(process)
