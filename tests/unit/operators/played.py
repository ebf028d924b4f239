"""The local backend on a data folder; the test plays its supervisors: it holds their locks, writes their records."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from operators.local import launch, layout
from operators.local.backend import LocalBackend
from operators.local.gpus import parse_gpus
from operators.local.layout import Folder
from operators.local.nvml import Nvml
from operators.local.recorder import Recorder
from operators.local.records import LineKind
from operators.ports import View

T0 = 1_800_000_000_000


class Rig:
    """A backend on a data folder, a clock to set, and supervisors that the test plays."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.now_ms, self.nvml = data, T0, None
        self.specs = ["h100-80g=2x2"]
        self.spawned: list[tuple[str, int]] = []
        self.spawn_fails = False
        self.locks: dict[str, int] = {}
        self.recorders: dict[str, Recorder] = {}
        monkeypatch.setattr(launch, "spawn_supervisor", self._spawn)
        self.backend = self.open()

    nvml: Nvml | None

    def clock(self) -> int:
        """What this machine's clocks show."""
        return self.now_ms

    def open(self) -> LocalBackend:
        return LocalBackend(self.data, "local", parse_gpus("local", self.specs), self.nvml, self.clock)

    def restart(self) -> None:
        """The operator is killed; another one opens the folder."""
        self.backend.close()
        self.backend = self.open()

    def close(self) -> None:
        self.backend.close()
        for lock in self.locks.values():
            os.close(lock)

    def _spawn(self, folder: Folder, floor_ms: int, machine: object) -> int | None:
        if self.spawn_fails:
            raise OSError("no more processes")
        lock = layout.take_lock(folder.lock)
        if lock is None:
            return None
        self.spawned.append((folder.name, floor_ms))
        self.locks[folder.name] = lock
        self.recorders[folder.name] = Recorder(folder.record, floor_ms, self.clock, self.clock)
        return None

    def write(self, name: str, kind: LineKind, **fields: object) -> None:
        """The supervisor writes a line."""
        self.recorders[name].append(kind, **fields)

    def die(self, name: str) -> None:
        """The supervisor is no more."""
        os.close(self.locks.pop(name))

    def look(self, seconds: int = 1) -> View:
        self.now_ms += seconds * 1_000
        return self.backend.observe(self.now_ms)

    def told(self, view: View | None = None) -> dict[str, tuple[object, ...]]:
        """Observations of attempts: id -> instant after T0, code or reason or message, evidence."""
        found = (view or self.look()).observations
        return {
            item.id: (item.at_ms - T0, item.exit_code or item.reason or item.message, item.evidence)
            for item in found
            if item.job
        }
