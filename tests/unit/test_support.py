"""The tests' own tools: seeds that repeat, golden files, and servers that start and go away."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support import golden, programs, seeds
from tests.support.source import ROOT


def test_the_seed_is_the_tests_own(seed: int, rng: random.Random) -> None:
    assert rng.random() == random.Random(seed).random()


def test_the_seed_can_be_given(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv(seeds.SEED_ENV, "42")
    assert request.getfixturevalue("seed") == 42


def test_a_failure_prints_its_seed(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text("def test_it(seed):\n    assert seed == 0\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.seeds", "--rootdir", str(tmp_path), str(test)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "repeat with: DURE_TEST_SEED=" in done.stdout


def test_a_golden_file_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(golden.UPDATE_ENV, raising=False)
    path = tmp_path / "x.txt"
    with pytest.raises(AssertionError, match="run with DURE_UPDATE_GOLDEN=1"):
        golden.assert_golden(path, "a\n")
    monkeypatch.setenv(golden.UPDATE_ENV, "1")
    golden.assert_golden(path, "a\n")
    monkeypatch.delenv(golden.UPDATE_ENV)
    golden.assert_golden(path, "a\n")
    with pytest.raises(AssertionError, match="-a"):
        golden.assert_golden(path, "b\n")


def test_a_server_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(["sh", "-c", "echo port is taken; exit 7"], stdout=out, stderr=out)
    with pytest.raises(RuntimeError, match=r"ended with 7(.|\n)*port is taken"):
        programs.wait_until(lambda: False, process, log, 10)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    process = subprocess.Popen(["sleep", "60"])
    with pytest.raises(RuntimeError, match="not ready after"):
        programs.wait_until(lambda: False, process, tmp_path / "log", 0.1)
    programs.stop(process)
    assert process.returncode == -signal.SIGTERM


def test_a_server_dies_with_its_parent() -> None:
    code = (
        "import subprocess, sys; from tests.support import programs;"
        "print(subprocess.Popen(programs.die_with_parent(['sleep', '60'])).pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        deadline = time.monotonic() + 10
        while child.name() != "sleep" and time.monotonic() < deadline:
            time.sleep(0.01)  # the wrapper has not yet set the signal and become the program
        parent.kill()
    if shutil.which("setpriv") is None:
        child.kill()  # without the wrapper the kernel does not do it
    gone, _ = psutil.wait_procs([child], timeout=10)
    assert gone == [child]
