"""The processes of a data folder's attempts, which outlive ``dure up`` on purpose, and how to end them all."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

END_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05
SUPERVISOR = b"operators.local.supervisor"


def supervisors_of(data: Path) -> dict[int, Path]:
    """The living supervisors of this folder's attempts, with the folder of each attempt."""
    found = {}
    inside = os.fsencode(data.resolve()) + b"/"
    for pid, words in _commands():
        folder = next((word for word in words if word.startswith(inside)), None)
        if SUPERVISOR in words and folder is not None:
            found[pid] = Path(os.fsdecode(folder))
    return found


def kill_tree(data: Path, also: Iterable[int] = ()) -> set[int]:
    """SIGKILL to everything that belongs to this folder's attempts now, as a power cut would.

    All supervisors first: one that lived a moment longer would write down how its ranks were killed. also: sessions of
    supervisors that may have ended before; returns those sessions in which there was something.
    """
    leaders = supervisors_of(data).keys()
    members = [(pid, _session(pid)) for pid, _ in _commands()]
    wanted = {*leaders, *also}
    found = [(pid, session) for pid, session in members if session in wanted]
    for pid in (*leaders, *(pid for pid, _ in found), *_marked(data)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return {session for _, session in found}


def end_tree(data: Path) -> None:
    """Kill until nothing of this folder's attempts is left, for END_SECONDS_MAX at most."""
    deadline = time.monotonic() + END_SECONDS_MAX
    sessions: set[int] = set()
    while (sessions := kill_tree(data, sessions)) or _marked(data):
        if time.monotonic() >= deadline:
            return
        time.sleep(POLL_SECONDS)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _marked(data: Path) -> list[int]:
    """Processes that say by their environment that they are of this folder's attempts."""
    mark = b"DURE_ATTEMPT_DIR=" + os.fsencode(data.resolve()) + b"/"
    found = []
    for pid, _ in _commands():
        with contextlib.suppress(OSError):
            if any(entry.startswith(mark) for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                found.append(pid)
    return found


def _commands() -> Iterator[tuple[int, list[bytes]]]:
    """Every living process with the words of its command line; one that has ended has none any more."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if words := (entry / "cmdline").read_bytes().split(b"\0")[:-1]:
                    yield int(entry.name), words
