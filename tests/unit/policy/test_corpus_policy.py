"""Every broken policy file, and the task files that a server refuses: findings with place, code, sentence and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.core.errors import DureError, Finding
from scheduler.core.records import OrgRecord, ProjectRecord
from scheduler.policy import examples
from scheduler.policy.effective import Registry, effective
from scheduler.policy.loader import LoadedPolicy, lint, load
from scheduler.schema.codes import CODES
from scheduler.schema.task import Task, read_task
from scheduler.schema.yamlpos import SIZE_MAX_BYTES
from scheduler.services.actors import Actor
from scheduler.services.submit import accept
from scheduler.store.memory import MemoryStore
from tests.corpus import broken_files, expected_path, expected_text
from tests.support.golden import assert_golden

ORGS = (
    OrgRecord(name="hanbit-ai", class_name="sme"),
    OrgRecord(name="paused-org", class_name="sme", state="suspended"),
)
PROJECTS = tuple(ProjectRecord(org=org.name, name="nlp") for org in ORGS)
ALL = Actor("lee", frozenset({("admin", "all")}))


def refusal_of(task: Task) -> Finding:
    """What a server with the national policy answers to a submission, at the task file's place."""
    loaded = load(examples.text("national-2026"), "national-2026.yaml")
    assert isinstance(loaded, LoadedPolicy)
    policy = effective(loaded.policy, 1, Registry(ORGS, PROJECTS), 1, 0)
    store = MemoryStore()
    with store.write() as tx:
        for org, project in zip(ORGS, PROJECTS, strict=True):
            tx.add(org)
            tx.add(project)
    with store.read() as view, pytest.raises(DureError) as raised:
        accept(view, policy, task.to_body(), ALL)
    return task.located(raised.value)


def assert_explained(file: Path, found: list[Finding]) -> None:
    """Each finding has a place in the file, a known code, one sentence and a fix; all are as written down."""
    assert found
    for finding in found:
        assert finding.where.startswith(f"{file.name}:")
        assert finding.where.count(":") == 2
        assert finding.code in CODES
        assert finding.message
        assert finding.fix
        assert "\n" not in finding.message + finding.fix
    assert_golden(expected_path(file), expected_text(found))


@pytest.mark.parametrize("file", broken_files("policy"), ids=lambda file: file.stem)
def test_a_broken_policy_file_is_explained(file: Path) -> None:
    assert_explained(file, lint(file.read_bytes(), file.name, known_rate_cards=()))


def test_there_are_many_kinds_of_broken_policies() -> None:
    codes = {line.split()[1] for file in broken_files("policy") for line in findings_of(file)}
    assert len(broken_files("policy")) >= 80
    assert len(codes) >= 21


def findings_of(file: Path) -> list[str]:
    """The lines of a broken file's findings as they are written down."""
    return [line for line in expected_path(file).read_text(encoding="utf-8").splitlines()[1:] if line[:1] != " "]


@pytest.mark.parametrize("file", broken_files("policy"), ids=lambda file: file.stem)
def test_places_are_inside_the_file(file: Path) -> None:
    """Lines and columns from 1, in characters, without the byte order mark."""
    lines = file.read_bytes().decode("utf-8-sig", "replace").split("\n")
    for finding in findings_of(file):
        _, line, column = finding.split()[0].split(":")
        assert 1 <= int(line) <= len(lines)
        assert 1 <= int(column) <= len(lines[int(line) - 1]) + 1


AT = {
    "hangul-before-the-mistake": ["-8}"],
    "emoji-and-hangul-in-a-reason": ["wieght"],
    "byte-order-mark": ["dure.dev/v1"],
    "windows-line-ends": ["1day", "1.10"],
    "very-long-line": ["-2}"],
    "nul-bytes": ["\0"],
    "unknown-flavor": ["h100-80gb"],
    "names-given-twice": ["h100-80g: {exchange: 0.9}", "h100-80g: 9", "sme: {weight: 2"],
    "one-override-field-misspelt": ["organisation", "orgs", "guarante"],
    "tag": ["!!int"],
}


@pytest.mark.parametrize("name", AT)
def test_columns_point_at_the_word(name: str) -> None:
    (file,) = (file for file in broken_files("policy") if file.stem == name)
    lines = file.read_bytes().decode("utf-8-sig").split("\n")
    places = [finding.split()[0].split(":")[1:] for finding in findings_of(file)]
    shown = [lines[int(line) - 1][int(column) - 1 :] for line, column in places]
    assert [text.startswith(wanted) for text, wanted in zip(shown, AT[name], strict=True)] == [True] * len(shown)


def test_a_file_may_have_256_kib_and_not_a_byte_more() -> None:
    text = examples.text("default")
    room = SIZE_MAX_BYTES - len(text.encode()) - len("\n# 가\n".encode())
    full = f"{text}\n# 가{'x' * room}\n"
    assert len(full.encode()) == SIZE_MAX_BYTES
    assert lint(full, "p.yaml") == lint(full.encode(), "p.yaml") == []
    for larger in (full + "x", (full + "x").encode()):
        (finding,) = lint(larger, "p.yaml")
        assert (finding.where, finding.code) == ("p.yaml:1:1", "DURE-1201")
        assert finding.message == "the file has 262145 bytes; at most 262144 are read"


@pytest.mark.parametrize("file", broken_files("submit"), ids=lambda file: file.stem)
def test_a_refused_task_is_explained(file: Path) -> None:
    task = read_task(file.read_bytes(), file.name)
    assert isinstance(task, Task), "files of this group are valid in themselves"
    assert_explained(file, [refusal_of(task)])
