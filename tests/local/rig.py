"""A real local backend on a temporary folder: attempts, their records, and nothing left behind after a test."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from operators.local.backend import LocalBackend
from operators.local.gpus import parse_gpus
from operators.local.recorder import wall_ms
from operators.local.records import Record
from operators.ports import Assignment, Observation, StopOrder, View
from scheduler.core.lifecycle import StopReason
from tests.support import assignments
from tests.support.assignments import gang
from tests.support.processes import kill_attempt, left_of, record_of, wait_for

SECONDS_MAX = 150.0


def assignment(job: str, run: str, gpus: Iterable[int] = (1,), **changes: object) -> Assignment:
    """A gang with these GPUs on each of its nodes."""
    ranks = gang((f"x-{number}", count) for number, count in enumerate(gpus))
    wanted: dict[str, Any] = {"run": run, "flavor": "x", "ranks": ranks, "time_limit_ms": 120_000, **changes}
    return assignments.assignment(job, **wanted)


def package(files: dict[str, bytes]) -> tuple[bytes, str]:
    """A zip and its SHA-256."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest()


class LocalRig:
    """A backend with four nodes of two GPUs. Each look is the operator's; records are read beside it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.started: set[str] = set()
        self.backend = self.open()

    def open(self) -> LocalBackend:
        """Open the data folder as a new operator would."""
        return LocalBackend(self.data, "local", parse_gpus("local", ["x=4x2"]))

    def restart(self) -> None:
        """Another operator takes over."""
        self.backend.close()
        self.backend = self.open()

    def start(self, item: Assignment, content: bytes | None = None) -> Path:
        """Start an attempt; returns its folder."""
        self.started.add(item.name)
        self.backend.start(item, content)
        return self.data / "attempts" / item.name

    def stop(self, item: Assignment, grace_ms: int = 5_000, reason: StopReason = StopReason.EVICT) -> None:
        """Order it to stop."""
        self.backend.stop(item.name, StopOrder(reason.value, grace_ms), wall_ms())

    def look(self) -> View:
        """Observe now."""
        return self.backend.observe(wall_ms())

    def observed(self, name: str) -> dict[str, Observation]:
        """The attempt's observations by the part of their id after its name."""
        return {
            item.id.removeprefix(name + "/"): item
            for item in self.look().observations
            if item.id.startswith(name + "/")
        }

    def record(self, name: str) -> Record:
        """The attempt's record as its supervisor has written it."""
        return record_of(self.data / "attempts" / name)

    def until_running(self, name: str) -> Record:
        """Wait until all its ranks have started."""
        wait_for(f"{name} running", lambda: self.record(name).starts or self.record(name).gone, SECONDS_MAX)
        return self.record(name)

    def until_printed(self, name: str, text: str, rank: int = 0) -> None:
        """Wait until a rank has printed this."""
        wait_for(f"{text!r} from {name}", lambda: text in self.output(name, rank), SECONDS_MAX)

    def until_gone(self, name: str) -> dict[str, Observation]:
        """Wait until it is gone; returns its observations. Nothing of it may be left then."""
        found = wait_for(f"{name} gone", lambda: self._if_gone(name), SECONDS_MAX)
        assert left_of(self.data / "attempts" / name) == {}
        return found

    def _if_gone(self, name: str) -> dict[str, Observation] | None:
        found = self.observed(name)
        return found if "gone" in found else None

    def output(self, name: str, rank: int = 0) -> str:
        """All that a rank has printed, as the backend hands it out."""
        return self.backend.log_chunk(name, rank, 0, 1 << 20).decode(errors="replace")

    def close(self) -> None:
        """Kill what a failed test has left."""
        self.backend.close()
        for name in self.started:
            for _ in range(20):
                kill_attempt(self.data / "attempts" / name)
                if not left_of(self.data / "attempts" / name):
                    break
                time.sleep(0.1)
