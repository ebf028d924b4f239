"""Start and stop the real servers that tests use, without leaving one behind."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

STOP_SECONDS_MAX = 10.0


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago; whoever binds it must be ready to try another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def die_with_parent(command: Sequence[str]) -> list[str]:
    """The command, wrapped (where util-linux has setpriv) so that the kernel kills it when its parent dies."""
    wrapper = shutil.which("setpriv")
    return [wrapper, "--pdeathsig", "KILL", "--", *command] if wrapper else list(command)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds_max: float) -> None:
    """Poll ``ready`` until it holds; raise with the end of ``log`` when the process ends or the time is over."""
    deadline = time.monotonic() + seconds_max
    while not ready():
        ended = process.poll()
        if ended is not None or time.monotonic() > deadline:
            state = f"ended with {ended}" if ended is not None else f"was not ready after {seconds_max:.0f} s"
            raise RuntimeError(f"{process.args!r} {state}; its log ends:\n{log.read_text()[-2_000:]}")
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process to end, and kill it when it has not ended after ten seconds."""
    if process.poll() is None:
        process.send_signal(sign)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS_MAX)
