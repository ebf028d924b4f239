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


def test_the_clock_never_goes_backwards(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", floor_ms=50, clock=ticking(40, 60, 55, 70))
    assert [recorder.append(LineKind.BEAT) for _ in range(4)] == [50, 60, 60, 70]
    assert read(tmp_path / "r").last_at_ms == 70


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
    recorder = Recorder(tmp_path / "r", clock=ticking(10, 20, 30, 40, 50))
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
