"""Run the test suites one by one, each against its time budget, and sum them up in one line.

Usage: run_suites.py [SUITE ...]; without names all suites run. Exit 0: all passed inside their budgets; 1: a test
failed, a suite was too slow or empty, all together were too slow, or with CI=true a test was skipped for a reason that
is not in SKIPS_ALLOWED; 2: no such suite.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
PYTEST_NO_TESTS = 5
TOTAL_MINUTES_MAX = 30  # on two cores, all suites together
KILLED_AFTER_BUDGETS = 2  # a slow suite may show its results; a hanging one is stopped

# Part of a skip's message -> why it may be missing even where everything else must run.
SKIPS_ALLOWED = {
    "no NVIDIA device": "real GPUs cannot be installed; logical GPUs run the same code",
}


@dataclass(frozen=True, slots=True)
class Suite:
    """Folders of tests that run as one pytest process, and the minutes they may take on two cores."""

    name: str
    paths: tuple[str, ...]
    budget_minutes: float
    options: tuple[str, ...] = ()


SUITES = (
    Suite("unit", ("tests/unit",), 8),
    Suite("stores", ("tests/stores",), 4),
    Suite("local-ray", ("tests/local", "tests/e2e"), 6),
    Suite("world", ("tests/world",), 8),
)


@dataclass(slots=True)
class Result:
    """What one suite's process reported; problems are sentences, and any makes the run fail."""

    passed: int = 0
    failed: int = 0
    skips: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def read_report(path: Path) -> Result:
    """Count a JUnit file's test cases; errors in fixtures count as failed, expected failures as skipped."""
    result = Result()
    for case in ElementTree.parse(path).iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif skipped is not None:
            result.skips.append(f"{case.get('classname')}.{case.get('name')}: {skipped.get('message', '')}")
        else:
            result.passed += 1
    return result


def forbidden_skips(skips: Sequence[str]) -> list[str]:
    """The skips whose message holds none of the allowed reasons."""
    return [skip for skip in skips if not any(reason in skip for reason in SKIPS_ALLOWED)]


def run_process(command: Sequence[str], seconds_max: float) -> int | None:
    """Run ``command`` in the repository root; its exit status, or None when it had to be stopped."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(seconds_max)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            stop_group(process)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the process group so that fixtures clean up; after ten seconds kill it."""
    for sign, seconds in ((signal.SIGINT, 10), (signal.SIGKILL, 5)):
        os.killpg(process.pid, sign)
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue


def run_suite(suite: Suite, *, ci: bool) -> Result:
    """Run one suite and judge it: results, emptiness, budget, and skips where none are allowed."""
    report = REPORTS / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    absent = [path for path in suite.paths if not (ROOT / path).is_dir()]
    if absent:
        return Result(problems=[f"{suite.name}: no folder {', '.join(absent)}"])
    budget_seconds = suite.budget_minutes * 60
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", "--durations-min=1", f"--junitxml={report}"]
    command += ["-o", f"faulthandler_timeout={budget_seconds:.0f}", *suite.options, *suite.paths]
    started = time.monotonic()
    status = run_process(command, budget_seconds * KILLED_AFTER_BUDGETS)
    seconds = time.monotonic() - started
    result = read_report(report) if report.exists() else Result()
    result.seconds = seconds
    result.problems = judge(suite, result, status, ci=ci)
    return result


def judge(suite: Suite, result: Result, status: int | None, *, ci: bool) -> list[str]:
    """Every reason why this suite is not green, one sentence each."""
    problems = []
    if status is None:
        problems.append(f"{suite.name}: stopped after {KILLED_AFTER_BUDGETS} budgets")
    elif status == PYTEST_NO_TESTS or result.passed + result.failed + len(result.skips) == 0:
        problems.append(f"{suite.name}: ran no test (pytest exit {status}); a suite without tests proves nothing")
    elif status != 0 or result.failed:
        problems.append(f"{suite.name}: {result.failed} failed (pytest exit {status})")
    if result.seconds > suite.budget_minutes * 60:
        problems.append(f"{suite.name}: took {result.seconds:.0f} s of {suite.budget_minutes * 60:.0f} s")
    if ci:
        problems += [f"{suite.name}: skipped, which CI=true forbids: {skip}" for skip in forbidden_skips(result.skips)]
    return problems


def total_problems(results: dict[Suite, Result]) -> list[str]:
    """Why all suites together are not green though each may be; empty when they took no longer than they may."""
    seconds, most = sum(result.seconds for result in results.values()), TOTAL_MINUTES_MAX * 60
    return [f"all suites took {seconds:.0f} s of {most} s"] if seconds > most else []


def summary(results: dict[Suite, Result]) -> list[str]:
    """The closing lines: each suite's time against its budget, the problems, and the sum as the last line."""
    lines = [
        f"{suite.name:<10} {result.seconds:6.1f} s of {suite.budget_minutes * 60:4.0f} s  "
        f"{result.passed} passed, {result.failed} failed, {len(result.skips)} skipped"
        for suite, result in results.items()
    ]
    too_long = total_problems(results)
    problems = [*(problem for result in results.values() for problem in result.problems), *too_long]
    # A suite that could not report still counts as one failure, so the sum never looks green by mistake.
    silent = sum(1 for result in results.values() if result.problems and not result.failed) + len(too_long)
    passed = sum(result.passed for result in results.values())
    failed = sum(result.failed for result in results.values()) + silent
    skipped = sum(len(result.skips) for result in results.values())
    return [*lines, *problems, f"{passed} passed, {failed} failed, {skipped} skipped"]


def main(names: Sequence[str]) -> int:
    """Run the named suites (all when none is named) and print the summary."""
    # A shell lets what it starts in the background ignore interrupts, and so would every suite: none could clean up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    known = {suite.name: suite for suite in SUITES}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"run_suites: no suite {', '.join(unknown)}; choose from: {', '.join(known)}", file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    ci = os.environ.get("CI") == "true"
    results = {}
    for suite in [known[name] for name in names] or SUITES:
        print(f"== {suite.name} (budget {suite.budget_minutes:g} min)", flush=True)
        results[suite] = run_suite(suite, ci=ci)
    print("\n".join(summary(results)), flush=True)
    return 1 if total_problems(results) or any(result.problems for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
