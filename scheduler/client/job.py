"""The in-job helper: what a training script needs of Dure, with the standard library alone.

    from scheduler.client import job

    resume = job.checkpoint_dir() / "state.npz"
    job.on_notice(save)                       # called once when the job is asked to stop
    job.save_atomically(resume, content)      # a reader sees the old bytes or the new ones, never half
    job.checkpointed(step=1_200)              # Dure knows: from here the job goes on if its GPUs are taken back

Outside a job every function answers as for a gang of one, so the same script runs on a laptop.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

LOCAL_CHECKPOINTS = "checkpoints"
REPORT_SECONDS = 2.0
QUIET_SECONDS = 60.0
"""After a report that did not arrive nothing is reported for so long: training does not wait for the network."""
_quiet = {"until": 0.0}


def _whole(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is {text!r}, not a whole number")
    return int(text)


def in_job() -> bool:
    """Whether this process was started by Dure."""
    return bool(os.environ.get("DURE_JOB"))


def job_id() -> str:
    """The job's id; "" outside a job."""
    return os.environ.get("DURE_JOB", "")


def attempt() -> int:
    """Which execution of the job this is, from 1."""
    return _whole("DURE_ATTEMPT", 1)


def rank() -> int:
    """This node's place in the gang, from 0."""
    return _whole("DURE_NODE_RANK", 0)


def num_nodes() -> int:
    """How many nodes the gang has."""
    return _whole("DURE_NUM_NODES", 1)


def gpus_per_node() -> int:
    """How many GPUs this attempt holds on each node."""
    return _whole("DURE_GPUS_PER_NODE", 1)


def checkpoint_dir() -> Path:
    """The folder that all attempts of the job share, made if it is missing; ``./checkpoints`` outside a job."""
    folder = Path(os.environ.get("DURE_CHECKPOINT_DIR") or LOCAL_CHECKPOINTS)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write the file so that after a crash at any moment it holds the old bytes or the new ones.

    The bytes are on the disk when this returns. Raises OSError.
    """
    target = Path(path)
    # One name a process and thread: two ranks may save into the shared folder at the same moment.
    partial = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def checkpointed(step: int | None = None) -> bool:
    """Tell Dure that the work is saved now; ``step`` is your own count. Returns whether Dure has heard it.

    Lent GPUs are taken back where least work is lost, counted from the last report. Call it after every save; Dure
    writes down one in ten seconds. It takes at most two seconds and never raises: outside a job,
    or where the control plane cannot be reached, it says False.
    """
    url, token = os.environ.get("DURE_API_URL", ""), os.environ.get("DURE_ATTEMPT_TOKEN", "")
    if not (url.startswith(("http://", "https://")) and token and in_job()) or time.monotonic() < _quiet["until"]:
        return False
    request = urllib.request.Request(  # noqa: S310 - the scheme is looked at above
        f"{url.rstrip('/')}/api/v1/attempts/{job_id()}/{attempt()}/checkpoint",
        data=json.dumps({"step": step}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=REPORT_SECONDS) as answer:  # noqa: S310 - its scheme is looked at above
            return bool(answer.status == 200)
    except (OSError, ValueError):  # also every answer that is an error, and a wrong URL
        _quiet["until"] = time.monotonic() + QUIET_SECONDS
        return False


class Notice:
    """Whether the job was asked to stop; true from the moment the notice came."""

    def __init__(self) -> None:
        self._came = False

    def __bool__(self) -> bool:
        return self._came

    def come(self) -> bool:
        """Mark it; true the first time."""
        first, self._came = not self._came, True
        return first


def on_notice(callback: Callable[[], object]) -> Notice:
    """Call ``callback`` once when the job is asked to stop (SIGTERM), then let the script go on.

    The script has the job's grace time from then; leave soon: raise SystemExit in the callback, or look at the
    returned Notice between steps. A handler that was there before is called after the callback. Call this in the main
    thread (raises ValueError elsewhere).
    """
    notice = Notice()
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        if notice.come():
            callback()
            if callable(before):
                before(number, frame)

    signal.signal(signal.SIGTERM, handle)
    return notice
