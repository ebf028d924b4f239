"""What goes wrong ends in a sentence, a fix and an exit code; never in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from scheduler.cli import exits
from scheduler.cli.errors import Fault, excerpt, show_error
from scheduler.cli.shell import run, usage_error
from scheduler.client.errors import ApiBusy, ApiRefused, Unreachable
from scheduler.core.errors import DureError, Fatal, Finding, Retry
from tests.support.source import ROOT
from tests.unit.cli.conftest import Dure

USAGE = {
    "unknown command": (["sumbit"], "DURE-1002", "did you mean dure submit?"),
    "unknown verb": (["job", "gte"], "DURE-1002", "did you mean dure job get?"),
    "a command like none": (["xyzzy"], "DURE-1002", "dure --help"),
    "unknown option": (["queue", "--stat", "x"], "DURE-1003", "did you mean --state?"),
    "unknown global option": (["--serve", "x"], "DURE-1003", "did you mean --server?"),
    "value missing": (["queue", "--org"], "DURE-1001", "dure queue --help"),
    "not one of": (["queue", "--state", "Pending"], "DURE-1001", "dure queue --help"),
    "no number": (["queue", "--limit", "x"], "DURE-1001", "dure queue --help"),
    "out of range": (["queue", "--limit", "0"], "DURE-1001", "dure queue --help"),
    "argument missing": (["why"], "DURE-1001", "dure why --help"),
    "argument too many": (["why", "a", "b"], "DURE-1001", "dure why --help"),
    "option missing": (["org", "create", "x"], "DURE-1001", "dure org create --help"),
    "no duration": (["token", "create", "--expires", "30"], "DURE-1001", "dure token create --help"),
    "file and command": (["submit", "a.yaml", "--", "x"], "DURE-1001", "not both"),
    "neither": (["submit"], "DURE-1001", "give a task FILE, or -- and a command"),
    "empty command": (["submit", "--"], "DURE-1001", "no command stands after --"),
    "no such shell": (["completion", "tcsh"], "DURE-1001", "dure completion --help"),
    "no such file": (["submit", "train.yml"], "DURE-1004", "there is no file train.yml"),
    "a folder": (["policy", "lint", "."], "DURE-1004", ". cannot be read"),
    "no server": (["queue"], "DURE-1005", "dure login --server URL"),
    "no such context": (["--context", "x", "queue"], "DURE-1006", 'no context "x"'),
    "no address": (["--server", "dure.example", "queue"], "DURE-1001", "write it as https://HOST"),
    "no capacity": (["policy", "lint", "--capacity", "h100", __file__], "DURE-1008", "--capacity h100-80g=96"),
    "two organisations": (["queue", "--org", "a", "--project", "b/c"], "DURE-1008", "leave --org out"),
    "no organisation": (["project", "create", "nlp"], "DURE-1008", "write ORG/NAME"),
}


@pytest.mark.parametrize(("args", "code", "says"), USAGE.values(), ids=USAGE.keys())
def test_wrong_usage_is_a_sentence_with_a_fix(dure: Dure, args: list[str], code: str, says: str) -> None:
    result = dure(*args).fails(2, f"error[{code}] ", says, f"  more  dure explain {code}")
    assert result.out == ""
    assert len(result.err.splitlines()) <= 3


NOT_LOGGED_IN = [["queue"], ["why", "j"], ["quota"], ["token", "list"], ["submit", "--gpus", "h:1", "--", "true"]]


@pytest.mark.parametrize("args", NOT_LOGGED_IN, ids=" ".join)
def test_without_a_token_exit_4_names_the_login(dure: Dure, args: list[str]) -> None:
    dure("--server", "http://127.0.0.1:1", *args).fails(4, "error[DURE-4001]", "dure login --server http://127.0.0.1:1")


def test_a_server_that_is_not_there_is_exit_8(dure: Dure) -> None:
    env = {"DURE_SERVER": "http://127.0.0.1:1", "DURE_TOKEN": "dure_a_b"}
    dure("whoami", env=env).fails(8, "error[DURE-8001] http://127.0.0.1:1 cannot be reached", "dure doctor")


CODES: dict[str, tuple[DureError, int]] = {
    "400": (ApiRefused(400, "DURE-1041", ""), 2),
    "401": (ApiRefused(401, "DURE-4001", ""), 4),
    "403 for a role": (ApiRefused(403, "DURE-4003", ""), 5),
    "403 for the policy": (ApiRefused(403, "DURE-2101", ""), 7),
    "404": (ApiRefused(404, "DURE-3001", ""), 3),
    "409": (ApiRefused(409, "DURE-6002", ""), 6),
    "413": (ApiRefused(413, "DURE-1042", ""), 2),
    "418": (ApiRefused(418, "DURE-8004", ""), 1),
    "422": (ApiRefused(422, "DURE-1104", ""), 2),
    "429": (ApiBusy(429, "DURE-8011", ""), 8),
    "500": (ApiBusy(500, "DURE-9001", ""), 8),
    "503": (ApiBusy(503, "DURE-8020", ""), 8),
    "unreachable": (Unreachable("DURE-8001", "", "", sent=False), 8),
    "timeout": (Unreachable("DURE-8002", "", "", sent=True), 8),
    "not understood": (Fatal("DURE-8003", ""), 8),
    "usage": (Fatal("DURE-1008", ""), 2),
    "task": (Fatal("DURE-1117", ""), 2),
    "policy file": (Fault([Finding("f:1:1", "DURE-1210", "")]), 2),
    "refused here": (Fatal("DURE-2100", ""), 7),
    "not found here": (Fatal("DURE-3011", ""), 3),
    "login": (Fatal("DURE-4001", ""), 4),
    "conflict": (Retry("DURE-6001", ""), 6),
    "internal": (Fatal("DURE-9001", ""), 1),
}


@pytest.mark.parametrize(("error", "code"), CODES.values(), ids=CODES.keys())
def test_exit_codes(error: DureError, code: int) -> None:
    assert exits.exit_code(error) == code


def test_job_ends() -> None:
    ends = [exits.job_end(state) for state in ("Succeeded", "Failed", "Cancelled", "Active", "Queued", "")]
    assert ends == [0, 100, 103, 101, 101, 101]


@click.group()
def broken() -> None:
    """A group with mistakes in it."""


@broken.command()
def crash() -> None:
    """Raise what nobody expects."""
    raise KeyError("secret place")


@broken.command()
def stop() -> None:
    """As if Ctrl-C had been pressed."""
    raise KeyboardInterrupt


@broken.command()
def complain() -> None:
    """Raise click's general complaint."""
    raise click.ClickException("Something is odd.")


