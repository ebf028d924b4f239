"""The supervisor's side of the record: lines appended and synced one by one, on a clock that nobody can set."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from operators.local.layout import sync_folder
from operators.local.records import LineKind

LINE_BYTES_MAX = 1 << 20


def wall_ms() -> int:
    """This machine's clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Milliseconds since this machine was started, time asleep included; no change of the clock touches it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Recorder:
    """Appends lines to one record.

    The wall clock is read once; every instant is that base and the real time since then, so that a clock which is set
    while an attempt runs changes no duration in the record.

    A line that cannot be written (a full disk) waits, with its instant, for the next; beats are dropped meanwhile, so
    no more lines wait than an attempt has events. A beat that finds no room touches the record instead: its time of
    change is a sign of life that takes no space.
    """

    def __init__(
        self,
        path: Path,
        floor_ms: int = 0,
        clock: Callable[[], int] = wall_ms,
        elapsed: Callable[[], int] = boot_ms,
    ) -> None:
        """Open the record; ``floor_ms`` bounds the base from below. A first line that was torn is taken away.

        elapsed: milliseconds of real time from any one instant on; never goes backwards.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if b"\n" not in os.pread(self._descriptor, LINE_BYTES_MAX, 0):
            os.ftruncate(self._descriptor, 0)
        sync_folder(path.parent)
        self._size = os.fstat(self._descriptor).st_size
        self._elapsed = elapsed
        self._base_ms = max(floor_ms, clock()) - elapsed()
        self._seq = 0
        self._waiting: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        """Whether the record has no line, of this supervisor or an earlier one."""
        return self._size == 0

    @property
    def behind(self) -> bool:
        """Whether lines wait to be written."""
        return bool(self._waiting)

    def append(self, kind: LineKind, **fields: Any) -> int:
        """Add a line and sync it; returns its instant."""
        at_ms = self._base_ms + self._elapsed()
        if kind is not LineKind.BEAT or not self._waiting:
            self._seq += 1
            line = {"seq": self._seq, "kind": kind.value, "at_ms": at_ms, **fields}
            self._waiting.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        if not self.flush() and kind is LineKind.BEAT:
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)
        return at_ms

    def flush(self) -> bool:
        """Write what waits; False when it could not be, with the record as it was."""
        content = b"".join(self._waiting)
        if not content:
            return True
        try:
            written = os.write(self._descriptor, content)
            if written != len(content):
                raise OSError("short write")
            os.fsync(self._descriptor)
        except OSError:
            # Half a line would swallow the next one: take it back.
            os.ftruncate(self._descriptor, self._size)
            return False
        self._size += len(content)
        self._waiting.clear()
        return True
