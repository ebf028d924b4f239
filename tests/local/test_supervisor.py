"""The supervisor with real processes and a stub in place of Ray: every way in which an attempt can end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from operators.local import launch
from scheduler.core.lifecycle import StopReason
from tests.local.rig import LocalRig, assignment, package
from tests.support.processes import command_of, kill_attempt, left_of, signal_supervisor, supervisor_of, wait_for
from tests.support.source import ROOT

TRAP = "trap 'echo saved; exit 143' TERM; echo ready; while true; do sleep 0.05; done"
DEAF = "trap '' TERM; echo ready; while true; do sleep 0.05; done"
# A shell without the trap above a program with it: the program's grace must not end with the shell.
INNER = f'bash -c "{TRAP}"; true'


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRig]:
    monkeypatch.setattr(launch, "SUPERVISOR_MODULE", "tests.local.stub_supervisor")
    made = LocalRig(tmp_path / "data")
    yield made
    made.close()


def test_a_gang_from_setup_to_gone(rig: LocalRig) -> None:
    content, sha256 = package({"hello.txt": b"from the package"})
    run = "cat hello.txt made.txt; echo rank=$DURE_NODE_RANK of $DURE_NUM_NODES"
    setup = "echo 'setup was here' > made.txt; echo in setup"
    gang = assignment("gang", run, (2, 1), setup=setup, package_sha256=sha256)
    rig.start(gang, content)
    found = rig.until_gone(gang.name)
    assert list(found) == ["starting", "rank-started/0", "rank-started/1", *sorted(set(found) & ENDS), "gone"]
    assert {key: item.exit_code for key, item in found.items() if item.exit_code is not None} == {
        "rank-ended/0": 0,
        "rank-ended/1": 0,
        "gone": 0,
    }
    instants = [item.at_ms for item in found.values()]
    assert instants == sorted(instants)
    for rank in (0, 1):
        assert rig.output(gang.name, rank) == f"in setup\nfrom the packagesetup was here\nrank={rank} of 2\n"
    record = rig.record(gang.name)
    assert record.ready is not None
    assert [line.rank for line in record.starts] == [0, 1]


STANDARD_SIGNALS = (1 << 31) - 1


def test_a_rank_ignores_no_signal(rig: LocalRig) -> None:
    item = assignment("heard", "grep SigIgn /proc/self/status")
    rig.start(item)
    rig.until_gone(item.name)
    ignored = int(rig.output(item.name).removeprefix("SigIgn:"), 16)
    assert ignored & STANDARD_SIGNALS == 0


ENDS = {"rank-ended/0", "rank-ended/1"}
STOPS = {
    "in its grace": (TRAP, 10_000, 143, True),
    "a program under a shell keeps its grace": (INNER, 10_000, 143, True),
    "deaf": (DEAF, 300, 137, False),
    "no grace at all": (DEAF, 0, 137, False),
    "ends well in its grace": ("trap 'exit 0' TERM; echo ready; while true; do sleep 0.05; done", 10_000, 0, False),
}


@pytest.mark.parametrize(("run", "grace_ms", "code", "saves"), STOPS.values(), ids=STOPS.keys())
def test_a_stop(rig: LocalRig, run: str, grace_ms: int, code: int, saves: bool) -> None:
    item = assignment("stop", run)
    rig.start(item)
    rig.until_printed(item.name, "ready")
    rig.stop(item, grace_ms)
    rig.stop(item, 0, StopReason.CANCEL)
    found = rig.until_gone(item.name)
    assert (found["notice"].reason, found["rank-ended/0"].exit_code, found["gone"].exit_code) == ("evict", code, code)
    assert found["rank-ended/0"].at_ms - found["notice"].at_ms < max(2_000, grace_ms)
    assert ("saved" in rig.output(item.name)) is saves


def test_a_stop_before_the_start(rig: LocalRig) -> None:
    item = assignment("early", "echo never", env=(("STUB_RAY", "hang"),), setup="sleep 60")
    rig.start(item)
    wait_for("begun", lambda: rig.record(item.name).begin)
    rig.stop(item, 1_000, StopReason.CANCEL)
    found = rig.until_gone(item.name)
    assert list(found) == ["starting", "notice", "gone"]
    assert (found["gone"].exit_code, rig.output(item.name)) == (143, "")


def test_the_time_limit_holds_without_an_operator(rig: LocalRig) -> None:
    item = assignment("limit", TRAP, time_limit_ms=1_000)
    rig.start(item)
    wait_for("gone", lambda: rig.record(item.name).gone)
    found = rig.until_gone(item.name)
    assert (found["notice"].reason, found["gone"].exit_code) == ("timeout", 143)
    assert 900 <= found["notice"].at_ms - found["rank-started/0"].at_ms < 3_000


def test_a_failing_rank_ends_its_gang(rig: LocalRig) -> None:
    run = f"if [ $DURE_NODE_RANK = 1 ]; then sleep 0.5; exit 3; fi; {TRAP}"
    item = assignment("fails", run, gpus=(1, 1, 1))
    rig.start(item)
    found = rig.until_gone(item.name)
    assert found["notice"].reason == "fail"
    assert [found[f"rank-ended/{rank}"].exit_code for rank in (0, 1, 2)] == [143, 3, 143]
    assert found["gone"].exit_code == 3
    assert "saved" in rig.output(item.name, 2)


def test_a_hold_after_a_failure_keeps_everything_and_then_ends_by_itself(rig: LocalRig) -> None:
    run = f"if [ $DURE_NODE_RANK = 1 ]; then sleep 0.5; exit 3; fi; {TRAP}"
    item = assignment("held", run, gpus=(1, 1), hold_on_failure_ms=2_000)
    folder = rig.start(item)
    wait_for("held", lambda: rig.record(item.name).hold)
    rig.restart()
    seen = rig.observed(item.name)
    assert (seen["held/1"].exit_code, rig.record(item.name).exits) == (3, ())
    assert (folder / "work" / "1").is_dir()
    assert sorted((sample.rank, sample.running) for sample in rig.look().samples) == [(0, True), (1, True)]
    found = rig.until_gone(item.name)
    assert (found["notice"].reason, found["gone"].exit_code) == ("fail", 3)
    assert [found[f"rank-ended/{rank}"].exit_code for rank in (0, 1)] == [143, 3]
    assert 1_900 <= found["rank-ended/1"].at_ms - found["held/1"].at_ms < 5_000


@pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.EVICT, StopReason.FAIL])
def test_a_hold_ends_at_once_when_it_is_told_to(rig: LocalRig, reason: StopReason) -> None:
    item = assignment("keeps", "exit 3", hold_on_failure_ms=60_000)
    rig.start(item)
    wait_for("held", lambda: rig.record(item.name).hold)
    rig.stop(item, 5_000, reason)
    found = rig.until_gone(item.name)
    assert (found["rank-ended/0"].exit_code, found["gone"].exit_code) == (3, 3)
    assert found["gone"].at_ms - found["held/0"].at_ms < 30_000


def test_a_hold_outlives_neither_the_time_limit_nor_its_supervisor(rig: LocalRig) -> None:
    limited = assignment("limited", "exit 3", time_limit_ms=1_500, hold_on_failure_ms=60_000)
    killed = assignment("slain", "exit 4", hold_on_failure_ms=60_000)
    rig.start(limited)
    folder = rig.start(killed)
    wait_for("held", lambda: rig.record(killed.name).hold)
    signal_supervisor(folder, signal.SIGKILL)
    found = rig.until_gone(limited.name)
    assert 1_400 <= found["rank-ended/0"].at_ms - found["rank-started/0"].at_ms < 5_000
    found = rig.until_gone(killed.name)
    assert [(found[key].exit_code, found[key].evidence) for key in ("rank-ended/0", "gone")] == [
        (4, "lost"),
        (4, "observed"),
    ]


def test_a_driver_that_fails_is_held_with_its_gang(rig: LocalRig) -> None:
    item = assignment("drive", "exit 4", gpus=(1, 1), entrypoint="ray", hold_on_failure_ms=500)
    rig.start(item)
    found = rig.until_gone(item.name)
    assert [found[f"rank-ended/{rank}"].exit_code for rank in (0, 1)] == [4, 0]
    assert found["rank-ended/1"].at_ms - found["held/0"].at_ms >= 400


FAILURES = {
    "setup": ({"setup": "echo trying; exit 9"}, "setup of rank 0 ended with exit status 9", 9),
    "Ray": ({"env": (("STUB_RAY", "fail"),)}, "no luck today", 1),
}


@pytest.mark.parametrize(("changes", "message", "code"), FAILURES.values(), ids=FAILURES.keys())
def test_what_cannot_be_started(rig: LocalRig, changes: dict[str, object], message: str, code: int) -> None:
    item = assignment("broken", "echo never", gpus=(1, 1), **changes)
    rig.start(item)
    found = rig.until_gone(item.name)
    assert list(found) == ["starting", "failed", "gone"]
    assert message in found["failed"].message
    assert found["gone"].exit_code == code
    assert "never" not in rig.output(item.name)


def test_a_cluster_that_dies_ends_the_attempt(rig: LocalRig) -> None:
    item = assignment("headless", TRAP, env=(("STUB_RAY", "die"),))
    rig.start(item)
    found = rig.until_gone(item.name)
    assert (found["notice"].reason, found["gone"].exit_code) == ("fail", 143)


def test_a_ray_driver_runs_once_and_its_gang_lives_as_long(rig: LocalRig) -> None:
    item = assignment("driver", "echo driver $DURE_NODE_RANK; exit 4", gpus=(1, 1), entrypoint="ray")
    rig.start(item)
    found = rig.until_gone(item.name)
    assert [found[f"rank-ended/{rank}"].exit_code for rank in (0, 1)] == [4, 0]
    assert (rig.output(item.name, 0), rig.output(item.name, 1)) == ("driver 0\n", "")


def test_nothing_that_hides_outlives_the_attempt(rig: LocalRig) -> None:
    script = "import os, sys, time\nif os.fork(): os._exit(0)\nos.setsid()\nprint('hidden', flush=True)\ntime.sleep(60)"
    hide = f'env -i "{sys.executable}" -c "{script}" > /dev/null 2>&1; sleep 0.2'
    item = assignment("hides", f'{hide}; ps -eo args | grep -c "[h]idden" > seen')
    folder = rig.start(item)
    rig.until_gone(item.name)
    assert int((folder / "work" / "0" / "seen").read_text()) > 0
    commands = [command_of(int(name)) for name in os.listdir("/proc") if name.isdigit()]
    assert not [command for command in commands if "print('hidden'" in command]


def test_a_killed_supervisor_is_a_lost_attempt_with_its_last_beat(rig: LocalRig) -> None:
    item, other = assignment("lost", TRAP, gpus=(1, 1)), assignment("other", TRAP)
    folder, other_folder = rig.start(item), rig.start(other)
    for name in (item.name, other.name):
        rig.until_printed(name, "ready")
    wait_for("a beat after the start", lambda: rig.record(item.name).last_seq > 5)
    signal_supervisor(folder, signal.SIGKILL)
    wait_for("dead", lambda: not supervisor_of(folder))
    assert len(left_of(folder)) >= 2
    last_ms = rig.record(item.name).last_at_ms
    found = rig.until_gone(item.name)
    assert [(found[key].at_ms, found[key].evidence, found[key].exit_code) for key in sorted(ENDS)] == [
        (last_ms, "lost", None)
    ] * 2
    assert (found["gone"].evidence, found["gone"].at_ms >= last_ms) == ("lost", True)
    assert supervisor_of(other_folder)
    assert "gone" not in rig.observed(other.name)
    rig.restart()
    assert rig.observed(item.name) == found
    rig.stop(other)
    rig.until_gone(other.name)


OPERATOR = """
import sys, time
from pathlib import Path
from operators.local import launch
from tests.local.rig import LocalRig, assignment
launch.SUPERVISOR_MODULE = "tests.local.stub_supervisor"
rig = LocalRig(Path(sys.argv[1]))
item = assignment("orphan", "echo begun; sleep 2; echo finished")
rig.start(item)
rig.until_printed(item.name, "begun")
print("begun", flush=True)
time.sleep(300)
"""


def test_a_job_outlives_its_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The supervisor is known by its module, and one that has said its last word may live for a moment longer.
    monkeypatch.setattr(launch, "SUPERVISOR_MODULE", "tests.local.stub_supervisor")
    command = [sys.executable, "-c", OPERATOR, str(tmp_path / "data")]
    operator = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert operator.stdout is not None
        assert operator.stdout.readline() == "begun\n"
    finally:
        operator.kill()
        operator.communicate()
    rig = LocalRig(tmp_path / "data")
    try:
        rig.started.add("d-orphan-a1")
        assert rig.record("d-orphan-a1").exits == ()
        found = rig.until_gone("d-orphan-a1")
        assert (found["gone"].exit_code, found["gone"].evidence) == (0, "observed")
        assert rig.output("d-orphan-a1") == "begun\nfinished\n"
    finally:
        rig.close()


def test_an_attempt_whose_folder_is_deleted_is_killed_and_lost(rig: LocalRig) -> None:
    item = assignment("erased", TRAP)
    folder = rig.start(item)
    rig.until_printed(item.name, "ready")
    shutil.rmtree(folder)
    assert supervisor_of(folder)
    rig.start(replace(item, begun=True))
    assert (supervisor_of(folder), left_of(folder)) == (None, {})
    found = rig.until_gone(item.name)
    assert {key: seen.evidence for key, seen in found.items()} == {"gone": "lost"}


def test_everything_killed_at_once(rig: LocalRig) -> None:
    item = assignment("blown", TRAP)
    folder = rig.start(item)
    rig.until_printed(item.name, "ready")
    kill_attempt(folder)
    found = rig.until_gone(item.name)
    assert (found["rank-ended/0"].evidence, found["gone"].evidence) == ("lost", "lost")
    rig.start(item)
    assert not supervisor_of(folder)


def test_a_supervisor_told_to_go_gives_notice(rig: LocalRig) -> None:
    item = assignment("shut", TRAP)
    folder = rig.start(item)
    rig.until_printed(item.name, "ready")
    signal_supervisor(folder, signal.SIGTERM)
    found = rig.until_gone(item.name)
    assert (found["notice"].reason, found["rank-ended/0"].exit_code) == ("lost", 143)
    assert "saved" in rig.output(item.name)


def test_a_second_supervisor_goes_quietly(rig: LocalRig) -> None:
    item = assignment("twice", TRAP)
    folder = rig.start(item)
    rig.until_printed(item.name, "ready")
    command = [sys.executable, "-m", "operators.local.supervisor", str(folder)]
    during = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)
    rig.stop(item)
    rig.until_gone(item.name)
    before = (folder / "record.jsonl").read_bytes()
    after = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert [(done.returncode, done.stdout, done.stderr) for done in (during, after)] == [(0, b"", b"")] * 2
    assert (folder / "record.jsonl").read_bytes() == before


def test_a_supervisor_without_a_spec_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "operators.local.supervisor", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"spec.json is missing" in done.stderr