def test_a_mistake_of_ours_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(broken, ["crash"], "dure") == 1
    shown = capsys.readouterr().err
    assert "error[DURE-9001] an unexpected error in dure itself: KeyError: 'secret place'" in shown
    assert "--debug" in shown
    assert "Traceback" not in shown


def test_debug_shows_where(dure: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    def boom() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("scheduler.cli.settings.working_folder", boom)
    result = dure("--debug", "config", "show")
    assert result.code == 1
    assert "Traceback" in result.err
    assert "RuntimeError: boom" in result.err


def test_ctrl_c_is_130_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(broken, ["stop"], "dure") == 130
    assert capsys.readouterr().err == "\n"


def test_clicks_general_complaint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(broken, ["complain"], "dure") == 2
    assert "error[DURE-1001] something is odd" in capsys.readouterr().err
    assert usage_error(click.UsageError("X y.")).message == "x y"


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scheduler.cli", "explain"]
    env = {**os.environ, "DURE_CONFIG_DIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_a_narrow_locale_does_not_end_it(tmp_path: Path) -> None:
    narrow = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "scheduler.cli", "context", "add", "한글", "--server", "http://h"]
    env = {**os.environ, **narrow, "DURE_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.decode("ascii").startswith("error[DURE-1008] ")
    assert b"Traceback" not in done.stderr


EXCERPTS = {
    "a word": ("a: 1\ngpus: H10O:4\n", 2, 7, ["    2 | gpus: H10O:4", "      |       ^^^^"]),
    "a quoted text": ('gpus: "H10O:4"', 1, 7, ['    1 | gpus: "H10O:4"', "      |       ^^^^^^^^"]),
    "hangul before it": ("이름: 값 x", 1, 7, ["    1 | 이름: 값 x", "      |          ^"]),
    "hangul itself": ("a: 값이다", 1, 4, ["    1 | a: 값이다", "      |    ^^^^^^"]),
    "a tab": ("\tx: 1", 1, 2, ["    1 |  x: 1", "      |  ^"]),
    "a sign": ("a: {b}", 1, 4, ["    1 | a: {b}", "      |    ^"]),
    "the end of a line": ("abc", 1, 9, ["    1 | abc", "      |    ^"]),
    "a line that is not there": ("abc", 2, 1, []),
    "an escape sequence": ("a: \x1b[31mx", 1, 4, ["    1 | a: x", "      |    ^"]),
}


@pytest.mark.parametrize(("text", "line", "column", "wanted"), EXCERPTS.values(), ids=EXCERPTS.keys())
def test_excerpts(text: str, line: int, column: int, wanted: list[str]) -> None:
    assert excerpt(text, line, column) == wanted


def test_an_excerpt_of_a_long_line_is_cut_around_the_place() -> None:
    shown, carets = excerpt("x" * 500 + " word " + "y" * 500, 1, 502)
    assert "word" in shown
    assert shown[carets.index("^") :].startswith("word")
    assert len(shown) < 120


def test_findings_are_shown_one_by_one_and_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [Finding(f"t.yaml:{line}:1", "DURE-1110", f"finding {line}", "fix it") for line in range(1, 61)]
    show_error(Fault(findings, {"t.yaml": "a\n" * 60}))
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error[DURE-1110] t.yaml:") for line in lines) == 50
    assert lines[-2:] == ["and 10 more findings", "  more  dure explain DURE-1110"]


def test_text_from_a_server_cannot_paint_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding("\x1b[2Jx", "DURE-1\x1b[31m", "m\nn", "f\x07")
    show_error(ApiRefused(422, "DURE-1040", "\x1b]0;t\x07text\nmore", "fix\r", [finding]))
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.splitlines()[0] == "error[DURE-1040] text more"
