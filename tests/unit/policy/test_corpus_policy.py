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


@pytest.mark.parametrize("file", broken_files("submit"), ids=lambda file: file.stem)
def test_a_refused_task_is_explained(file: Path) -> None:
    task = read_task(file.read_bytes(), file.name)
    assert isinstance(task, Task), "files of this group are valid in themselves"
    assert_explained(file, [refusal_of(task)])
