"""The suite runner: what it counts, what it refuses, and that its last line never looks green by mistake."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath

import pytest

from scripts import run_suites
from scripts.run_suites import SUITES, Result, Suite
from tests.support import source
from tests.support.source import ROOT

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


def test_all_suites_together_have_a_budget() -> None:
    slow = Suite("slow", (), 60)
    half = run_suites.TOTAL_MINUTES_MAX * 30
    green, red = (
        {SUITE: Result(1, seconds=half), slow: Result(1, seconds=half)},
        {slow: Result(1, seconds=2 * half + 1)},
    )
    assert run_suites.total_problems(green) == []
    assert run_suites.summary(green)[-1] == "2 passed, 0 failed, 0 skipped"
    assert run_suites.total_problems(red) == ["all suites took 1801 s of 1800 s"]
    assert run_suites.summary(red)[-2:] == ["all suites took 1801 s of 1800 s", "1 passed, 1 failed, 0 skipped"]


def test_the_budgets_fit_into_the_whole() -> None:
    assert sum(suite.budget_minutes for suite in SUITES) <= run_suites.TOTAL_MINUTES_MAX


def test_a_run_that_took_too_long_is_red(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(run_suites, "run_suite", lambda suite, *, ci: Result(1, seconds=30 * 60 + 1))
    assert run_suites.main(["unit"]) == 1
    assert capsys.readouterr().out.endswith("1 passed, 1 failed, 0 skipped\n")


def misplaced(paths: Iterable[str], suites: Sequence[Suite]) -> list[str]:
    """Test modules that no suite runs, or more than one."""
    tests = [path for path in paths if any(fnmatch(PurePath(path).name, form) for form in ("test_*.py", "*_test.py"))]
    folders = [folder for suite in suites for folder in suite.paths]
    return [path for path in tests if sum(PurePath(path).is_relative_to(folder) for folder in folders) != 1]


def test_every_test_is_in_exactly_one_suite() -> None:
    paths = [str(path.relative_to(ROOT)) for path in source.tracked_files()]
    assert misplaced(paths, SUITES) == []


PLACES: dict[str, tuple[str, bool]] = {
    "in the suite": ("tests/unit/core/test_x.py", True),
    "beside the suites": ("tests/test_x.py", False),
    "in a folder of no suite": ("tests/soak/test_x.py", False),
    "in a folder with a longer name": ("tests/units/test_x.py", False),
    "in two suites": ("tests/twice/test_x.py", False),
    "outside of tests": ("scheduler/core/test_x.py", False),
    "pytest's other form of a name": ("tests/support/x_test.py", False),
    "no test": ("tests/support/worlds.py", True),
}


@pytest.mark.parametrize(("path", "is_well"), PLACES.values(), ids=PLACES.keys())
def test_what_is_misplaced(path: str, is_well: bool) -> None:
    twice = (Suite("a", ("tests/twice",), 1), Suite("b", ("tests/twice",), 1))
    assert (misplaced([path], (SUITE, *twice)) == []) is is_well


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


def in_background(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does in the background of a script: interrupts are ignored."""
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    return subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_slow_suite_is_interrupted_also_in_the_background(tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"
    slow = f"import pathlib, time\ntry:\n time.sleep(60)\nfinally:\n pathlib.Path({str(mark)!r}).touch()"
    run = f"run_suites.run_process([sys.executable, '-c', {slow!r}], 1.0)"
    program = f"import sys\nfrom scripts import run_suites\nrun_suites.SUITES = ()\nrun_suites.main([])\n{run}"
    assert in_background(sys.executable, "-c", program).returncode == 0
    assert mark.exists()


def test_a_session_of_tests_can_be_interrupted() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_session_of_tests_can_be_interrupted_also_in_the_background() -> None:
    this = f"{Path(__file__).relative_to(ROOT)}::{test_a_session_of_tests_can_be_interrupted.__name__}"
    done = in_background(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", this)
    assert "1 passed" in done.stdout
