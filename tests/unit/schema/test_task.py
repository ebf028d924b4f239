"""The task file: what it becomes, what flags do to it, and that its tables, bodies and pages agree."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any, get_args

import pytest

from scheduler.core.errors import Fatal, Finding
from scheduler.schema.bodies import RESERVED_ENV, TaskBody, TierName
from scheduler.schema.task import (
    RESOURCES,
    SETTABLE,
    TASK,
    TIERS,
    Override,
    Task,
    name_from,
    read_task,
    slug,
    task_from_command,
    task_schema,
    with_overrides,
)
from tests.support.golden import assert_golden
from tests.support.source import ROOT

FULL = """\
name: llm-sft
project: hanbit-ai/nlp
resources: {gpus: "H100:4", nodes: 2, time: 12h}
tier: [borrow, scavenge]
workdir: ./code
env: {EPOCHS: 3, DEBUG: yes, RATE: 1e-4, EMPTY: ""}
setup: uv pip install -r requirements.txt
run: |
  torchrun --nnodes=$DURE_NUM_NODES train.py
entrypoint: ray
retries: 2
hold: true
hold_on_failure: 30m
array: 1-20%4
"""
ENV = {"EPOCHS": "3", "DEBUG": "yes", "RATE": "1e-4", "EMPTY": ""}
SMALL = 'resources: {gpus: "h100:1"}\nrun: python train.py\n'


def good(content: str | bytes, *overrides: Override) -> Task:
    """The task, which must be one."""
    task = read_task(content, "t.yaml", overrides)
    assert isinstance(task, Task), task
    return task


def test_every_field_reaches_the_body() -> None:
    assert good(FULL).to_body("0" * 64).model_dump() == {
        "name": "llm-sft",
        "project": "hanbit-ai/nlp",
        "gpus": "H100:4",
        "nodes": 2,
        "time_seconds": 12 * 3_600,
        "tiers": ["borrow", "scavenge"],
        "entrypoint": "ray",
        "run": "torchrun --nnodes=$DURE_NUM_NODES train.py\n",
        "setup": "uv pip install -r requirements.txt",
        "env": ENV,
        "retries": 2,
        "package_sha256": "0" * 64,
        "hold": True,
        "hold_on_failure_seconds": 1_800,
        "array": "1-20%4",
    }
    assert good(FULL).workdir == "./code"


def test_defaults_are_those_of_the_body() -> None:
    body = good(SMALL + "project: a/b\n").to_body()
    assert body == TaskBody(name="train", project="a/b", gpus="h100:1", run="python train.py")


def test_names_of_other_systems_are_read() -> None:
    task = good(SMALL + "num_nodes: 3\nenvs: {A: 1}\ntier: scavenge\n")
    assert (task.nodes, dict(task.env), task.tiers) == (3, {"A": "1"}, ("scavenge",))


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ([("name", "other")], {"name": "other"}),
        ([("project", "a/b")], {"project": "a/b"}),
        ([("resources.gpus", "A100:8")], {"gpus": "A100:8"}),
        ([("resources.nodes", "3"), ("resources.time", "90m")], {"nodes": 3, "time_seconds": 5_400}),
        ([("resources.nodes", "3"), ("resources.nodes", "4")], {"nodes": 4}),
        ([("tier", "guaranteed, borrow")], {"tiers": ["guaranteed", "borrow"]}),
        ([("env.EPOCHS", "5"), ("env.NEW", "a=b")], {"env": {**ENV, "EPOCHS": "5", "NEW": "a=b"}}),
        ([("run", "null"), ("hold", "false"), ("retries", "0")], {"run": "null", "hold": False, "retries": 0}),
        ([("entrypoint", "script"), ("setup", "true")], {"entrypoint": "script", "setup": "true"}),
    ],
)
def test_flags_lie_on_top_of_the_file(overrides: list[tuple[str, str]], changed: dict[str, Any]) -> None:
    given = [Override(path, text, f"--{path}") for path, text in overrides]
    before = good(FULL).to_body().model_dump()
    assert good(FULL, *given).to_body().model_dump() == before | changed
    later = with_overrides(good(FULL), given)
    assert isinstance(later, Task)
    assert later.to_body().model_dump() == before | changed
    assert {path: later.places[path] for path, _ in overrides} == {path: f"--{path}" for path, _ in overrides}


def test_a_flag_completes_a_file() -> None:
    task = good("run: x\nresources: {nodes: 2}\n", Override("resources.gpus", "h100:1", "--gpus"))
    assert (str(task.gpus), task.nodes) == ("h100:1", 2)
    assert task.places["resources.gpus"] == "--gpus"
    assert task.places["resources.nodes"] == "t.yaml:2:20"


def test_a_flag_replaces_the_other_name_too() -> None:
    assert good(SMALL + "num_nodes: 3\n", Override("resources.nodes", "2", "--nodes")).nodes == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (Override("resources.nodes", "two", "--nodes"), 'resources.nodes must be a whole number, not "two"'),
        (Override("tier", "borow", "--tier"), 'tier[0] must be one of guaranteed, borrow, scavenge, not "borow"'),
        (Override("env.DURE_JOB", "x", "--env"), "env.DURE_JOB is set by Dure"),
        (Override("resources", "x", "--set"), 'no field "resources" can be set'),
        (Override("secrets.A", "x", "--set"), 'no field "secrets.A" can be set'),
        (Override("name", "", "--name"), "name has 0 characters; it takes 1 to 40"),
    ],
)
def test_a_bad_flag_is_named(override: Override, message: str) -> None:
    for result in (read_task(FULL, "t.yaml", [override]), with_overrides(good(FULL), [override])):
        assert isinstance(result, list)
        assert [(item.where, item.message) for item in result] == [(override.origin, message)]


@pytest.mark.parametrize(
    ("command", "run", "name"),
    [
        (["python", "-u", "train.py", "--lr", "0.1"], "python -u train.py --lr 0.1", "train"),
        (["echo", "a b"], "echo 'a b'", "echo"),
        (["cd code && python Eval.py"], "cd code && python Eval.py", "cd"),
    ],
)
def test_a_command_is_a_task(command: list[str], run: str, name: str) -> None:
    task = task_from_command(command, [Override("resources.gpus", "h100:1", "--gpus")])
    assert isinstance(task, Task)
    assert (task.run, task.name, task.workdir) == (run, name, None)


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ([], ["DURE-1106", "DURE-1114"]),
        ([""], ["DURE-1106", "DURE-1114"]),
        (["  "], ["DURE-1106", "DURE-1112"]),
    ],
)
def test_a_command_without_words_or_gpus_is_none(command: list[str], codes: list[str]) -> None:
    result = task_from_command(command, [])
    assert isinstance(result, list)
    assert sorted(item.code for item in result) == codes


NAMES = {
    "python train.py": "train",
    "torchrun --nnodes=2 -m my_pkg.Train": "my-pkg-train",
    "CUDA=1 uv run ./scripts/Eval_2.py": "eval-2",
    "# comment\n\n  bash run.sh": "run",
    "python": "job",
    "": "job",
    "한글": "job",
    "9lives.py": "lives",
    "x" * 60: "x" * 40,
    "a" * 39 + "-b": "a" * 39,
}


@pytest.mark.parametrize(("run", "name"), NAMES.items())
def test_names_come_from_commands(run: str, name: str) -> None:
    assert name_from(run) == name
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", slug(name))


def test_a_task_without_project_has_no_body() -> None:
    with pytest.raises(Fatal, match="names no project") as raised:
        good(SMALL).to_body()
    assert raised.value.code == "DURE-1117"


def test_a_servers_findings_get_the_files_place() -> None:
    task = good(FULL)
    assert task.located(Fatal("DURE-2102", "too long", "less")) == Finding(
        "t.yaml:3:45", "DURE-2102", "too long", "less"
    )
    assert task.located(Fatal("DURE-2100", "no policy", "")).where == "t.yaml:1:1"
    assert task.locate(Finding("gpus", "C", "m")).where == "t.yaml:3:19"
    assert task.locate(Finding("env.DEBUG", "C", "m")).where == "t.yaml:6:25"
    assert task.locate(Finding("elsewhere", "C", "m")).where == "elsewhere"


def test_the_tables_agree() -> None:
    assert get_args(TierName) == TIERS
    assert {"DURE_JOB", "RAY_ADDRESS", "RAY_AUTH_TOKEN"} == {
        name
        for name in ("DURE_JOB", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_ADDRESS_2", "MY_DURE_X")
        if RESERVED_ENV.match(name)
    }
    nested = {f"resources.{item.name}" for item in RESOURCES.kind.fields}  # type: ignore[attr-defined]  # it is an Objects
    flat = {item.name for item in TASK.fields} - {"resources", "num_nodes", "env"}
    assert nested | flat == SETTABLE
    assert {"name", "project", "gpus", "run"} <= {item.name for item in fields(Task)}


def test_the_published_schema_is_the_tables() -> None:
    text = json.dumps(task_schema(), indent=2, ensure_ascii=False) + "\n"
    assert_golden(ROOT / "docs" / "schema" / "task.v1.json", text)


def test_the_reference_page_covers_every_field() -> None:
    page = (ROOT / "docs" / "reference" / "task-file.md").read_text(encoding="utf-8")
    names = [item.name for item in (*TASK.fields, *RESOURCES.kind.fields)]  # type: ignore[attr-defined]  # it is an Objects
    names += [*TASK.unsupported, *RESOURCES.kind.unsupported]  # type: ignore[attr-defined]  # it is an Objects
    assert [name for name in names if f"`{name}`" not in page and f"`resources.{name}`" not in page] == []


def test_the_examples_of_the_reference_page_are_tasks() -> None:
    page = (ROOT / "docs" / "reference" / "task-file.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        assert isinstance(read_task(example, "page.yaml"), Task), example
