"""The whole operator on real processes, killed again and again: every attempt ends once, and no watermark ever lied."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from operators.local import launch
from operators.loop import OperatorLoop
from operators.ports import Assignment, Observation, ObservationKind, StopOrder
from tests.local.rig import LocalRig, assignment
from tests.support.processes import kill_attempt, left_of, supervisor_of
from tests.support.source import ROOT
from tests.unit.operators.fakes import FakePlane

ATTEMPTS = 8
FIRST = "d-a-a1"
"""Killed as soon as it runs, whatever the dice say of the others."""
SECONDS_MAX = 60.0
GRACEFUL = "trap 'exit 143' TERM; for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.1; done"


class Vouched(NamedTuple):
    """What one report said: everything before the watermark is among these ids."""

    through_ms: int
    ids: frozenset[str]


class Plane(FakePlane):
    """Remembers every observation, and what each watermark vouched for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Observation] = {}
        self.vouched: list[Vouched] = []

    def report(
        self, cluster: str, at_ms: int, observed_through_ms: int, observations: tuple[Observation, ...] | object
    ) -> None:
        """Keep them; a repeat must say the same."""
        assert isinstance(observations, list)
        for item in observations:
            assert self.seen.setdefault(item.id, item) == item
        self.vouched.append(Vouched(observed_through_ms, frozenset(self.seen)))

    @property
    def gone(self) -> set[tuple[str, int]]:
        """Attempts that were proven gone."""
        return {(item.job, item.attempt) for item in self.seen.values() if item.kind is ObservationKind.GONE}


def jobs() -> list[Assignment]:
    """Short ones, gangs, failing ones, ones that cannot start, one that is over before it begins."""
    jobs = [assignment("a" * size, GRACEFUL, gpus=(1,) * (1 + size % 2)) for size in range(1, ATTEMPTS - 2)]
    jobs.append(assignment("fail", "exit 3", gpus=(1, 1)))
    jobs.append(assignment("setup", "true", setup="exit 4"))
    jobs.append(assignment("never", "true", stop=StopOrder("cancel", 0)))
    return jobs


def test_random_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    monkeypatch.setattr(launch, "SUPERVISOR_MODULE", "tests.local.stub_supervisor")
    rig, plane = LocalRig(tmp_path / "data"), Plane()
    wanted = {item.name: item for item in jobs()}
    rig.started.update(wanted)
    try:
        loop = OperatorLoop("local", rig.backend, plane)
        deadline = time.monotonic() + SECONDS_MAX
        while len(plane.gone) < len(wanted):
            assert time.monotonic() < deadline, sorted(set(wanted) - {f"d-{job}-a{at}" for job, at in plane.gone})
            plane.assignments = tuple(item for item in wanted.values() if (item.job, item.attempt) not in plane.gone)
            loop.step(time.time_ns() // 1_000_000)
            time.sleep(rng.random() / 10)
            if rng.random() < 0.2:
                rig.restart()
                loop = OperatorLoop("local", rig.backend, plane)
            if rng.random() < 0.05 or rig.record(FIRST).running:
                name = FIRST if rig.record(FIRST).running else rng.choice(sorted(wanted))
                folder = rig.data / "attempts" / name
                if name == FIRST or rng.random() < 0.5:
                    kill_attempt(folder)
                elif supervisor := supervisor_of(folder):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(supervisor, rng.choice([signal.SIGKILL, signal.SIGTERM]))
        assert all(left_of(rig.data / "attempts" / name) == {} for name in wanted)
        assert "lost" in {item.evidence for item in plane.seen.values()}
        check(plane)
        agree(rig.data, plane)
    finally:
        rig.close()


def check(plane: Plane) -> None:
    """No watermark went back, and none vouched for what was only seen later."""
    marks = [vouched.through_ms for vouched in plane.vouched]
    assert marks == sorted(marks)
    for vouched in plane.vouched:
        late = [item for item in plane.seen.values() if item.at_ms < vouched.through_ms and item.id not in vouched.ids]
        assert late == [], f"vouched for {vouched.through_ms}"


def agree(data: Path, plane: Plane) -> None:
    """What was reported and what the independent counter finds are the same GPU time, to the millisecond."""
    command = [sys.executable, str(ROOT / "scripts" / "count_records.py"), str(data), "--attempts"]
    counted = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    ranks = {(item["job"], rank["rank"]): rank for item in counted["attempts"] for rank in item["ranks"]}
    starts = {(item.job, item.rank): item.at_ms for item in plane.seen.values() if item.kind == "rank-started"}
    ends = {(item.job, item.rank): item.at_ms for item in plane.seen.values() if item.kind == "rank-ended"}
    assert {key: rank["start_ms"] for key, rank in ranks.items() if rank["start_ms"] is not None} == starts
    assert {key: rank["end_ms"] for key, rank in ranks.items() if rank["end_ms"] is not None} == ends
    assert sum(rank["running_gpu_ms"] for rank in ranks.values()) == sum(ends[key] - starts[key] for key in starts)
