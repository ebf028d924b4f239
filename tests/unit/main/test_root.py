"""The entries of the composition root: light for what needs no server, and plain about what is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scheduler.main import lint_policy
from tests.support.source import ROOT

HEAVY = ("alembic", "fastapi", "prometheus_client", "ray", "sqlalchemy", "uvicorn")
TRY = """
import sys
sys.modules[{missing!r}] = None
from scheduler.core.errors import Fatal
from scheduler import main
try:
    main.{call}
except Fatal as error:
    print(error.code, error.message, error.fix, sep="|")
"""


def run(code: str) -> str:
    """Standard output of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("missing", "call", "extras"),
    [
        ("uvicorn", "serve(say=print)", "server"),
        ("prometheus_client", "up(say=print)", "server,local"),
        ("httpx", "meter_gap('http://x', 'http://y', '', 0, 1)", "server"),
    ],
)
def test_a_part_that_is_not_installed_is_named(missing: str, call: str, extras: str) -> None:
    message = f"this needs a part of Dure that is not installed: {missing}"
    assert run(TRY.format(missing=missing, call=call)) == f"DURE-1055|{message}|pip install 'dure[{extras}]'"


def test_checking_a_policy_needs_no_server() -> None:
    use = "import sys; from scheduler.main import lint_policy; lint_policy('', 'x')"
    assert run(f"{use}; print(*set({HEAVY}) & sys.modules.keys())") == ""


def test_findings_have_the_files_name() -> None:
    findings = lint_policy("kind: Policy\n", "mine.yaml", {"h100-80g": 1})
    assert findings
    assert all(finding.where.startswith("mine.yaml:") for finding in findings)
