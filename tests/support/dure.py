"""The real thing for tests: ``dure up`` and ``dure serve`` as processes, the command line as a person would type it.

Servers run with warnings as errors. When a test ends, so do they and every attempt they have left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support import programs

SCRIPT = Path(sys.executable).parent / "dure"
SERVER = [sys.executable, "-W", "error", "-c", "from scheduler.cli.main import cli; cli()"]
START_SECONDS_MAX = 90.0
COMMAND_SECONDS_MAX = 90.0
JOB_SECONDS_MAX = 150.0
POLL_SECONDS = 0.2
TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled"})


class Dure:
    """One data folder, the server on it, and the administrator's command line."""

    def __init__(self, folder: Path, *command: str, **variables: str) -> None:
        """``command``: what is run, such as ``up --gpus h100-80g=2``, with these variables; nothing runs yet."""
        self._variables = variables
        self.data = folder / "data"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self._log = folder / "server.log"
        self._command = [*SERVER, *command, "--data", str(self.data)]
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where the server listens; after a restart the same."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What the server has said on standard error."""
        return self._log.read_text(encoding="utf-8")

    def start(self) -> None:
        """Start and wait until it is ready; raises RuntimeError with its log when it does not get there."""
        (self.data / "server.url").unlink(missing_ok=True)
        with self._log.open("ab") as out:
            command = programs.die_with_parent([*self._command, "--port", str(self._port)])
            environment = self._environment() | self._variables
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._process = process
        programs.wait_until(self._ready, process, self._log, START_SECONDS_MAX)

    def _ready(self) -> bool:
        try:
            self._port = int((self.data / "server.url").read_text(encoding="utf-8").strip().rpartition(":")[2])
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
        except (FileNotFoundError, ValueError, httpx.TransportError):
            return False

    def kill(self) -> None:
        """End the server as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(programs.STOP_SECONDS_MAX)

    def signal(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Tell the server something while it runs."""
        assert self._process is not None
        assert self._process.poll() is None
        self._process.send_signal(sign)

    def wait_for_end(self) -> int:
        """The server's exit status."""
        assert self._process is not None
        return self._process.wait(START_SECONDS_MAX)

    def stop(self) -> int:
        """End the server in good order; its exit status."""
        self.signal()
        return self.wait_for_end()

    def close(self) -> None:
        """End the server and whatever attempts still run."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        kill_leftovers(self.data)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "120"}

    def token(self) -> str:
        """The administrator's token."""
        return (self.data / "admin.token").read_text(encoding="utf-8").strip()

    def cli(self, *arguments: str, expect: int = 0, stdin: str = "", token: str | None = None) -> str:
        """Standard output of ``dure ARGUMENTS``; fails the test when it exits otherwise than expected."""
        environment = self._environment() | {"DURE_SERVER": self.url}
        if token is None or token:
            environment["DURE_TOKEN"] = token or self.token()
        done = subprocess.run(
            [str(SCRIPT), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == expect, f"dure {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout

    def http(self, token: str | None = None) -> httpx.Client:
        """A client of the API, by default the administrator's; close it."""
        headers = {"Authorization": f"Bearer {self.token() if token is None else token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def job(self, job: str) -> dict[str, Any]:
        """A job as the API shows it."""
        with self.http() as client:
            body: dict[str, Any] = client.get(f"/api/v1/jobs/{job}").raise_for_status().json()
            return body

    def wait(
        self,
        job: str,
        holds: Callable[[dict[str, Any]], bool] = lambda body: body["state"] in TERMINAL,
        seconds_max: float = JOB_SECONDS_MAX,
    ) -> dict[str, Any]:
        """Ask until the job is as wanted, by default ended; raises TimeoutError with what it was at last."""
        deadline = time.monotonic() + seconds_max
        while True:
            body = self.job(job)
            if holds(body):
                return body
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {job} is still {body}\n{self.log[-3_000:]}")
            time.sleep(POLL_SECONDS)


def leftovers(data: Path) -> list[int]:
    """Processes of attempts of this data folder, by the marker in their environment."""
    mark = f"DURE_ATTEMPT_DIR={data.resolve()}/".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(item.startswith(mark) for item in (entry / "environ").read_bytes().split(b"\0")):
                found.append(int(entry.name))
    return found


def kill_leftovers(data: Path, seconds_max: float = 10.0) -> None:
    """Kill them until there are none."""
    deadline = time.monotonic() + seconds_max
    while (pids := leftovers(data)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def run_script(command: Sequence[str]) -> str:
    """Standard output of a script of this repository."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout
