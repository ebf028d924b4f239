"""One script of one rank: a shell in a process group of its own, and when it counts as ended."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from operators.local.children import Children, group_is_empty, signal_group

NOT_STARTED = 127


class Command(NamedTuple):
    """A script of the task, and where it runs; its output is appended to ``log``."""

    script: str
    env: Mapping[str, str]
    folder: Path
    log: Path


class RankRun:
    """A started script. It has ended when its shell has ended and its whole process group with it.

    So a program that saves its state after the shell above it took the same SIGTERM still has its grace.
    """

    def __init__(self, rank: int, command: Command, children: Children) -> None:
        """Start it; one that cannot be started has ended with 127, and its log says why."""
        self.rank = rank
        self.pid = 0
        self.code: int | None = None
        self.ended = False
        self.noted = False
        self._children = children
        shell = shutil.which("bash") or "/bin/sh"
        try:
            self.pid = children.spawn([shell, "-c", command.script], command.env, command.folder, command.log)
        except OSError as error:
            self.code, self.ended = NOT_STARTED, True
            with contextlib.suppress(OSError), command.log.open("a") as out:
                out.write(f"dure: rank {rank} could not be started: {error.strerror}\n")

    def look(self, *, kill_rest: bool) -> None:
        """Notice the end; ``kill_rest`` kills what outlives the shell, as the end of a container would."""
        if self.ended:
            return
        self.code = self._children.code(self.pid)
        if self.code is None:
            return
        if kill_rest:
            signal_group(self.pid, signal.SIGKILL)
            self._children.reap()
        self.ended = group_is_empty(self.pid)

    def signal(self, sign: signal.Signals) -> None:
        """Signal the whole group, unless it has ended."""
        if not self.ended:
            signal_group(self.pid, sign)
