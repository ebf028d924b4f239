"""The supervisor's children: each a process group of its own, and every orphan of theirs adopted until it is reaped.

With the kernel's sub-reaper flag, whatever a job leaves behind becomes a child of the supervisor. So "no child is
left" proves that nothing which descends from the attempt runs any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from operators.local import processes

PR_SET_CHILD_SUBREAPER = 36
REAPED_PER_LOOK_MAX = 1_000
SIGNAL_BASE = 128  # a shell's convention: ended by signal n is exit status 128 + n


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends; raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


class Children:
    """Starts processes and reaps all that end; there must be one of these in a process, for it waits for any child."""

    def __init__(self) -> None:
        """No children yet."""
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._codes: dict[int, int] = {}

    def spawn(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path, content: bytes = b""
    ) -> int:
        """Start a process as leader of its own group in the supervisor's session; returns its pid.

        Its output is appended to ``log``, its input is ``content``. Raises OSError when it cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A file and no pipe: nobody has to stay and feed it, and it is in no folder.
        with log.open("ab") as out, tempfile.TemporaryFile() as given:
            given.write(content)
            given.seek(0)
            child = subprocess.Popen(
                command, env=dict(env), cwd=folder, stdin=given, stdout=out, stderr=out, process_group=0
            )
        # The number may have been another child's before: that one's code is not this one's.
        self._codes.pop(child.pid, None)
        self._processes[child.pid] = child
        return child.pid

    def reap(self) -> None:
        """Collect the exit statuses of all children that have ended."""
        for _ in range(REAPED_PER_LOOK_MAX):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._processes.pop(pid, None)
            if child is not None:
                code = os.waitstatus_to_exitcode(status)
                child.returncode = code
                self._codes[pid] = code if code >= 0 else SIGNAL_BASE - code

    def code(self, pid: int) -> int | None:
        """Exit status of a child that was spawned here; None while it runs."""
        return self._codes.get(pid)

    @property
    def none_left(self) -> bool:
        """Whether not one descendant is left, adopted ones included; dead ones are reaped by the way."""
        self.reap()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    def kill_all(self) -> None:
        """Kill every descendant there is now."""
        everything = processes.table()
        for pid in processes.descendants([os.getpid()], everything):
            processes.send(everything[pid], signal.SIGKILL)


def cpu_ms() -> int:
    """CPU time of this process and of all its reaped descendants, in milliseconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return int(sum(item.ru_utime + item.ru_stime for item in used) * 1_000)


def signal_group(leader: int, sign: signal.Signals) -> None:
    """Signal every process of the group that a spawned child leads."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, sign)


def group_is_empty(leader: int) -> bool:
    """Whether no process of the child's group is left; once true it is not asked again, for numbers are used again."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    return False
