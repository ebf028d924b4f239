"""Real Ray clusters under real supervisors: what a job sees, what it leaves, and who outlives whom."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operators.local import layout, processes
from operators.local.layout import Folder
from operators.local.recorder import wall_ms
from operators.ports import Assignment
from tests.local.rig import LocalRig, assignment, package
from tests.support.processes import command_of, kill_attempt, left_of, signal_supervisor, wait_for
from tests.support.source import ROOT

pytestmark = pytest.mark.ray

TRAINER = (ROOT / "examples" / "train_digits.py").read_bytes()
LOOK = """
import json, os, ray
ray.init(address="auto", log_to_driver=False, logging_level="error")
nodes = sorted(int(node["Resources"]["GPU"]) for node in ray.nodes() if node["Alive"])
seen = {"gpus": ray.cluster_resources()["GPU"], "nodes": nodes, "address": os.environ["RAY_ADDRESS"]}
print("SEEN", json.dumps(seen))
"""
HOLD = LOOK + "import time\nprint('holding', flush=True)\ntime.sleep(300)\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LocalRig]:
    made = LocalRig(tmp_path / "data")
    yield made
    made.close()


def python(job: str, program: str, gpus: tuple[int, ...] = (1,), **changes: object) -> tuple[Assignment, bytes]:
    """An attempt that runs a Python program on every rank."""
    content, sha256 = package({"main.py": program.encode()})
    return assignment(job, "exec python main.py", gpus, package_sha256=sha256, **changes), content


def training(job: str, options: str, gpus: tuple[int, ...], **changes: object) -> tuple[Assignment, bytes]:
    """The example as a Ray driver."""
    content, sha256 = package({"train_digits.py": TRAINER})
    run = f"exec python train_digits.py {options}"
    env = (("OMP_NUM_THREADS", "1"),)
    return assignment(job, run, gpus, package_sha256=sha256, entrypoint="ray", env=env, **changes), content


def said(rig: LocalRig, name: str, word: str, rank: int = 0) -> dict[str, Any]:
    """The JSON object on the line that begins with a word."""
    found = re.search(rf"^{word} (.*)$", rig.output(name, rank), re.MULTILINE)
    assert found, rig.output(name, rank)
    value: dict[str, Any] = json.loads(found[1])
    return value


def test_a_gang_trains_on_exactly_its_gpus(rig: LocalRig) -> None:
    item, content = training("train", "--epochs 4", (2, 1))
    folder = rig.start(item, content)
    found = rig.until_gone(item.name)
    assert {key: value.exit_code for key, value in found.items() if key.startswith(("rank-ended", "gone"))} == {
        "rank-ended/0": 0,
        "rank-ended/1": 0,
        "gone": 0,
    }, rig.output(item.name)
    assert "actors=3 ray_nodes=2" in rig.output(item.name)
    result = said(rig, item.name, "RESULT")
    assert (result["gpus"], result["epochs"], result["resumed_at_step"]) == (3, 4, 0)
    assert result["accuracy"] >= 0.93
    losses = [float(loss) for loss in re.findall(r"epoch=\d loss=(\S+)", rig.output(item.name))]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert not layout.ray_dir_for(Folder(folder)).exists()
    assert [line.name for line in Path(os.environ["HOME"]).iterdir()] == []


def test_an_evicted_training_saves_and_the_next_attempt_goes_on(rig: LocalRig) -> None:
    first, content = training("evict", "--epochs 40 --min-seconds 120", (1,), grace_ms=20_000)
    rig.start(first, content)
    rig.until_printed(first.name, "epoch=1 ")
    rig.stop(first, 20_000)
    found = rig.until_gone(first.name)
    assert (found["notice"].reason, found["rank-ended/0"].exit_code) == ("evict", 143)
    assert found["rank-ended/0"].at_ms - found["notice"].at_ms < 10_000
    saved = re.search(r"stopped step=(\d+), checkpoint saved", rig.output(first.name))
    assert saved
    again, content = training("evict", f"--epochs {int(saved[1]) // 10 + 2}", (1,), attempt=2)
    rig.start(again, content)
    assert rig.until_gone(again.name)["gone"].exit_code == 0, rig.output(again.name)
    assert said(rig, again.name, "RESULT")["resumed_at_step"] == int(saved[1]) >= 10


def test_two_attempts_see_nothing_of_each_other_and_a_kill_leaves_nothing(rig: LocalRig) -> None:
    gang, content = python("gang", HOLD, (2, 1))
    rig.start(gang, content)
    one, content = python("one", HOLD, (1,))
    rig.start(one, content)
    for item, rank in ((one, 0), (gang, 0), (gang, 1)):
        rig.until_printed(item.name, "holding", rank)
    seen = {item.job: said(rig, item.name, "SEEN") for item in (gang, one)}
    assert [(seen[job]["gpus"], seen[job]["nodes"]) for job in ("gang", "one")] == [(3.0, [1, 2]), (1.0, [1])]
    assert seen["gang"]["address"] != seen["one"]["address"]
    folders = [rig.data / "attempts" / item.name for item in (gang, one)]
    assert [len(token) for token in {token_of(folder) for folder in folders}] == [64, 64]
    assert sum("raylet" in command.split(" ")[0] for command in left_of(folders[0]).values()) == 2

    everything = living(folders[0])
    signal_supervisor(folders[0], signal.SIGKILL)
    lost_with(rig, gang.name, everything)
    assert processes.process(rig.record(one.name).starts[0].pid) is not None
    assert len(left_of(folders[1])) > 3

    everything = living(folders[1])
    kill_attempt(folders[1])
    lost_with(rig, one.name, everything)


def living(folder: Path) -> dict[int, processes.Process | None]:
    """The attempt's processes as they are."""
    return {pid: processes.process(pid) for pid in left_of(folder)}


