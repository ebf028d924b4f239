"""Processes: who belongs to an attempt, and that nobody else is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from operators.local import processes
from operators.local.processes import Mark, Process, Session
from tests.support.processes import wait_for

Spawn = Callable[..., subprocess.Popen[bytes]]
SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts processes that sleep, and ends them after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str] = SLEEP, **options: object) -> subprocess.Popen[bytes]:
        options.setdefault("stdout", subprocess.DEVNULL)
        started.append(subprocess.Popen(command, **options))  # type: ignore[call-overload]  # options are the test's
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def found(pid: int) -> Process:
    """A process that must exist."""
    process = processes.process(pid)
    assert process is not None
    return process


def test_the_own_process() -> None:
    own = found(os.getpid())
    assert (own.ppid, own.session, own.is_zombie) == (os.getppid(), os.getsid(0), False)
    assert processes.process(2**22 + 1) is None


def test_descendants() -> None:
    table = {pid: Process(pid, ppid, 0, "S", 0) for pid, ppid in {1: 0, 2: 1, 3: 2, 4: 2, 5: 1, 6: 4}.items()}
    assert processes.descendants([2], table) == {3, 4, 6}
    assert processes.descendants([1, 2], table) == {3, 4, 5, 6}
    assert processes.descendants([6], table) == set()


MARKS: dict[str, tuple[str, bool]] = {
    "the very entry": ("/data/a1", True),
    "a longer value": ("/data/a1x", False),
    "a shorter value": ("/data/a", False),
}


@pytest.mark.parametrize(("value", "belongs"), MARKS.values(), ids=MARKS.keys())
def test_the_environments_mark(spawn: Spawn, value: str, belongs: bool) -> None:
    process = spawn(env={"DURE_TEST_MARK": value})
    mark = Mark("DURE_TEST_MARK", "/data/a1", ())
    wait_for("its own program", lambda: b"DURE_TEST_MARK" in Path(f"/proc/{process.pid}/environ").read_bytes())
    assert (process.pid in processes.belonging(mark)) is belongs


def test_an_output_in_the_folder_is_a_mark(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "x").open("wb") as out:
        inside = spawn(stdout=out)
        reader = spawn(["tail", "-f", str(tmp_path / "logs" / "x")])
    mark = Mark("DURE_TEST_MARK", "-", (str(tmp_path / "logs"),))
    assert set(processes.belonging(mark)) == {inside.pid}
    assert found(reader.pid).pid == reader.pid


def test_children_of_a_marked_process_belong(spawn: Spawn) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'], env={})"
    parent = spawn([sys.executable, "-c", script], env={"DURE_TEST_MARK": "family"})
    mark = Mark("DURE_TEST_MARK", "family", ())
    wait_for("the child", lambda: len(processes.belonging(mark)) == 2)
    assert processes.kill_belonging(mark)
    assert parent.wait(10) == -signal.SIGKILL
    assert processes.belonging(mark) == {}


def test_a_session_is_told_from_a_later_one(spawn: Spawn) -> None:
    leader = spawn(start_new_session=True)
    item = found(leader.pid)
    everything = {leader.pid: item}
    session = Session(leader.pid, item.start_ticks, item.start_ticks + 100)
    assert processes.in_session(item, session, everything)
    for other in (
        None,
        replace(session, number=1),
        replace(session, leader_ticks=item.start_ticks - 5),
        replace(session, leader_ticks=item.start_ticks + 5),
        replace(session, leader_ticks=item.start_ticks - 9, last_ticks=item.start_ticks - 1),
    ):
        assert not processes.in_session(item, other, everything)
    child = Process(7, leader.pid, leader.pid, "S", item.start_ticks + 50)
    assert processes.in_session(child, session, {})
    assert not processes.in_session(replace(child, start_ticks=item.start_ticks + 101), session, {})


def test_a_recycled_pid_is_not_signalled(spawn: Spawn) -> None:
    process = spawn()
    item = found(process.pid)
    assert not processes.send(replace(item, start_ticks=item.start_ticks + 1), signal.SIGKILL)
    assert process.poll() is None
    assert processes.send(item, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    assert not processes.send(item, signal.SIGKILL)


def test_commands(spawn: Spawn) -> None:
    process = spawn([*SLEEP, "some.module", "/some/folder"])
    assert [item.pid for item in processes.commanded("some.module", "/some/folder")] == [process.pid]
    assert processes.commanded("some.module", "/some/fold") == []


def test_the_boot_has_an_id() -> None:
    assert len(processes.boot_id()) == 36
