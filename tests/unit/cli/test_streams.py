"""Standard streams that are closed, full or gone: the work is done once, and what was lost is said in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source import ROOT
from tests.unit.cli.conftest import Dure
from tests.unit.cli.running import Result

SECONDS_MAX = 60
SUBMIT = "submit --gpus h100:1 --hold --yes -- true"


def in_shell(config: Path, line: str, **env: str) -> Result:
    """One line of a shell in which ``dure`` is the command line."""
    values = {**os.environ, "DURE_CONFIG_DIR": str(config), **env}
    script = f'dure() {{ "{sys.executable}" -m scheduler.cli "$@"; }}; {line}'
    command = ["bash", "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=values, capture_output=True, timeout=SECONDS_MAX, check=False)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


HARMLESS = {
    "no output": ("dure version >&-", 0, ""),
    "no words for people": ("dure context list 2>&-", 0, ""),
    "neither": ("dure version >&- 2>&-", 0, ""),
    "no streams at all": ("dure version <&- >&- 2>&-", 0, ""),
    "nowhere for words": ("dure context list 2>/dev/full", 0, ""),
    "nowhere for an error": ("dure context rm none 2>/dev/full", 2, ""),
    "no input to read": (
        "dure submit --dry-run - <&-",
        2,
        "standard input:1:1  the file has no content",
    ),
    "no token to read": ("dure --server http://h login --token-stdin <&-", 4, "standard input does not hold a token"),
    "a full disk": ("dure version >/dev/full", 1, "error[DURE-9002] the output could not be written: No space left"),
    "a full disk for a list": ("dure explain >/dev/full", 1, "error[DURE-9002] the output could not be written"),
    "a full disk for help": ("dure --help >/dev/full", 1, "error[DURE-9002] the output could not be written"),
    "a full disk for a page": ("dure queue --help >/dev/full", 1, "error[DURE-9002] the output could not be written"),
}


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("line", "code", "says"), HARMLESS.values(), ids=HARMLESS.keys())
def test_a_stream_that_is_missing_is_no_traceback(
    tmp_path: Path, line: str, code: int, says: str, unbuffered: str
) -> None:
    result = in_shell(tmp_path, line, PYTHONUNBUFFERED=unbuffered).fails(code, says)
    assert result.err.count("error[") == (1 if says else 0), result.err
    assert "Exception ignored" not in result.err


def jobs(admin: Dure, project: str) -> list[str]:
    return admin("queue", "--project", project, "-o", "id").succeeds().out.split()


@pytest.mark.parametrize(
    ("redirect", "code"), [(">&-", 0), ("2>&-", 0), ("2>/dev/full", 0), (">&- 2>&- <&-", 0), (">/dev/full", 1)]
)
def test_a_submission_is_made_once_and_its_id_is_not_lost(
    admin: Dure, project: str, config_folder: Path, redirect: str, code: int
) -> None:
    result = in_shell(config_folder, f"dure {SUBMIT} {redirect}").fails(code)
    made = jobs(admin, project)
    assert len(made) == 1
    if code:
        assert f"error[DURE-9002] job/{made[0]} held: this was done, but the output could not be written" in result.err
    assert "Exception ignored" not in result.err


def test_a_token_that_could_not_be_printed_is_named_by_its_id(admin: Dure, config_folder: Path) -> None:
    result = in_shell(config_folder, "dure token create --note lost --expires 1h >/dev/full").fails(1, "DURE-9002")
    made = [item["id"] for item in admin("token", "list", "-o", "json").json["items"] if item["note"] == "lost"]
    assert len(made) == 1
    assert f"token/{made[0]} created: this was done" in result.err


def test_an_error_after_output_that_was_lost_is_shown_too(admin: Dure, project: str, config_folder: Path) -> None:
    in_shell(config_folder, "dure cancel nope nope2 --yes >/dev/full").fails(3, "error[DURE-3001]")
    for unbuffered in ("", "1"):
        job = admin("submit", "--gpus", "h100:1", "--hold", "-o", "id", "--", "true").succeeds().out.strip()
        says = ("error[DURE-3001]", f"error[DURE-9002] job/{job} cancelled: this was done")
        in_shell(config_folder, f"dure cancel {job} nope --yes >/dev/full", PYTHONUNBUFFERED=unbuffered).fails(1, *says)
        assert jobs(admin, project) == []
