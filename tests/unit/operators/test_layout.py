"""Files of an attempt: whole or not at all, once where once is meant, under a lock that dies with its holder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from operators.local import layout
from operators.local.layout import Folder, Spec
from tests.support.assignments import assignment


def test_a_spec_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    spec = Spec(assignment(env=(("A", "값"),)), "local", "/data/k", "/r", (("GPU-a",),), 3, 5, 1)
    layout.write_atomic(folder.spec, spec)
    assert folder.read_spec() == spec
    assert (folder.spec.stat().st_mode & 0o777, [path.name for path in tmp_path.iterdir()]) == (0o600, ["spec.json"])


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"assignment": {}}'])
def test_an_unreadable_spec_is_none(tmp_path: Path, content: bytes) -> None:
    folder = Folder(tmp_path)
    assert folder.read_spec() is None
    folder.spec.write_bytes(content)
    assert folder.read_spec() is None


def test_of_many_at_once_exactly_one_makes_the_file(tmp_path: Path) -> None:
    # Each in a process of its own, as supervisor and operator are.
    script = "import sys; from pathlib import Path; from operators.local.layout import create_once\n"
    script += "print(create_once(Path(sys.argv[1]), {'by': sys.argv[2]}))"

    def attempt(number: int) -> str:
        command = [sys.executable, "-c", script, str(tmp_path / "stop.json"), str(number)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(attempt, range(4)))
    assert sorted(made) == ["False", "False", "False", "True"]
    assert layout.read_json(tmp_path / "stop.json") == {"by": str(made.index("True"))}
    assert [path.name for path in tmp_path.iterdir()] == ["stop.json"]


def test_a_lock_is_held_by_one_and_by_who_inherits_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not layout.is_locked(path)
    lock = layout.take_lock(path)
    assert lock is not None
    assert layout.is_locked(path)
    assert layout.take_lock(path) is None
    heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    os.close(lock)
    assert layout.is_locked(path)
    heir.kill()
    heir.communicate()
    assert not layout.is_locked(path)


def test_slots_are_as_many_as_said(tmp_path: Path) -> None:
    one, two = layout.take_slot(tmp_path, 2), layout.take_slot(tmp_path, 2)
    assert layout.take_slot(tmp_path, 2) is None
    assert one is not None
    assert two is not None
    os.close(one)
    again = layout.take_slot(tmp_path, 2)
    assert again is not None
    os.close(again)
    os.close(two)


def test_rays_folder_leaves_room_for_its_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "long" * 20)
    path = layout.ray_dir_for(Folder(tmp_path))
    assert len(str(path) + "/session_2026-11-22_21-18-37_123456_4194304/sockets/plasma_store.1") < 107
    assert path != layout.ray_dir_for(Folder(tmp_path / "other"))
