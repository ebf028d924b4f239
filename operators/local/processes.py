"""Processes as /proc shows them: a tree, who belongs to an attempt, and signals that cannot hit a recycled pid."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
KILL_SECONDS_MAX = 1.5
KILL_ROUND_SECONDS = 0.05
STANDARD_OUTPUTS = (1, 2)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``start_ticks`` since boot tells it from a later one with the same pid."""

    pid: int
    ppid: int
    session: int
    state: str
    start_ticks: int

    @property
    def is_zombie(self) -> bool:
        """It has ended and only waits to be reaped."""
        return self.state in "ZX"


@dataclass(frozen=True, slots=True)
class Session:
    """A session that one process led from ``leader_ticks`` on, and in which nothing was born after ``last_ticks``.

    Numbers of sessions are used again once they are empty; the two instants tell an old session from a new one.
    """

    number: int
    leader_ticks: int
    last_ticks: int


@dataclass(frozen=True, slots=True)
class Mark:
    """How a process of one attempt is known: its environment, an output in one of the folders, or its session.

    No single one is enough: Ray's processes write their titles over their environment, and a job's own may leave the
    session or send their output elsewhere.
    """

    variable: str
    value: str
    folders: tuple[str, ...]
    session: Session | None = None


def process(pid: int) -> Process | None:
    """The process now; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[3]), fields[0].decode(), int(fields[19]))


def table() -> dict[int, Process]:
    """All processes that this user can see."""
    pids = (int(name) for name in os.listdir(PROC) if name.isdigit())
    return {found.pid: found for pid in pids if (found := process(pid)) is not None}


def descendants(roots: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    """The pids below ``roots``, without them."""
    children: dict[int, list[int]] = {}
    for item in processes.values():
        children.setdefault(item.ppid, []).append(item.pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        fresh = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(fresh)
        waiting.extend(fresh)
    return found - set(roots)


def is_marked(pid: int, mark: Mark) -> bool:
    """Whether the process itself carries the mark; False when it is gone or another user's."""
    entry = os.fsencode(f"{mark.variable}={mark.value}")
    with contextlib.suppress(OSError):
        if entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            return True
    for descriptor in STANDARD_OUTPUTS:
        with contextlib.suppress(OSError):
            output = os.readlink(PROC / str(pid) / "fd" / str(descriptor))
            if any(output.startswith(folder + "/") for folder in mark.folders):
                return True
    return False


def in_session(item: Process, session: Session | None, processes: Mapping[int, Process]) -> bool:
    """Whether the process is of this very session, and not of a later one with the same number."""
    if session is None or item.session != session.number:
        return False
    leader = processes.get(session.number)
    same = leader is None or leader.start_ticks == session.leader_ticks
    return same and session.leader_ticks <= item.start_ticks <= session.last_ticks


def belonging(mark: Mark) -> dict[int, Process]:
    """Living processes that carry the mark and everything below them; never this process."""
    everything = table()
    found = (item for item in everything.values() if item.pid != os.getpid())
    marked = {item.pid for item in found if in_session(item, mark.session, everything) or is_marked(item.pid, mark)}
    family = (marked | descendants(marked, everything)) - {os.getpid()}
    return {pid: everything[pid] for pid in family if not everything[pid].is_zombie}


def send(target: Process, sign: signal.Signals) -> bool:
    """Signal exactly this process; False when it is no more."""
    try:
        descriptor = os.pidfd_open(target.pid)
    except OSError:
        return False
    try:
        now = process(target.pid)
        if now is None or now.start_ticks != target.start_ticks:
            return False
        signal.pidfd_send_signal(descriptor, sign)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def kill_round(mark: Mark) -> bool:
    """Kill what carries the mark now; True when nothing did."""
    left = belonging(mark)
    for item in left.values():
        send(item, signal.SIGKILL)
    return not left


def kill_belonging(mark: Mark) -> bool:
    """Kill what carries the mark until nothing does; False when something is left after KILL_SECONDS_MAX."""
    deadline = time.monotonic() + KILL_SECONDS_MAX
    while not kill_round(mark):
        if time.monotonic() >= deadline:
            return False
        time.sleep(KILL_ROUND_SECONDS)
    return True


def commanded(*words: str) -> list[Process]:
    """Living processes whose command line has all these words; never this process."""
    encoded = {os.fsencode(word) for word in words}
    found = []
    for pid, item in table().items():
        with contextlib.suppress(OSError):
            line = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
            if pid != os.getpid() and encoded <= set(line) and not item.is_zombie:
                found.append(item)
    return found


def boot_id() -> str:
    """The running kernel's id; another one means that the machine was restarted."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
