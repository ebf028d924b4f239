"""``dure submit --dry-run`` and what is refused before anything is sent."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Dure

TASK = """\
name: llm-sft
project: hanul-ai/nlp
resources: {gpus: "h100:4", nodes: 2, time: 12h}
tier: [guaranteed, borrow]
env: {EPOCHS: 3}
workdir: .
run: torchrun train.py
"""


@pytest.fixture
def task(dure: Dure) -> Path:
    """A task file in a folder of its own, with the files of its work directory."""
    folder = Path("job")
    folder.mkdir()
    (folder / "train.py").write_text("print(1)\n")
    (folder / ".env").write_text("TOKEN=1\n")
    (folder / "train.yaml").write_text(TASK)
    return folder / "train.yaml"


def test_the_plan_of_a_file(dure: Dure, task: Path) -> None:
    result = dure("submit", str(task), "--dry-run").succeeds()
    assert result.out == ""
    lines = result.err.splitlines()
    assert lines[0] == "Plan  llm-sft  (project hanul-ai/nlp)"
    assert lines[1] == "  GPUs     2 x 4 h100 = 8, time limit 12h"
    assert lines[2] == "  Tier     guaranteed, then borrow"
    assert lines[3] == "  Runs     torchrun train.py"
    assert lines[4].startswith("  Files    2 files, ")
    assert lines[5] == "           left out as secret: .env"
    assert lines[6] == "nothing was submitted (--dry-run)"


@pytest.mark.parametrize(("time", "shown"), [("7d", "168h"), ("90m", "90m"), ("3600s", "1h"), ("1d", "24h")])
def test_the_time_limit_is_in_hours(dure: Dure, task: Path, time: str, shown: str) -> None:
    assert f", time limit {shown}\n" in dure("submit", str(task), "--dry-run", "--time", time).succeeds().err


def test_a_dry_run_says_when_the_server_did_not_check(dure: Dure, task: Path) -> None:
    env = {"DURE_SERVER": "http://127.0.0.1:1", "DURE_TOKEN": "dure_a_b"}
    result = dure("submit", str(task), "--dry-run", env=env).succeeds()
    assert "warning not checked by the server: http://127.0.0.1:1 cannot be reached" in result.err
    assert "Price" not in result.err


def test_options_replace_what_the_file_says(dure: Dure, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "here")
    options = ["--gpus", "A100:8", "--nodes", "1", "--time", "30m", "--tier", "scavenge,borrow", "--name", "other"]
    options += ["--env", "EPOCHS=5", "--env", "X=a=b", "--env", "FROM_HERE", "--retries", "2", "--entrypoint", "ray"]
    body = dure("submit", str(task), "--dry-run", "-o", "json", *options, "--hold", "--project", "o/p").succeeds().json
    assert len(body.pop("package_sha256")) == 64
    assert body == {
        "name": "other",
        "project": "o/p",
        "gpus": "A100:8",
        "nodes": 1,
        "time_seconds": 1_800,
        "tiers": ["scavenge", "borrow"],
        "entrypoint": "ray",
        "run": "torchrun train.py",
        "setup": "",
        "env": {"EPOCHS": "5", "X": "a=b", "FROM_HERE": "here"},
        "retries": 2,
        "hold": True,
        "hold_on_failure_seconds": 0,
        "array": "",
    }


def test_a_command_with_its_own_options(dure: Dure) -> None:
    command = ["--", "python", "train.py", "--nodes", "7", "a b", "--", "x"]
    body = dure("submit", "--gpus", "h100:1", "--project", "o/p", "--dry-run", "-o", "json", *command).succeeds().json
    assert body["run"] == "python train.py --nodes 7 'a b' -- x"
    assert (body["name"], body["nodes"], body["package_sha256"]) == ("train", 1, None)


def test_a_file_that_stays_at_home_is_pointed_out(dure: Dure) -> None:
    Path("train.py").write_text("1")
    args = ["submit", "--gpus", "h100:1", "--project", "o/p", "--dry-run"]
    assert "train.py stays here" in dure(*args, "--", "python", "train.py").succeeds().err
    assert "stays here" not in dure(*args, "--workdir", ".", "--", "python", "train.py").succeeds().err


def test_the_workdir_of_a_file_is_beside_it_and_that_of_an_option_is_here(dure: Dure, task: Path) -> None:
    Path("here.txt").write_text("1")
    beside = dure("submit", str(task), "--dry-run", "-o", "json").succeeds().json["package_sha256"]
    here = dure("submit", str(task), "--workdir", ".", "--dry-run", "-o", "json").succeeds().json["package_sha256"]
    from_stdin = dure("submit", "-", "--dry-run", "-o", "json", stdin=TASK.encode()).succeeds().json["package_sha256"]
    assert beside != here == from_stdin


PROJECTS = {
    "option": (["--project", "x"], {"DURE_PROJECT": "e/e"}, "c-org/x"),
    "option with organisation": (["--project", "x/y"], {}, "x/y"),
    "variable": ([], {"DURE_PROJECT": "e/e"}, "e/e"),
    "variable with its organisation": ([], {"DURE_PROJECT": "e", "DURE_ORG": "eo"}, "eo/e"),
    "file": ([], {}, "hanul-ai/nlp"),
}


@pytest.mark.parametrize(("options", "env", "wanted"), PROJECTS.values(), ids=PROJECTS.keys())
def test_whose_project_counts(dure: Dure, task: Path, options: list[str], env: dict[str, str], wanted: str) -> None:
    dure("context", "add", "c", "--server", "http://127.0.0.1:1", "--org", "c-org", "--project", "ctx").succeeds()
    body = dure("submit", str(task), "--dry-run", "-o", "json", *options, env=env).succeeds().json
    assert body["project"] == wanted


def test_the_contexts_project_where_the_task_names_none(dure: Dure) -> None:
    dure("context", "add", "c", "--server", "http://127.0.0.1:1", "--org", "c-org", "--project", "ctx").succeeds()
    body = dure("submit", "--gpus", "h:1", "--dry-run", "-o", "json", "--", "true").succeeds().json
    assert body["project"] == "c-org/ctx"


def test_a_mistake_in_the_file_is_shown_at_its_place(dure: Dure, task: Path) -> None:
    task.write_text(TASK.replace("nodes: 2", "nodez: 2").replace("guaranteed,", "guarantied,"))
    result = dure("submit", str(task), "--dry-run").fails(2, f"{task}:3:29", "did you mean nodes?", f"{task}:4:8")
    assert '    3 | resources: {gpus: "h100:4", nodez: 2, time: 12h}' in result.err
    assert "      |                             ^^^^^" in result.err.splitlines()


def test_a_mistake_in_an_option_names_the_option(dure: Dure, task: Path) -> None:
    for option, value in (("--gpus", "h100"), ("--nodes", "0"), ("--time", "1 hour"), ("--tier", "gold")):
        dure("submit", str(task), "--dry-run", option, value).fails(2, f" {option} ")
    dure("submit", str(task), "--dry-run", "--env", "NOT_THERE").fails(2, "there is no such variable here")
    dure("submit", str(task), "--dry-run", "--env", "DURE_JOB=1").fails(2, "is set by Dure")
    dure("submit", str(task), "--dry-run", "--idempotency-key", "a\nb").fails(2, "printable")


def test_what_is_wrong_with_the_work_directory_is_listed(dure: Dure, task: Path, tmp_path: Path) -> None:
    (task.parent / "data").symlink_to(tmp_path)
    (task.parent / "more").symlink_to("nowhere")
    dure("submit", str(task), "--dry-run").fails(
        2, "error[DURE-1021] data  the link leads out", "error[DURE-1021] more  the link leads nowhere", ".dureignore"
    )
    dure("submit", str(task), "--dry-run", "--workdir", "missing").fails(2, "DURE-1024")


def test_random_bytes_as_a_task_file_are_sentences(dure: Dure, rng: random.Random) -> None:
    pieces = [
        b"resources:",
        b"run: x",
        b"gpus: h100:1",
        b"\n",
        b"  ",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\t",
        b"&a",
        b"*a",
    ]
    pieces += [b"\x00", b"\xff", "한".encode(), b"!!x", b"---", b"'", b":", b"-", b"? ", b"|\n", b"name: a", b"1e9"]
    for number in range(150):
        noise = rng.randbytes(rng.randrange(300)) if number % 3 == 0 else b""
        content = noise or b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 40)))
        Path("random.yaml").write_bytes(content)
        result = dure("submit", "random.yaml", "--dry-run")
        assert result.code == 2, (content, result)
        assert "Traceback" not in result.err
        assert "DURE-9001" not in result.err, content
        assert result.err.startswith("error[DURE-11"), (content, result.err)


def test_a_task_file_of_a_gigabyte_is_not_read(dure: Dure) -> None:
    with Path("big.yaml").open("wb") as file:
        file.truncate(1 << 30)
    dure("submit", "big.yaml", "--dry-run").fails(2, "DURE-1004", "larger than")


def test_random_bytes_as_a_policy_file_are_sentences(dure: Dure, rng: random.Random) -> None:
    pieces = [
        b"kind: Policy",
        b"classes:",
        b"flavors: {",
        b"weight: 1",
        b"\n",
        b"  ",
        b"{",
        b"}",
        b"[",
        b"---",
        b":",
        b"\xff",
    ]
    for number in range(60):
        noise = rng.randbytes(rng.randrange(200)) if number % 3 == 0 else b""
        content = noise or b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 30)))
        Path("random.yaml").write_bytes(content)
        result = dure("policy", "lint", "random.yaml")
        assert result.code == 2, (content, result)
        assert "Traceback" not in result.err
        assert "DURE-9001" not in result.err, content
        assert result.err.startswith(("error[DURE-12", "error[DURE-1004]")), (content, result.err)
