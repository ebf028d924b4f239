"""The supervisor's side of the record: lines appended and synced one by one, on a clock that never goes backwards."""

from __future__ import annotations

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


class Recorder:
    """Appends lines to one record.

    A line that cannot be written (a full disk) waits, with its instant, for the next; beats are dropped meanwhile, so
    no more lines wait than an attempt has events.
    """

    def __init__(self, path: Path, floor_ms: int = 0, clock: Callable[[], int] = wall_ms) -> None:
        """Open the record; ``floor_ms`` bounds the clock from below. A first line that was torn is taken away."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if b"\n" not in os.pread(self._descriptor, LINE_BYTES_MAX, 0):
            os.ftruncate(self._descriptor, 0)
        sync_folder(path.parent)
        self._size = os.fstat(self._descriptor).st_size
        self._clock = clock
        self._last_ms = floor_ms
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
        self._last_ms = max(self._last_ms, self._clock())
        if kind is LineKind.BEAT and self._waiting:
            self.flush()
            return self._last_ms
        self._seq += 1
        line = {"seq": self._seq, "kind": kind.value, "at_ms": self._last_ms, **fields}
        self._waiting.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self.flush()
        return self._last_ms

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
