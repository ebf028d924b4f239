"""What a run leaves behind: the attempts of a data folder, which outlive ``dure up`` on purpose, and of a run that was
killed the servers too; how to end them all, and how to be the only run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.demo_parts.cli import DemoFailed

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


def servers_of(folder: Path) -> list[int]:
    """The living ``dure up`` and Prometheus of a run whose output folder this is, by their own data's place in it."""
    data, options = os.fsencode(folder.resolve() / "data"), b"--config.file=" + os.fsencode(folder.resolve()) + b"/"
    found = []
    for pid, words in _commands():
        is_up = b"up" in words and b"--data" in words[:-1] and words[words.index(b"--data") + 1] == data
        if is_up or any(word.startswith(options) for word in words):
            found.append(pid)
    return found


def clear(folder: Path) -> None:
    """Make the output folder empty, after ending what a run that was killed left running in it."""
    deadline = time.monotonic() + END_SECONDS_MAX
    while (servers := servers_of(folder)) and time.monotonic() < deadline:
        for pid in servers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    end_tree(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


@contextlib.contextmanager
def only_run(program: Path) -> Iterator[None]:
    """Hold the lock on the program's file, which the kernel lets go of however a run ends.

    Raises DemoFailed if another run holds it.
    """
    descriptor = os.open(program, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoFailed("another run of it is under way here, and both would write to the same folder") from error
        yield
    finally:
        os.close(descriptor)


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
