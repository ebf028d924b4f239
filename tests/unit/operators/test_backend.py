"""The local backend over folders: crashes between any two steps, lost supervisors, an honest watermark.

No Ray here: supervisors are played by the test, which holds their lock and writes their record. tests/local has the
real ones.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from operators.local import launch, layout
from operators.local.layout import MARKER, Folder
from operators.local.nvml import Nvml
from operators.local.records import LineKind
from operators.ports import Assignment, StopOrder
from scheduler.core.errors import Fatal, Retry
from scheduler.core.model import Rank
from tests.support.assignments import assignment
from tests.unit.operators.played import T0, Rig
from tests.unit.operators.test_gpus import FakeModule

A, B = assignment("aaaa"), assignment("bbbb")
EVICT = StopOrder("evict", 700)


def package(**files: bytes) -> tuple[bytes, str]:
    """A zip and its SHA-256."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest()


def test_nodes_are_seen_once_and_anew_when_they_change(rig: Rig) -> None:
    first = rig.look()
    assert [(item.node, item.gpus, item.registered) for item in first.observations] == [
        ("h100-80g-0", 2, 2),
        ("h100-80g-1", 2, 2),
    ]
    rig.restart()
    assert rig.look().observations == first.observations
    rig.specs = ["h100-80g=1x3"]
    rig.restart()
    later = rig.look()
    assert [(item.node, item.gpus, item.registered, item.schedulable) for item in later.observations] == [
        ("h100-80g-0", 3, 3, True),
        ("h100-80g-1", 0, 0, False),
    ]
    assert not {item.id for item in later.observations} & {item.id for item in first.observations}


def test_an_attempt_from_start_to_archive(rig: Rig) -> None:
    content, sha256 = package(**{"a.py": b"x"})
    gang = assignment(package_sha256=sha256, ranks=(Rank(0, "h100-80g-0", 1), Rank(1, "h100-80g-1", 1)))
    rig.backend.start(gang, content)
    rig.backend.start(gang, content)
    assert [name for name, _ in rig.spawned] == [A.name]
    folder = Folder(rig.data / "attempts" / A.name)
    assert sorted(str(path.relative_to(folder.work)) for path in folder.work.rglob("a.py")) == ["0/a.py", "1/a.py"]
    assert (rig.data / "checkpoints" / "hanbit-ai" / "nlp" / "aaaa").is_dir()
    rig.write(A.name, LineKind.BEGIN, pid=os.getpid())
    rig.write(A.name, LineKind.START, rank=0, pid=os.getpid())
    view = rig.look()
    assert view.attempts == {A.name}
    assert [(item.rank, item.gpus, item.running) for item in view.samples] == [(0, 1, True), (1, 1, False)]
    folder.log(0).write_bytes(b"0123456789")
    assert rig.backend.log_chunk(A.name, 0, 4, 3) == b"456"
    assert rig.backend.log_chunk(A.name, 1, 0, 3) == b""
    rig.write(A.name, LineKind.GONE, code=0)
    rig.die(A.name)
    assert rig.look().samples == ()
    rig.backend.forget(A.name)
    rig.backend.forget(A.name)
    assert rig.look().attempts == frozenset()
    kept = {path.name for path in (rig.data / "archive" / A.name).iterdir()}
    assert {"spec.json", "record.jsonl"} <= kept
    assert not {"work", "logs"} & kept
    with pytest.raises(Fatal, match="archived"):
        rig.backend.start(gang, content)


