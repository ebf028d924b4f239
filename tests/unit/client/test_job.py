"""The in-job helper."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scheduler.client import job
from tests.support.source import ROOT


def test_outside_a_job_it_is_a_gang_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (job.in_job(), job.job_id(), job.attempt(), job.rank(), job.num_nodes()) == (False, "", 1, 0, 1)
    assert job.gpus_per_node() == 1
    assert job.checkpoint_dir() == Path("checkpoints")
    assert (tmp_path / "checkpoints").is_dir()


def test_inside_a_job_it_reads_what_dure_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"JOB": "7f3kq2ab", "ATTEMPT": "2", "NODE_RANK": "3", "NUM_NODES": "4", "GPUS_PER_NODE": "8"}
    for name, value in {**values, "CHECKPOINT_DIR": str(tmp_path / "ck")}.items():
        monkeypatch.setenv(f"DURE_{name}", value)
    assert (job.in_job(), job.job_id(), job.attempt(), job.rank(), job.num_nodes()) == (True, "7f3kq2ab", 2, 3, 4)
    assert job.gpus_per_node() == 8
    assert job.checkpoint_dir() == tmp_path / "ck"


@pytest.mark.parametrize("text", ["x", "-1", "1.0", "١"])
def test_a_damaged_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DURE_NODE_RANK", text)
    with pytest.raises(ValueError, match="DURE_NODE_RANK"):
        job.rank()


def test_saving_replaces_the_whole_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "state"
    job.save_atomically(path, b"old")
    job.save_atomically(str(path), b"new and longer")
    assert path.read_bytes() == b"new and longer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_save_keeps_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    job.save_atomically(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        job.save_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_old_or_new_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "state"
    code = """
        import sys
        from scheduler.client import job
        number = 0
        while True:
            number = (number + 1) % 200
            job.save_atomically(sys.argv[1], bytes([number]) * 200_000)
            print(number, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    for _ in range(3):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(10):
                writer.stdout.readline()
            writer.kill()
        content = path.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1


def test_a_notice_is_given_once_and_the_script_goes_on() -> None:
    code = """
        import os, signal
        from scheduler.client import job
        calls = []
        signal.signal(signal.SIGTERM, lambda *_: calls.append("before"))
        notice = job.on_notice(lambda: calls.append("saved"))
        assert not notice
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert notice
        print(calls)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "['saved', 'before']"


def test_a_callback_may_leave() -> None:
    code = """
        import os, signal
        from scheduler.client import job
        def leave():
            raise SystemExit(7)
        job.on_notice(leave)
        os.kill(os.getpid(), signal.SIGTERM)
        print("not reached")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (7, "")


def test_the_handler_of_this_process_is_untouched_by_import() -> None:
    assert signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, signal.default_int_handler)
