"""The local backend where disks, records and processes misbehave: one bad attempt is never everybody's."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from operators.local import launch, layout, processes
from operators.local.nvml import Nvml
from operators.local.processes import Mark
from operators.local.records import LineKind
from operators.ports import Assignment, StopOrder
from scheduler.core.errors import Retry
from scheduler.core.model import Rank
from tests.support.assignments import assignment
from tests.unit.operators.played import T0, Rig
from tests.unit.operators.test_gpus import FakeModule

A, B = assignment("aaaa"), assignment("bbbb")


def begun(rig: Rig, *jobs: str) -> list[str]:
    """Attempts that run on one rank each; returns their names."""
    items = [assignment(job) for job in jobs]
    for item in items:
        rig.backend.start(item, None)
        rig.write(item.name, LineKind.BEGIN, pid=1)
        rig.write(item.name, LineKind.START, rank=0, pid=1)
    return [item.name for item in items]


def gone(rig: Rig) -> set[str]:
    """Attempts that the next look says are gone."""
    return {name.removesuffix("/gone") for name in rig.told() if name.endswith("/gone")}


def immortal(*names: str) -> object:
    """A round of killing in which what belongs to these attempts never dies."""
    return lambda mark: Path(mark.value).name not in names


def test_one_that_does_not_die_keeps_nobody_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    names = begun(rig, "aaaa", "bbbb", "cccc")
    for name in names:
        rig.die(name)
    monkeypatch.setattr(processes, "KILL_SECONDS_MAX", 0.0)
    monkeypatch.setattr(processes, "kill_round", immortal(names[0]))
    view = rig.look()
    assert {item.id for item in view.observations if item.kind == "gone"} == {f"{name}/gone" for name in names[1:]}
    assert view.observed_through_ms == T0, "what may still run holds the watermark"
    monkeypatch.setattr(processes, "kill_round", immortal())
    assert gone(rig) == set(names)


def test_eight_that_do_not_die_do_not_keep_the_ninth_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    names = begun(rig, *("a" * size for size in range(1, 10)))
    for name in names:
        rig.die(name)
    monkeypatch.setattr(processes, "KILL_SECONDS_MAX", 0.0)
    monkeypatch.setattr(processes, "kill_round", immortal(*names[:8]))
    rig.look()
    assert gone(rig) == {names[8]}


def test_all_orphans_of_a_look_share_its_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    names = begun(rig, "aaaa", "bbbb", "cccc")
    for name in names:
        rig.die(name)
    rounds: list[str] = []

    def kill_round(mark: Mark) -> bool:
        rounds.append(Path(mark.value).name)
        return False

    ticks = itertools.count()
    monkeypatch.setattr(processes, "KILL_ROUND_SECONDS", 0.0)
    monkeypatch.setattr(processes, "kill_round", kill_round)
    monkeypatch.setattr("operators.local.backend.time.monotonic", lambda: next(ticks))
    monkeypatch.setattr(processes, "KILL_SECONDS_MAX", 3)
    rig.look()
    assert rounds == names * 3


def unreadable(folder: Path, file: str) -> None:
    """A file that cannot be opened, not even by root: a link to itself."""
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(file)


@pytest.mark.parametrize("file", ["supervisor.lock", "record.jsonl", "spec.json"])
def test_one_folder_that_cannot_be_read_stops_nobody_else(rig: Rig, file: str) -> None:
    rig.look()
    begun(rig, "aaaa", "bbbb")
    unreadable(rig.data / "attempts" / A.name, file)
    rig.restart()
    rig.now_ms += 3_000
    for name in (A.name, B.name):
        rig.write(name, LineKind.BEAT)
    view = rig.look()
    assert view.attempts == {A.name, B.name}
    assert f"{B.name}/rank-started/0" in {item.id for item in view.observations}
    assert [(failure.where, failure.error.code) for failure in view.failures] == [(A.name, "DURE-8008")]
    assert view.observed_through_ms == T0 + 1_000, "nobody knows what is not read yet"
    with pytest.raises(Retry):
        rig.backend.start(A, None)
    (rig.data / "attempts" / A.name).rename(rig.data / "archive" / A.name)
    view = rig.look()
    assert view.failures == ()
    assert view.attempts == {B.name}
    assert view.observed_through_ms == T0 + 4_000, "the other one's last line"


def test_an_end_that_cannot_be_written_is_the_attempts_own_failure(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    names = begun(rig, "aaaa", "bbbb")
    for name in names:
        rig.die(name)
    honest = layout.create_once

    def create_once(path: Path, value: object) -> bool:
        if path.parent.name == A.name:
            raise OSError(28, "No space left on device")
        return honest(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(layout, "create_once", create_once)
        view = rig.look()
        assert [failure.where for failure in view.failures] == [A.name]
        assert {item.id for item in view.observations if item.kind == "gone"} == {f"{B.name}/gone"}
    assert gone(rig) == set(names)


def test_devices_of_an_attempt_that_cannot_be_read_are_nobody_elses(rig: Rig) -> None:
    rig.nvml, rig.specs = Nvml(FakeModule()), ["h100-80g=2"]
    rig.restart()
    one = [assignment(job, ranks=(Rank(0, "h100-80g-0", 1),)) for job in ("aaaa", "bbbb")]
    rig.backend.start(one[0], None)
    unreadable(rig.data / "attempts" / A.name, "spec.json")
    rig.restart()
    with pytest.raises(Retry, match="cannot be read"):
        rig.backend.start(one[1], None)
    assert [name for name, _ in rig.spawned] == [A.name]


@pytest.mark.parametrize("later", [b"", b'{"seq":2,"kind":"start","at_ms":%d,"rank":0,"pid":1}\n' % (T0 + 500)])
def test_a_damaged_first_line_is_a_begin_all_the_same(rig: Rig, later: bytes) -> None:
    rig.look()
    rig.backend.start(A, None)
    record = rig.data / "attempts" / A.name / "record.jsonl"
    record.write_bytes(b'{"seq":1,"kind":"beg\x00\x00\x00\n' + later)
    assert rig.look().observed_through_ms == T0 + 1_000
    rig.die(A.name)
    told = rig.told()
    assert told[f"{A.name}/gone"] == (3_000, "", "lost")
    assert (f"{A.name}/rank-ended/0" in told) is bool(later)
    rig.backend.start(A, None)
    assert [name for name, _ in rig.spawned] == [A.name]


def test_what_has_a_damaged_line_and_does_not_die_is_not_begun_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.backend.start(A, None)
    (rig.data / "attempts" / A.name / "record.jsonl").write_bytes(b"damaged\n")
    rig.die(A.name)
    with monkeypatch.context() as patch:
        patch.setattr(processes, "KILL_SECONDS_MAX", 0.0)
        patch.setattr(processes, "kill_round", immortal(A.name))
        view = rig.look()
        assert view.attempts == {A.name}
        assert all(item.kind == "node" for item in view.observations)
        rig.backend.start(A, None)
    assert [name for name, _ in rig.spawned] == [A.name]
    assert gone(rig) == {A.name}


UNRUN = {
    "begun": assignment(begun=True),
    "to stop": assignment(stop=StopOrder("cancel", 0)),
    "without its package": assignment(package_sha256="ab" * 32),
}


@pytest.mark.parametrize("item", UNRUN.values(), ids=UNRUN.keys())
def test_an_end_that_cannot_be_told_is_tried_again(rig: Rig, item: Assignment) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "take_lock", lambda path: None)
        with pytest.raises(Retry) as found:
            rig.backend.start(item, None)
    assert found.value.code == "DURE-8035"
    rig.backend.start(item, None)
    assert gone(rig) == {A.name}


def test_a_supervisor_without_room_for_its_lines_is_not_silent(rig: Rig) -> None:
    begun(rig, "aaaa")
    folder = rig.data / "attempts" / A.name
    command = [sys.executable, "-c", "import time; time.sleep(60)", launch.SUPERVISOR_MODULE, str(folder)]
    with subprocess.Popen(command) as beating:
        for number in range(60):
            os.utime(folder / "record.jsonl", (number, number))
            rig.look(60)
        assert beating.poll() is None
        for _ in range(40):
            rig.look(60)
        assert beating.wait(10) == -9