def lost_with(rig: LocalRig, name: str, everything: dict[int, processes.Process | None]) -> None:
    """The attempt is lost, ends with its last beat, and none of these processes lives."""
    killed_ms = wall_ms()
    found = rig.until_gone(name)
    ends = [item for key, item in found.items() if key.startswith("rank-ended")]
    assert {item.evidence for item in (*ends, found["gone"])} == {"lost"}
    assert {item.at_ms for item in ends} == {rig.record(name).last_at_ms}
    assert killed_ms - 5_000 < ends[0].at_ms <= killed_ms
    for pid, before in everything.items():
        now = processes.process(pid)
        assert now is None or now.is_zombie or before is None or now.start_ticks != before.start_ticks, command_of(pid)
    assert not layout.ray_dir_for(Folder(rig.data / "attempts" / name)).exists()


def token_of(folder: Path) -> str:
    """The Ray token in the environment of an attempt's rank."""
    for pid, command in left_of(folder).items():
        if command.endswith("python main.py"):
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            return next(entry for entry in environ if entry.startswith(b"RAY_AUTH_TOKEN=")).decode().partition("=")[2]
    raise AssertionError(f"no rank of {folder.name} runs")


def test_a_rank_that_has_ended_gives_its_node_back(rig: LocalRig) -> None:
    program = """
import os, ray, time
if os.environ["DURE_NODE_RANK"] == "1":
    raise SystemExit(0)
ray.init(address="auto", log_to_driver=False, logging_level="error")
while sum(node["Alive"] for node in ray.nodes()) > 1:
    time.sleep(0.2)
print("alone with", ray.cluster_resources()["GPU"], flush=True)
"""
    item, content = python("short", program, (1, 1))
    rig.start(item, content)
    found = rig.until_gone(item.name)
    assert found["gone"].exit_code == 0, rig.output(item.name)
    assert "alone with 1.0\n" in rig.output(item.name)
    assert found["rank-ended/1"].at_ms < found["rank-ended/0"].at_ms


def test_a_dead_cluster_ends_its_attempt(rig: LocalRig) -> None:
    item, content = python("gcs", HOLD)
    folder = rig.start(item, content)
    rig.until_printed(item.name, "holding")
    (server,) = (pid for pid, command in left_of(folder).items() if "gcs_server" in command.split(" ")[0])
    os.kill(server, signal.SIGKILL)
    wait_for("notice", lambda: rig.record(item.name).notice)
    found = rig.until_gone(item.name)
    assert (found["notice"].reason, found["gone"].exit_code != 0) == ("fail", True)
