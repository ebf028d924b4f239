"""The suite runner: what it counts, what it refuses, and that its last line never looks green by mistake."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from scripts import run_suites
from scripts.run_suites import Result, Suite

SUITE = Suite("unit", ("tests/unit",), 1)
REPORT = """<testsuites><testsuite>
<testcase classname="t" name="a"/><testcase classname="t" name="b"/>
<testcase classname="t" name="c"><failure message="no"/></testcase>
<testcase classname="t" name="d"><error message="fixture"/></testcase>
<testcase classname="t" name="e"><skipped message="no NVIDIA device"/></testcase>
<testcase classname="t" name="f"><skipped message="not today"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "r.xml"
    path.write_text(REPORT)
    result = run_suites.read_report(path)
    assert (result.passed, result.failed, result.skips) == (2, 2, ["t.e: no NVIDIA device", "t.f: not today"])


JUDGED: dict[str, tuple[Result, int | None, bool, str]] = {
    "green": (Result(passed=3, seconds=59), 0, False, ""),
    "one failed": (Result(passed=3, failed=1), 1, False, "1 failed"),
    "pytest itself broke": (Result(passed=3), 3, False, "pytest exit 3"),
    "no test was found": (Result(), 5, False, "proves nothing"),
    "all deselected, exit 0": (Result(), 0, False, "proves nothing"),
    "one second over its minute": (Result(passed=1, seconds=61), 0, False, "took 61 s of 60 s"),
    "stopped": (Result(passed=1), None, False, "stopped"),
    "skip at home": (Result(passed=1, skips=["a: no server"]), 0, False, ""),
    "skip in CI": (Result(passed=1, skips=["a: no server"]), 0, True, "CI=true forbids: a: no server"),
    "allowed skip in CI": (Result(passed=1, skips=["a: no NVIDIA device here"]), 0, True, ""),
}


@pytest.mark.parametrize(("result", "status", "ci", "want"), JUDGED.values(), ids=JUDGED.keys())
def test_judging(result: Result, status: int | None, ci: bool, want: str) -> None:
    problems = run_suites.judge(SUITE, result, status, ci=ci)
    assert (want in problems[0]) if want else problems == []


def test_the_last_line_sums_up() -> None:
    slow = Suite("slow", (), 1)
    results = {SUITE: Result(passed=3, failed=1, problems=["x"]), slow: Result(passed=2, skips=["s"], problems=["y"])}
    assert run_suites.summary(results)[-3:] == ["x", "y", "5 passed, 2 failed, 1 skipped"]
    assert run_suites.summary({SUITE: Result(passed=3)})[-1] == "3 passed, 0 failed, 0 skipped"


def test_a_suite_without_a_folder_is_a_problem() -> None:
    assert run_suites.run_suite(Suite("none", ("tests/nowhere",), 1), ci=False).problems == [
        "none: no folder tests/nowhere"
    ]


def test_an_unknown_suite_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_suites.main(["nonsense"]) == 2
    assert "no suite nonsense; choose from: unit, stores" in capsys.readouterr().err


def test_a_hanging_process_is_stopped_with_its_children() -> None:
    child = "import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = time.monotonic()
    assert run_suites.run_process([sys.executable, "-c", parent], 0.5) is None
    assert time.monotonic() - started < 20
    assert run_suites.run_process([sys.executable, "-c", "raise SystemExit(3)"], 20) == 3


def test_interrupt_comes_before_kill(tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"
    code = f"import pathlib, time\ntry:\n time.sleep(60)\nfinally:\n pathlib.Path({str(mark)!r}).touch()"
    assert run_suites.run_process([sys.executable, "-c", code], 1.0) is None
    assert mark.exists()
