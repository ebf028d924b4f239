"""The recorder: a clock that never goes backwards, lines that are whole or not there, a full disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from operators.local.recorder import Recorder, wall_ms
from operators.local.records import LineKind, Record, fold, parse


def read(path: Path) -> Record:
    return fold(Record(), parse(path.read_bytes())[0])


def ticking(*instants: int) -> Callable[[], int]:
    """A clock that shows these instants, one a look."""
    left = list(instants)
    return lambda: left.pop(0)


@pytest.mark.parametrize(("floor_ms", "base_ms"), [(0, 1_000), (5_000, 5_000)], ids=["the clock", "the floor"])
def test_a_clock_that_is_set_changes_no_duration(tmp_path: Path, floor_ms: int, base_ms: int) -> None:
    """Set on by an hour, then back by a day: the wall clock is read once, at the first line."""
    wall = ticking(1_000, 3_601_000, -82_800_000, 1_400)
    recorder = Recorder(tmp_path / "r", floor_ms, wall, elapsed=ticking(70_000, 70_100, 70_200, 70_400))
    assert [recorder.append(LineKind.BEAT) - base_ms for _ in range(3)] == [100, 200, 400]
    assert read(tmp_path / "r").last_at_ms == base_ms + 400


def test_a_beat_without_room_touches_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r"
    recorder = Recorder(path)
    recorder.append(LineKind.BEGIN)

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(os, "ftruncate", lambda *_arguments: None)  # it may touch the file, too
        for _ in range(3):
            os.utime(path, (1, 1))
            recorder.append(LineKind.BEAT)
            assert path.stat().st_mtime > 1
    assert read(path).last_seq == 1


def test_the_wall_clock_is_in_milliseconds() -> None:
    assert 1_700_000_000_000 < wall_ms() < 9_000_000_000_000


@pytest.mark.parametrize(("before", "is_empty"), [(b"", True), (b'{"seq":1,"ki', True), (b'{"seq":1}\n', False)])
def test_only_a_record_without_a_line_is_empty(tmp_path: Path, before: bytes, is_empty: bool) -> None:
    path = tmp_path / "r"
    path.write_bytes(before)
    recorder = Recorder(path)
    assert recorder.is_empty is is_empty
    recorder.append(LineKind.READY)
    assert path.read_bytes().startswith(b'{"seq":1')
    assert path.read_bytes().count(b"\n") == (1 if is_empty else 2)


def test_lines_wait_for_room_with_their_own_instants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path / "r", clock=ticking(0), elapsed=ticking(0, 10, 20, 30, 40, 50))
    recorder.append(LineKind.BEGIN)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))  # the disk has room for seven bytes
        recorder.append(LineKind.START, rank=0)
        recorder.append(LineKind.BEAT)
        recorder.append(LineKind.EXIT, rank=0, code=3)
        assert recorder.behind
        assert (tmp_path / "r").read_bytes().count(b"\n") == 1
    recorder.append(LineKind.BEAT)
    found = read(tmp_path / "r")
    assert [(line.rank, line.at_ms) for line in (*found.starts, *found.exits)] == [(0, 20), (0, 40)]
    assert recorder.flush()
