"""What is proposed can be typed as it is shown, fits how the command was given, and leads somewhere."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from scheduler.cli.program import program, typable
from scheduler.client.errors import ApiRefused
from scheduler.client.http import Client
from scheduler.schema import bodies
from tests.unit.cli.conftest import Dure
from tests.unit.cli.samples import job
from tests.unit.cli.server import POLICY

ENV = {"DURE_SERVER": "http://127.0.0.1:1", "DURE_TOKEN": "dure_a_b"}
PROGRAMS = {
    "found on the path": ("/usr/bin/dure", "/srv/u", "/usr/bin/dure", "dure"),
    "by its bare name": ("dure", "/srv/u", None, "dure"),
    "a module": ("/x/scheduler/cli/__main__.py", "/srv/u", None, "dure"),
    "in a folder below": (".venv/bin/dure", "/srv/u", None, ".venv/bin/dure"),
    "in a folder below, while another is found": (".venv/bin/dure", "/srv/u", "/usr/bin/dure", ".venv/bin/dure"),
    "by its whole path below": ("/srv/u/.venv/bin/dure", "/srv/u", None, ".venv/bin/dure"),
    "here": ("./dure", "/srv/u", None, "./dure"),
    "elsewhere": ("../v/bin/dure", "/srv/u", None, "/srv/v/bin/dure"),
    "with a space": ("a b/dure", "/srv/u", None, "'a b/dure'"),
}


@pytest.mark.parametrize(("called", "folder", "found", "wanted"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_program_is_named_as_it_was_called(called: str, folder: str, found: str | None, wanted: str) -> None:
    assert program(called, folder, found) == wanted


def test_next_steps_name_the_program_as_it_was_called(dure: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/dure"])
    added = dure("context", "add", "c", "--server", "http://h").succeeds()
    assert "  Use it  .venv/bin/dure context use c\n" in added.err
    dure("explain", "9999").fails(3, "  more  .venv/bin/dure explain DURE-3011")


def test_proposed_commands_in_talk_name_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/dure"])
    lines = ["dure up: http://h, data in d", "  dure queue", "  durex", "ready; next:", "", "  "]
    assert [typable(line) for line in lines] == [lines[0], "  .venv/bin/dure queue", *lines[2:]]


def test_file_names_are_quoted(dure: Dure) -> None:
    name = "my policy; rm x.yaml"
    Path(name).write_text(POLICY)
    assert f"dure policy apply '{name}' --reason TEXT\n" in dure("policy", "lint", name).succeeds().err
    dure("policy", "lint", "my policy; rm x.yam").fails(2, f"did you mean '{name}'?")


TASKS = {
    "GPUs on the command line": (
        ["--", "python", "train.py"],
        "",
        "error[DURE-1106] the command line  resources.gpus is missing",
        "add --gpus h100:1",
    ),
    "GPUs in a file": (["t.yaml"], "run: 'true'", "error[DURE-1106] t.yaml:1:1 ", 'add resources: {gpus: "h100:1"}'),
    "a project in hangul": (
        ["t.yaml"],
        'project: "한글/main"\nresources: {gpus: "h:1"}\nrun: x',
        "error[DURE-1113] t.yaml:1:10 ",
        "write ORG/PROJECT with small letters, digits and dashes: dure project list",
    ),
    "a project with capitals": (
        ["t.yaml"],
        'project: "AI_Lab/main"\nresources: {gpus: "h:1"}\nrun: x',
        "error[DURE-1113] t.yaml:1:10 ",
        "write ai-lab/main",
    ),
    "a work directory of a file": (
        ["t.yaml"],
        'resources: {gpus: "h:1"}\nworkdir: nowhere\nrun: x',
        "error[DURE-1024] t.yaml:2:10  ",
        "give an existing folder",
    ),
    "a work directory of an option": (
        ["--gpus", "h:1", "--workdir", "nowhere", "--", "x"],
        "",
        "error[DURE-1024] --workdir  ",
        "give an existing folder",
    ),
}


@pytest.mark.parametrize(("args", "text", "says", "fix"), TASKS.values(), ids=TASKS.keys())
def test_a_fix_is_for_the_way_a_task_was_given(dure: Dure, args: list[str], text: str, says: str, fix: str) -> None:
    Path("t.yaml").write_text(text)
    dure("submit", "--dry-run", *args).fails(2, says, f"\n  fix   {fix}\n")


@pytest.mark.parametrize(("state", "fix"), [("Succeeded", "dure job get joba2345"), ("Active", "dure cancel joba2345")])
def test_holding_proposes_what_can_still_be_done(
    dure: Dure, monkeypatch: pytest.MonkeyPatch, state: str, fix: str
) -> None:
    def refused(self: Client, name: str) -> bodies.JobBody:
        raise ApiRefused(409, "DURE-6002", f"job x is {state}: only a queued job can be held", "dure cancel")

    monkeypatch.setattr(Client, "hold", refused)
    monkeypatch.setattr(Client, "job", lambda self, name: job(0, state=state))
    result = dure("job", "hold", "x", env=ENV).fails(6, "error[DURE-6002]", fix)
    assert ("cancel" in result.err) is (state == "Active")


def test_the_doctor_does_not_propose_itself(dure: Dure) -> None:
    result = dure("doctor", env=ENV)
    assert result.code == 8
    assert "dure doctor" not in result.out
    assert "dure config show --origin" in result.out


TWO_CLASSES = POLICY.replace("{weight: 25,", "{weight: 25, guarantee: {h100-80g: 2},").replace(
    "{weight: 40,", "{weight: 40, guarantee: {h100-80g: 16},"
)


def test_lint_points_at_the_class_that_guarantees_most(dure: Dure) -> None:
    Path("p.yaml").write_text(TWO_CLASSES)
    line = next(number for number, text in enumerate(TWO_CLASSES.splitlines(), 1) if "university" in text)
    column = TWO_CLASSES.splitlines()[line - 1].index("h100-80g: ") + len("h100-80g: ") + 1
    result = dure("policy", "lint", "p.yaml", "--capacity", "h100-80g=8")
    assert f"error[DURE-1221] p.yaml:{line}:{column} " in result.err
    dure("policy", "lint", "p.yaml", "--capacity", "h100-80g=18").succeeds()


def test_lint_knows_which_flavors_the_policy_has(dure: Dure) -> None:
    Path("p.yaml").write_text(POLICY)
    says = "error[DURE-1008] --capacity 'h10O-80g': the policy has no such flavor"
    dure("policy", "lint", "p.yaml", "--capacity", "h10O-80g=8").fails(2, says, "did you mean h100-80g?")
    dure("policy", "lint", "p.yaml", "--capacity", "tpu=8").fails(2, "no such flavor", "its flavors: h100-80g")


class Impatient(threading.Timer):
    """A timer whose time is over at once."""

    def start(self) -> None:
        """Do it now."""
        self.function()


@pytest.mark.parametrize(("terminal", "options", "said"), [(True, [], 1), (False, [], 0), (True, ["--quiet"], 0)])
def test_waiting_is_said_once_and_on_a_terminal_only(
    dure: Dure, monkeypatch: pytest.MonkeyPatch, terminal: bool, options: list[str], said: int
) -> None:
    monkeypatch.setattr(threading, "Timer", Impatient)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr("scheduler.cli.session.TRIES", 1)
    result = dure(*options, "queue", env={**ENV, "NO_COLOR": "1"})
    assert result.code == 8
    assert result.err.count("waiting for http://127.0.0.1:1 ...\n") == said


def test_a_quick_answer_is_not_waited_for(dure: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[bool] = []

    class Patient(threading.Timer):
        def start(self) -> None:
            pass

        def cancel(self) -> None:
            cancelled.append(True)

    monkeypatch.setattr(threading, "Timer", Patient)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = dure("queue", env={**ENV, "NO_COLOR": "1"})
    assert "waiting" not in result.err
    assert cancelled == [True]


def test_a_work_directory_that_is_missing_is_named_at_its_place(dure: Dure) -> None:
    Path("t.yaml").write_text('resources: {gpus: "h:1"}\nworkdir: nowhere\nrun: x')
    dure("submit", "--dry-run", "t.yaml").fails(2, "nowhere: the work directory is no folder", "2 | workdir: nowhere")