def test_a_start_cut_short_anywhere_is_repaired(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    content, sha256 = package(**{"a.py": b"x"})
    item = assignment(package_sha256=sha256)
    for module, name in ((layout, "write_atomic"), (launch, "prepare_files"), (Path, "rename")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, broken)
            with pytest.raises(Retry):
                rig.backend.start(item, content)
        rig.restart()
        assert rig.look().attempts == frozenset()
    rig.spawn_fails = True
    with pytest.raises(Retry, match="cannot be written"):
        rig.backend.start(item, content)
    rig.spawn_fails = False
    assert rig.look().attempts == frozenset()
    rig.backend.start(item, content)
    assert rig.look().attempts == {A.name}
    assert (rig.data / "attempts" / A.name / "work" / "0" / "a.py").read_bytes() == b"x"


def broken(*_arguments: object, **_options: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_is_to_stop_before_it_began_never_begins(rig: Rig) -> None:
    rig.backend.start(assignment(stop=EVICT), None)
    assert rig.spawned == []
    assert rig.told() == {f"{A.name}/gone": (0, "", "observed")}
    rig.backend.start(A, None)
    assert rig.spawned == []


@pytest.mark.parametrize("stop", [None, EVICT])
def test_what_began_and_left_no_trace_is_lost_and_never_begins_again(rig: Rig, stop: StopOrder | None) -> None:
    folder = rig.data / "attempts" / A.name
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, env={MARKER: str(folder)}, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()
        rig.backend.start(assignment(begun=True, package_sha256="ab" * 32, stop=stop), None)
        assert left.wait(10) == -9
    assert rig.spawned == []
    assert rig.told() == {f"{A.name}/gone": (0, "", "lost")}
    rig.restart()
    rig.backend.start(A, None)
    assert (rig.spawned, rig.told()) == ([], {f"{A.name}/gone": (0, "", "lost")})


def test_leftovers_of_a_start_that_nobody_was_told_of_are_ended_before_the_next(rig: Rig) -> None:
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    env = {MARKER: str(rig.data / "attempts" / A.name)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()
        rig.backend.start(A, None)
        assert left.wait(10) == -9
    assert [name for name, _ in rig.spawned] == [A.name]


def test_a_stop_that_came_before_a_repaired_start_holds(rig: Rig) -> None:
    rig.spawn_fails = True
    with pytest.raises(Retry):
        rig.backend.start(A, None)
    rig.spawn_fails = False
    rig.backend.stop(A.name, EVICT, rig.now_ms)
    rig.backend.start(A, None)
    assert rig.spawned == []
    assert list(rig.told()) == [f"{A.name}/gone"]


@pytest.mark.parametrize(("content", "says"), [(None, "not in the package store"), (b"junk", "SHA-256")])
def test_a_package_that_cannot_be_used_fails_the_attempt(rig: Rig, content: bytes | None, says: str) -> None:
    rig.backend.start(assignment(package_sha256="ab" * 32), content)
    told = rig.told()
    assert [*told] == [f"{A.name}/failed", f"{A.name}/gone"]
    assert says in str(told[f"{A.name}/failed"][1])
    assert told[f"{A.name}/gone"] == (0, 1, "observed")
    rig.restart()
    assert rig.told() == told


def test_the_first_order_to_stop_decides(rig: Rig) -> None:
    rig.backend.start(A, None)
    rig.backend.stop(A.name, EVICT, 123)
    rig.backend.stop(A.name, StopOrder("cancel", 1), 456)
    rig.backend.stop("d-zzzz-a1", EVICT, 123)
    stop = layout.read_json(rig.data / "attempts" / A.name / "stop.json")
    assert stop == {"reason": "evict", "at_ms": 123, "grace_ms": 700}
    assert not (rig.data / "attempts" / "d-zzzz-a1").exists()


def test_a_lost_attempt_is_killed_and_proven_gone(rig: Rig) -> None:
    for item in (A, B):
        rig.backend.start(item, None)
        rig.write(item.name, LineKind.BEGIN, pid=1)
        rig.write(item.name, LineKind.START, rank=0, pid=1)
        rig.now_ms += 3_000
        rig.write(item.name, LineKind.BEAT)
    folders = {item.name: rig.data / "attempts" / item.name for item in (A, B)}
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    left, other = (
        subprocess.Popen(command, env={MARKER: str(folders[item.name])}, stdout=subprocess.PIPE) for item in (A, B)
    )
    for process in (left, other):
        assert process.stdout is not None
        process.stdout.readline()
    try:
        rig.die(A.name)
        told = rig.told()
        assert told[f"{A.name}/rank-ended/0"] == (3_000, "", "lost")
        assert told[f"{A.name}/gone"] == (7_000, "", "lost")
        assert left.wait(10) == -9
        assert other.poll() is None
        assert f"{B.name}/gone" not in told
        rig.restart()
        rig.now_ms += 50_000
        assert rig.told()[f"{A.name}/gone"] == (7_000, "", "lost")
    finally:
        for process in (left, other):
            process.kill()
            process.communicate()


def test_the_watermark_is_never_ahead_of_what_can_still_be_written(rig: Rig) -> None:
    assert rig.look().observed_through_ms == T0 + 1_000
    rig.backend.start(A, None)
    assert rig.spawned == [(A.name, T0 + 1_000)]
    assert rig.look().observed_through_ms == T0 + 1_000  # it lives and has not said a word
    rig.write(A.name, LineKind.BEGIN, pid=1)
    rig.look()
    rig.write(A.name, LineKind.BEAT)
    assert rig.look().observed_through_ms == T0 + 3_000
    rig.restart()
    assert rig.look().observed_through_ms == T0 + 3_000
    rig.write(A.name, LineKind.EXIT, rank=0, code=0)
    rig.write(A.name, LineKind.GONE, code=0)
    rig.die(A.name)
    assert rig.look().observed_through_ms == T0 + 6_000


def test_a_clock_set_back_takes_nothing_back(rig: Rig) -> None:
    assert rig.look(100).observed_through_ms == T0 + 100_000
    rig.now_ms = T0
    rig.restart()
    assert rig.look().observed_through_ms == T0 + 100_000
    rig.backend.start(A, None)
    rig.write(A.name, LineKind.BEGIN, pid=1)
    rig.backend.start(assignment("bbbb", stop=EVICT), None)
    assert {at_ms for at_ms, *_ in rig.told().values()} == {100_000}


def test_a_live_attempt_is_stopped_before_it_is_forgotten(rig: Rig) -> None:
    rig.backend.start(A, None)
    rig.backend.forget(A.name)
    rig.write(A.name, LineKind.BEGIN, pid=1)
    assert rig.look().attempts == {A.name}
    assert layout.read_json(rig.data / "attempts" / A.name / "stop.json") == {
        "reason": "lost",
        "at_ms": T0,
        "grace_ms": 0,
    }
    rig.die(A.name)
    rig.backend.forget(A.name)
    assert rig.look().attempts == {A.name}
    rig.backend.forget(A.name)
    assert rig.look().attempts == frozenset()


def test_real_devices_are_given_to_one_attempt_at_a_time(rig: Rig) -> None:
    rig.nvml, rig.specs = Nvml(FakeModule()), ["h100-80g=2"]
    rig.restart()
    one = [assignment(job, ranks=(Rank(0, "h100-80g-0", 1),)) for job in ("aaaa", "bbbb", "cccc")]
    rig.backend.start(one[0], None)
    rig.restart()
    rig.backend.start(one[1], None)
    given = [Folder(rig.data / "attempts" / item.name).read_spec() for item in one[:2]]
    assert [spec and spec.devices for spec in given] == [(("GPU-0",),), (("GPU-1",),)]
    with pytest.raises(Retry, match="not free"):
        rig.backend.start(one[2], None)
    rig.write(A.name, LineKind.BEGIN, pid=1)
    rig.write(A.name, LineKind.GONE, code=0)
    rig.backend.start(one[2], None)
    spec = Folder(rig.data / "attempts" / one[2].name).read_spec()
    assert spec is not None
    assert spec.devices == (("GPU-0",),)


def test_a_silent_supervisor_is_killed_but_not_after_a_nap_of_the_machine(rig: Rig) -> None:
    rig.backend.start(A, None)
    rig.write(A.name, LineKind.BEGIN, pid=1)
    folder = str(rig.data / "attempts" / A.name)
    silent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", launch.SUPERVISOR_MODULE, folder])
    try:
        rig.look()
        rig.look(3_600)
        rig.write(A.name, LineKind.BEAT)
        for _ in range(40):
            rig.look()
        assert silent.poll() is None
        rig.look(300)
        assert silent.wait(10) == -9
    finally:
        silent.kill()
        silent.wait(10)


def test_one_operator_a_data_folder(rig: Rig) -> None:
    with pytest.raises(Fatal, match="in use"):
        rig.open()


HOSTILE: dict[str, Assignment] = {
    "a job's name": assignment("../x"),
    "an organisation's name": assignment(org="../x"),
    "a checkpoint key": assignment(checkpoint_key="a/b"),
}


@pytest.mark.parametrize("item", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_name_leaves_the_data_folder(rig: Rig, item: Assignment) -> None:
    with pytest.raises(Fatal):
        rig.backend.start(item, None)
    assert list((rig.data / "attempts").iterdir()) == []


def test_other_files_are_no_attempts(rig: Rig) -> None:
    for name in ("notes.txt", ".slot-0", "d-aaaa-a0", "D-aaaa-a1"):
        (rig.data / "attempts" / name).mkdir()
    (rig.data / "attempts" / A.name).mkdir()
    assert rig.look().attempts == frozenset()
