"""What a rank finds in its environment, and what it must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from operators.local.environment import of_rank
from operators.local.layout import Folder, Spec
from scheduler.core.model import Rank
from tests.support.assignments import assignment

GANG = (Rank(0, "x-0", 2), Rank(1, "x-1", 2))
MACHINE = {"PATH": "/usr/bin", "HOME": "/nowhere", "DURE_TOKEN": "secret", "DATABASE_URL": "secret", "LANG": "C.UTF-8"}
FOLDER = Folder(Path("/data/attempts/d-aaaa-a2"))


def spec(**changes: object) -> Spec:
    """A gang of two nodes."""
    return Spec(assignment("aaaa", 2, ranks=GANG, **changes), "local", "/data/checkpoints/k", "/r")


def test_a_rank_knows_its_place() -> None:
    env = of_rank(replace(spec(token="its-own"), api_url="http://127.0.0.1:1"), FOLDER, 1, MACHINE, Path("/venv/bin"))
    assert {name: value for name, value in env.items() if name.startswith("DURE_")} == {
        "DURE_NODE_RANK": "1",
        "DURE_NUM_NODES": "2",
        "DURE_GPUS_PER_NODE": "2",
        "DURE_JOB": "aaaa",
        "DURE_ATTEMPT": "2",
        "DURE_CHECKPOINT_DIR": "/data/checkpoints/k",
        "DURE_API_URL": "http://127.0.0.1:1",
        "DURE_ATTEMPT_TOKEN": "its-own",
        "DURE_ARTIFACTS": "/data/attempts/d-aaaa-a2/artifacts/1",
        "DURE_ATTEMPT_DIR": "/data/attempts/d-aaaa-a2",
    }
    assert env["PATH"] == "/venv/bin:/usr/bin"
    assert "CUDA_VISIBLE_DEVICES" not in env


def test_nothing_else_of_the_operators_environment_is_handed_on() -> None:
    env = of_rank(spec(), FOLDER, 0, MACHINE, Path("/venv/bin"))
    assert "secret" not in env.values()
    assert (env["HOME"], env["LANG"]) == ("/nowhere", "C.UTF-8")


def test_a_task_sets_what_it_likes_but_not_what_is_dures() -> None:
    given = (("LANG", "ko_KR.UTF-8"), ("DURE_JOB", "mine"), ("DURE_ATTEMPT_DIR", "/elsewhere"), ("PATH", "/opt/bin"))
    env = of_rank(spec(env=given), FOLDER, 0, MACHINE, Path("/venv/bin"))
    assert (env["LANG"], env["PATH"], env["DURE_JOB"]) == ("ko_KR.UTF-8", "/opt/bin", "aaaa")
    assert env["DURE_ATTEMPT_DIR"] == "/data/attempts/d-aaaa-a2"


def test_a_rank_sees_its_own_devices() -> None:
    devices = (("GPU-a", "GPU-b"), ("GPU-c", "GPU-d"))
    real = Spec(assignment(ranks=GANG), "local", "/k", "/r", devices)
    seen = [of_rank(real, FOLDER, at, MACHINE, Path("/b"))["CUDA_VISIBLE_DEVICES"] for at in (0, 1)]
    assert seen == ["GPU-a,GPU-b", "GPU-c,GPU-d"]
