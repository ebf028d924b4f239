"""The corpus of broken files: where they lie, and how their expected findings are written (README.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scheduler.core.errors import Finding

BROKEN = Path(__file__).parent / "broken"
GROUPS = ("task", "policy", "submit")
EXIT_INVALID = 2
EXIT_NOT_FOUND = 3
EXIT_REFUSED = 7


def broken_files(group: str) -> list[Path]:
    """Every broken file of a group, in order."""
    return sorted((BROKEN / group).glob("*.yaml"))


def expected_path(file: Path) -> Path:
    """Where a broken file's findings are written down."""
    return file.with_suffix(".expected")


def exit_code(findings: Sequence[Finding]) -> int:
    """The exit code that the command line answers to these findings with; the first one decides."""
    number = findings[0].code.removeprefix("DURE-")
    return {"2": EXIT_REFUSED, "3": EXIT_NOT_FOUND}.get(number[0], EXIT_INVALID)


def expected_text(findings: Sequence[Finding]) -> str:
    """The findings as an .expected file has them: the exit code, then a line and a fix for each."""
    lines = [f"exit {exit_code(findings)}"]
    for finding in findings:
        lines += [f"{finding.where} {finding.code} {finding.message}", f"    fix: {finding.fix}"]
    return "\n".join(lines) + "\n"
