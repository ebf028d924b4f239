"""From nothing to a first job: templates that are written, checked, planned and really run, and the help on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.cli.templating import ALL, NAMES, offered, texts
from scheduler.cli.topics import all_topics, task_fields, text_of
from scheduler.schema.task import TASK, Task, read_task
from tests.unit.cli.conftest import Dure

SECONDS_MAX = 120
FILES = ["task.yaml", "train.py", ".dureignore"]
WITHOUT_RAY = [name for name in NAMES if name != "ray-train"]


def begun(dure: Dure, template: str, folder: str = "first-job") -> Path:
    """The folder that ``dure init`` made."""
    written = dure("init", "--template", template, folder, "--project", "hanul-ai/nlp").succeeds().out.split()
    assert written == [f"{folder}/{name}" for name in FILES]
    return Path(folder)


def as_dure_runs_it(folder: Path, **env: str) -> subprocess.Popen[str]:
    """The task's ``run`` as a rank of one, with the variables that Dure sets; this Python is first on PATH."""
    task = read_task((folder / "task.yaml").read_bytes(), "task.yaml")
    assert isinstance(task, Task)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    values = {"PATH": path, "DURE_JOB": "j", "DURE_ATTEMPT": "1", "DURE_NODE_RANK": "0", "DURE_NUM_NODES": "1"}
    values |= {"DURE_GPUS_PER_NODE": "1", "DURE_CHECKPOINT_DIR": str(folder.absolute() / "kept")}
    values |= {"RAY_ADDRESS": "127.0.0.1:6379", "PYTHONUNBUFFERED": "1", **task.env, **env}
    command = ["bash", "-c", task.run]
    return subprocess.Popen(
        command, cwd=folder, env=values, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def output(process: subprocess.Popen[str], code: int = 0) -> str:
    """All that it prints, once it has ended with this code."""
    out, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == code, out
    return out


@pytest.mark.parametrize("template", NAMES)
def test_a_template_is_checked_and_planned_as_it_is_written(dure: Dure, template: str) -> None:
    folder = begun(dure, template)
    assert dure("check", f"{folder}/task.yaml").succeeds().out.startswith(f"{folder}/task.yaml: ok (first-job, h100:1")
    plan = dure("submit", f"{folder}/task.yaml", "--dry-run").succeeds().err
    assert plan.startswith("Plan  first-job  (project hanul-ai/nlp)\n")
    assert "Files    3 files" in plan
    compile((folder / "train.py").read_text(), "train.py", "exec")


@pytest.mark.parametrize("template", WITHOUT_RAY)
def test_the_program_runs_on_a_cpu_without_anything_installed(dure: Dure, template: str) -> None:
    folder = begun(dure, template)
    assert "done" in output(as_dure_runs_it(folder, DURE_ARRAY_INDEX="2"))
    assert list((folder / "kept").iterdir()) != []


def test_torchrun_without_torch_says_so_and_how_to_get_it(dure: Dure) -> None:
    said = output(as_dure_runs_it(begun(dure, "torchrun")))
    assert "torch is not installed" in said
    assert "setup: pip install torch" in said


def test_without_ray_the_ray_template_says_how_to_get_it(dure: Dure, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('there is no ray here')\n")
    said = output(as_dure_runs_it(begun(dure, "ray-train"), PYTHONPATH=str(tmp_path)), code=1)
    assert said.splitlines()[0] == "ray is not installed here"
    assert said.splitlines()[1].startswith("fix: pip install 'ray[default]'")


def test_asked_to_stop_it_saves_and_goes_on_later(dure: Dure) -> None:
    folder = begun(dure, "script")
    process = as_dure_runs_it(folder, STEPS="100000000")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("rank 0 step 20 ")
    process.send_signal(signal.SIGTERM)
    output(process, code=128 + signal.SIGTERM)
    again = output(as_dure_runs_it(folder, STEPS="40"))
    assert again.startswith("going on from step ")
    assert int(again.split()[4]) >= 20


def test_nothing_is_written_over(dure: Dure) -> None:
    folder = begun(dure, "script")
    (folder / "train.py").write_text("mine")
    (folder / "task.yaml").unlink()
    dure("init", str(folder)).fails(2, "error[DURE-1012] first-job/train.py", "first-job/.dureignore", "--force")
    assert (folder / "train.py").read_text() == "mine"
    assert not (folder / "task.yaml").exists()
    dure("init", str(folder), "--force").succeeds()
    assert (folder / "train.py").read_text() != "mine"


def test_a_link_is_neither_followed_nor_written_through(dure: Dure, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("mine")
    folder = Path("linked")
    folder.mkdir()
    (folder / "train.py").symlink_to(target)
    dure("init", "linked").fails(2, "error[DURE-1012] linked/train.py")
    dure("init", "linked", "--force").succeeds()
    assert target.read_text() == "mine"
    assert not (folder / "train.py").is_symlink()


@pytest.mark.parametrize("folder", ["file/inside", "/proc/none"])
def test_a_folder_that_cannot_be_made(dure: Dure, folder: str) -> None:
    Path("file").write_text("")
    dure("init", folder).fails(2, "error[DURE-1013]", "cannot be written")


def test_the_project_is_the_contexts(dure: Dure) -> None:
    dure("context", "add", "here", "--server", "http://127.0.0.1:1", "--project", "seohae/vision").succeeds()
    dure("init", "mine").succeeds()
    assert "\nproject: seohae/vision\n" in Path("mine/task.yaml").read_text()
    dure("context", "rm", "here").succeeds()
    dure("init", "other").succeeds()
    assert "\n# project: ORG/PROJECT" in Path("other/task.yaml").read_text()


@pytest.mark.parametrize(("folder", "name"), [("한글", "train"), ("My Job 2", "my-job-2"), (".", "here")])
def test_the_name_is_the_folders(dure: Dure, folder: str, name: str) -> None:
    dure("init", folder).succeeds()
    assert f"\nname: {name}\n" in (Path(folder) / "task.yaml").read_text()


def test_a_template_is_offered_once_its_fields_are_there() -> None:
    known = {field.name for field in TASK.fields}
    assert [item.name for item in offered()] == [item.name for item in ALL if set(item.needs) <= known]
    for item in ALL:
        assert all("@" not in text.replace("@staticmethod", "") for text in _filled(item.name).values())


def _filled(name: str) -> dict[str, str]:
    return texts(name, name="train", project="hanul-ai/nlp", gpus="h100:1")


def test_check_names_every_mistake_of_every_file(dure: Dure) -> None:
    Path("a.yaml").write_text("run: true\n")
    Path("b.yaml").write_text('resources: {gpus: "h100:1"}\nrun: true\nworkdir: nowhere\n')
    Path("c.yaml").write_text('resources: {gpus: "h100:1"}\nrun: true\n')
    result = dure("check", "a.yaml", "b.yaml", "c.yaml", "d.yaml")
    result.fails(2, "error[DURE-1106] a.yaml:1:1", "error[DURE-1024] b.yaml:3:10", "there is no file d.yaml")
    assert result.out == "c.yaml: ok (true, h100:1, guaranteed, then borrow)\n"
    listed = dure("check", "a.yaml", "b.yaml", "d.yaml", "-o", "json")
    assert listed.code == 2
    assert [item["code"] for item in listed.json["items"]] == ["DURE-1106", "DURE-1024", "DURE-1004"]


def test_check_needs_no_server_and_no_login(dure: Dure) -> None:
    Path("c.yaml").write_text('resources: {gpus: "h100:1"}\nrun: true\n')
    dure("--server", "http://127.0.0.1:1", "check", "c.yaml").succeeds()


def test_every_field_of_the_task_has_its_help() -> None:
    assert {"name", "resources.gpus", "resources.time", "entrypoint"} <= set(task_fields())
    whole = text_of("task") or ""
    for path, field in task_fields().items():
        text = text_of(f"task.{path}")
        assert text is not None
        assert text.startswith(f"{path}   ")
        assert field.doc in text
        assert text in whole or "\n\n" in text


@pytest.mark.parametrize(
    ("topic", "first"),
    [
        ("task.gpus", "resources.gpus   FLAVOR:N"),
        ("task.time", "resources.time   a duration such as 90s, 10m, 12h or 7d"),
        ("task.tier", "tier   guaranteed | borrow | scavenge, or a list of them"),
        ("task.nodes", "resources.nodes   whole number, 1 to 4,096"),
        ("task.hold", "hold   true | false"),
        ("task.command", "run   shell text"),
        ("task.image", "image: container images are not supported yet"),
        ("task.resources.memory", "resources.memory: memory cannot be requested"),
    ],
)
def test_a_field_is_found_by_its_names(dure: Dure, topic: str, first: str) -> None:
    assert dure("help", topic).succeeds().out.splitlines()[0].startswith(first)


def test_every_topic_has_a_text_that_fits_a_terminal(dure: Dure) -> None:
    for topic in all_topics():
        out = dure("help", topic).succeeds().out
        assert max(len(line) for line in out.splitlines()) <= 120, topic


def test_the_help_of_a_command_is_its_own(dure: Dure) -> None:
    for words in (["job", "get"], ["submit"], ["policy"]):
        assert dure("help", *words).out == dure(*words, "--help").out
        assert dure("help", " ".join(words)).out == dure(*words, "--help").out
    assert dure("help").out == dure("--help").out


def test_the_guide_names_what_there_is(dure: Dure) -> None:
    guide = dure("skill").succeeds().out
    assert "@" not in guide
    for word in ("`dure submit`", "| 103 |", "dure job wait", "--idempotency-key"):
        assert word in guide
