"""Real processes in tests: wait for what must come, and see whether anything of an attempt is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from operators.local import attempts, launch, processes
from operators.local.layout import Folder
from operators.local.records import Record, fold, parse

T = TypeVar("T")
LOOK_SECONDS = 0.05


def wait_for(what: str, look: Callable[[], T | None], seconds_max: float = 60.0) -> T:
    """Look again and again until there is something (not None, False or empty); fails after ``seconds_max``."""
    deadline = time.monotonic() + seconds_max
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds_max:.0f} s")
        time.sleep(LOOK_SECONDS)
    return found


def record_of(folder: Path) -> Record:
    """An attempt's record as its supervisor has written it so far."""
    path = folder / "record.jsonl"
    return fold(Record(), parse(path.read_bytes())[0]) if path.exists() else Record()


def left_of(folder: Path) -> dict[int, str]:
    """Living processes of an attempt, its supervisor left out: pid -> command line."""
    spec = Folder(folder).read_spec()
    if spec is None:
        return {}
    mark = attempts.mark_of(Folder(folder), spec, record_of(folder))
    supervisor = supervisor_of(folder)
    found = {pid: command_of(pid) for pid in processes.belonging(mark) if pid != supervisor}
    return {pid: command for pid, command in found.items() if command}


def supervisor_of(folder: Path) -> int | None:
    """The pid of the attempt's living supervisor; None when there is none."""
    found = processes.commanded(launch.SUPERVISOR_MODULE, str(folder))
    return found[0].pid if found else None


def signal_supervisor(folder: Path, sign: signal.Signals) -> None:
    """Signal the attempt's supervisor, which must live."""
    supervisor = supervisor_of(folder)
    assert supervisor is not None, f"{folder.name} has no supervisor"
    os.kill(supervisor, sign)


def command_of(pid: int) -> str:
    """A process's command line; "" when it has none any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def kill_attempt(folder: Path) -> None:
    """Kill everything of an attempt at once, its supervisor first, as a power cut would; nothing is reaped here."""
    everything = [supervisor_of(folder), *left_of(folder)]
    for pid in filter(None, everything):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
