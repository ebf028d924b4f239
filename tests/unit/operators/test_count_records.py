"""The independent counter: its sums against sums made by hand, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.source import ROOT

SCRIPT = ROOT / "scripts" / "count_records.py"
Row = tuple[str, int, dict[str, Any]]


def attempt(data: Path, place: str, name: str, gpus: tuple[int, ...], rows: list[Row], tail: str = "") -> None:
    """Write an attempt's two files."""
    folder = data / place / name
    folder.mkdir(parents=True)
    _, job, number = name.split("-")
    ranks = [{"rank": rank, "node": "n", "gpus": count} for rank, count in enumerate(gpus)]
    about = {"job": job, "attempt": int(number[1:]), "org": "hanbit-ai", "project": "nlp", "ranks": ranks}
    spec = {"assignment": {**about, "flavor": "h100-80g", "tier": "borrow"}}
    (folder / "spec.json").write_text(json.dumps(spec))
    lines = [
        json.dumps({"seq": seq, "kind": kind, "at_ms": at, **more}) for seq, (kind, at, more) in enumerate(rows, 1)
    ]
    (folder / "record.jsonl").write_text("".join(line + "\n" for line in lines) + tail)


def count(data: Path, *options: str) -> Any:
    command = [sys.executable, "-I", str(SCRIPT), str(data), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(rank: int, at_ms: int) -> Row:
    return ("start", at_ms, {"rank": rank})


def ended(rank: int, at_ms: int) -> Row:
    return ("exit", at_ms, {"rank": rank, "code": 0})


def beat(at_ms: int) -> Row:
    return ("beat", at_ms, {})


def notice(at_ms: int, reason: str) -> Row:
    return ("notice", at_ms, {"reason": reason})


# GPUs per rank, lines, what stands after the last newline, billed and running GPU-ms
CASES: dict[str, tuple[tuple[int, ...], list[Row], str, int, int]] = {
    "one rank: 2 x (50-20)": ((2,), [start(0, 20), ended(0, 50)], "", 60, 60),
    "own ends: (50-30) + (90-30), running (50-20) + (90-30)": (
        (1, 1),
        [start(0, 20), start(1, 30), ended(0, 50), ended(1, 90)],
        "",
        80,
        90,
    ),
    "evicted: both to the notice, 2 x (40-30)": (
        (1, 1),
        [start(0, 20), start(1, 30), notice(40, "evict"), ended(0, 50), ended(1, 90)],
        "",
        20,
        90,
    ),
    "cancelled: to the own end": ((1,), [start(0, 20), notice(40, "cancel"), ended(0, 50)], "", 30, 30),
    "ended before the eviction: (35-30)": (
        (1, 1),
        [start(0, 20), start(1, 30), ended(0, 35), notice(40, "evict"), ended(1, 60)],
        "",
        15,
        45,
    ),
    "lost: to the last whole line, 3 x (70-20)": (
        (3,),
        [start(0, 20), beat(70)],
        '{"seq":9,"kind":"beat","at',
        150,
        150,
    ),
    "evicted before it ran": ((1,), [notice(10, "evict"), start(0, 20), ended(0, 30)], "", 0, 10),
    "a gang of which one never started": ((1, 1), [start(0, 20), beat(80)], "", 0, 60),
    "never started": ((1,), [("fail", 30, {"message": "no"}), ("gone", 40, {"code": 1})], "", 0, 0),
    "no line": ((1,), [], "", 0, 0),
}


@pytest.mark.parametrize(("gpus", "rows", "tail", "billed", "running"), CASES.values(), ids=CASES.keys())
def test_a_count(tmp_path: Path, gpus: tuple[int, ...], rows: list[Row], tail: str, billed: int, running: int) -> None:
    attempt(tmp_path, "attempts", "d-aaaa-a1", gpus, rows, tail)
    (line,) = count(tmp_path)["totals"]
    assert (line["billed_gpu_ms"], line["running_gpu_ms"], line["attempts"]) == (billed, running, 1)
    assert (line["org"], line["project"], line["flavor"], line["tier"]) == ("hanbit-ai", "nlp", "h100-80g", "borrow")


def test_archived_attempts_count_too_and_can_be_listed(tmp_path: Path) -> None:
    rows = [start(0, 20), ended(0, 50), ("gone", 60, {"code": 0})]
    attempt(tmp_path, "attempts", "d-aaaa-a2", (1,), rows)
    attempt(tmp_path, "archive", "d-aaaa-a1", (1,), rows)
    found = count(tmp_path, "--attempts")
    assert [line["billed_gpu_ms"] for line in found["totals"]] == [60]
    assert [(item["attempt"], item["gone_ms"], item["ranks"][0]["has_exit"]) for item in found["attempts"]] == [
        (2, 60, True),
        (1, 60, True),
    ]


def test_a_folder_without_attempts_is_a_mistake(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_it_shares_no_code_with_what_it_checks() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert "import scheduler" not in text
    assert "from scheduler" not in text
    assert "operators" not in text.split('"""')[2]
