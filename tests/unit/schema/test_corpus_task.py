"""Every broken task file: its findings with place, code, sentence and fix; and the form that all findings keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.core.errors import Finding
from scheduler.schema.codes import CODES
from scheduler.schema.task import read_task
from tests.corpus import GROUPS, broken_files, expected_path, expected_text
from tests.support.golden import assert_golden

FILES = broken_files("task")


def findings_of(file: Path) -> list[Finding]:
    """What is wrong with a task file, named as the user named it."""
    result = read_task(file.read_bytes(), file.name)
    assert isinstance(result, list), f"{file.name} is no broken file"
    return result


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_broken_task_file_is_explained(file: Path) -> None:
    found = findings_of(file)
    assert found
    for finding in found:
        path, line, column = finding.where.rsplit(":", 2)
        assert path == file.name
        assert int(line) >= 1
        assert int(column) >= 1
        assert finding.code in CODES
        assert finding.message
        assert "\n" not in finding.message + finding.fix
        assert finding.fix
        assert not finding.message.endswith(".")
    assert_golden(expected_path(file), expected_text(found))


def test_the_corpus_is_large_enough() -> None:
    counts = {group: len(broken_files(group)) for group in GROUPS}
    assert counts["task"] >= 17
    assert counts["policy"] >= 17
    assert sum(counts.values()) >= 60


def test_no_expected_file_is_left_over() -> None:
    known = {expected_path(file) for group in GROUPS for file in broken_files(group)}
    assert {path for file in known for path in file.parent.glob("*.expected")} <= known
