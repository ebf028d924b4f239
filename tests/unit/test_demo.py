"""What the demo claims to have seen: a resume that repeats a step, a wrong bill, a forged file or a name is found."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from scripts.demo_parts import leftovers, lending, papers
from scripts.demo_parts.cast import BORROWER, ORGS
from scripts.demo_parts.cli import Cli, DemoFailed
from tests.support.source import ROOT

SLEEP = "import time; time.sleep(120)"
STARTED = "start step=0 of 60 actors=4 ray_nodes=2\n"
LOGS = {
    "nothing yet": ("", 0, 0),
    "nothing new": ("", 12, 12),
    "begun": (STARTED, 0, 0),
    "resumed and begun": ("start step=17 of 60 actors=4 ray_nodes=2\n", 17, 17),
    "two epochs of 60 / 6 steps": (STARTED + "epoch=1 loss=1.0 a\nepoch=2 loss=0.9 a\n", 0, 20),
    "stopped in the third": (STARTED + "epoch=2 loss=1.0 a\nstopped step=23, checkpoint saved\n", 0, 23),
    "stopped as an epoch ended": (STARTED + "epoch=2 loss=1.0 a\nstopped step=20, checkpoint saved\n", 0, 20),
}


@pytest.mark.parametrize(("log", "before", "saved"), LOGS.values(), ids=LOGS.keys())
def test_the_last_saved_step(log: str, before: int, saved: int) -> None:
    assert lending.saved_step(log, before) == saved


class FakeCli:
    """Answers as ``dure`` would of one job of two GPUs a node."""

    def __init__(self, *logs: str) -> None:
        self._logs = logs

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, self._logs[int(arguments[-1]) - 1], "")

    def items(self, *_: str) -> list[dict[str, str]]:
        rows = (("01", "RankStarted", ", rank 0 on local"), ("02", "RankStarted", ", rank 1 on local"))
        told = [*rows, ("05", "Notice", " on local")]
        return [{"at": f"1970-01-01T00:00:{at}Z", "event": kind, "detail": f"attempt 1{end}"} for at, kind, end in told]


def evicted(billed_gpu_ms: int, start_ms: int | None = 2_000) -> dict[str, Any]:
    """The records of an attempt on two nodes, evicted 3 s after all of it had begun, ended 1 s later."""
    about = {"gpus": 2, "end_ms": 6_000, "billed_gpu_ms": billed_gpu_ms}
    ranks = [{"start_ms": 1_000, **about}, {"start_ms": start_ms, **about}]
    return {"attempts": [{"job": "aaaa", "attempt": 1, "notice": "evict", "ranks": ranks}]}


LEFT = STARTED + "epoch=1 loss=1.0 a\nstopped step=14, checkpoint saved\n"
AGAIN = "start step={} of 60 actors=4 ray_nodes=2\n"
RESUMES = {  # 2 ranks x 2 GPUs x 1 s after the notice
    "as it must be": (6_000, 2_000, (LEFT, AGAIN.format(14)), (14, 14, 4_000, True)),
    "a step repeated": (6_000, 2_000, (LEFT, AGAIN.format(10)), (14, 10, 4_000, True)),
    "billed to its end": (8_000, 2_000, (LEFT, AGAIN.format(14)), (14, 14, 4_000, False)),
    "evicted once more before it trained": (6_000, 2_000, (LEFT, "", AGAIN.format(14)), (14, 14, 4_000, True)),
    "never resumed": (6_000, 2_000, (LEFT, ""), (14, None, 4_000, True)),
    "never wholly begun": (0, None, ("", AGAIN.format(0)), (0, 0, 0, True)),
}


@pytest.mark.parametrize(("billed", "start", "logs", "seen"), RESUMES.values(), ids=RESUMES.keys())
def test_a_resume_is_read_from_records(
    billed: int, start: int | None, logs: tuple[str, ...], seen: tuple[int, int | None, int, bool]
) -> None:
    people = {BORROWER.org: cast(Cli, FakeCli(*logs))}
    about = {"id": "aaaa", "name": BORROWER.name, "org": BORROWER.org, "gpus_per_node": 2}
    (found,) = lending.resumes(people, [about | {"attempt": len(logs)}], evicted(billed, start))
    assert (found.saved_step, found.resumed_at_step, found.unbilled_gpu_ms, found.billed_to_notice) == seen
    broken = [row["broken"] for row in lending.rows([found], 30.1)]
    assert broken == [1, int(seen[0] != seen[1]), int(not seen[3])]


def test_without_a_resume_the_demo_fails() -> None:
    with pytest.raises(DemoFailed, match="never evicted"):
        lending.resumes({}, [], {"attempts": []})


def paper(out: Path, product_won: int) -> None:
    """An exported invoice with one line, and SHA256SUMS."""
    for folder in papers.INVOICES.values():
        (out / folder).mkdir(exist_ok=True)
        text = f"row,organisation,project,flavor,tier,product_won\nline,o,p,h100-80g,borrow,{product_won}\n"
        (out / folder / "1.csv").write_text(text, encoding="utf-8")
        (out / folder / "1.pdf").write_bytes(b"%PDF-1.7")
        sums = (
            f"{hashlib.sha256((out / folder / name).read_bytes()).hexdigest()}  {name}" for name in ("1.csv", "1.pdf")
        )
        (out / folder / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")


# 9,000 GPU-ms x 2,900,000 won an hour x 0.4 = 2,900 won
@pytest.mark.parametrize(("product_won", "wrong"), [(2_900, 0), (2_899, 0), (2_902, 1), (7_250, 1)])
def test_a_line_must_cost_what_the_supervisors_saw(tmp_path: Path, product_won: int, wrong: int) -> None:
    paper(tmp_path, product_won)
    total = {"org": "o", "project": "p", "flavor": "h100-80g", "tier": "borrow", "billed_gpu_ms": 9_000}
    assert papers.lines_broken(tmp_path, {"totals": [total]}) == (1, wrong)
    assert papers.lines_broken(tmp_path, {"totals": [total, total | {"org": "unbilled"}]}) == (2, wrong + 1)


def test_a_file_that_was_changed_after_its_export_is_found(tmp_path: Path) -> None:
    paper(tmp_path, 1)
    assert papers.sums_broken(tmp_path) == (4, 0)
    (tmp_path / "invoices" / "en" / "1.csv").write_text("", encoding="utf-8")
    assert papers.sums_broken(tmp_path) == (4, 1)


def test_a_name_in_the_public_report_is_found(tmp_path: Path) -> None:
    for shape in papers.SHAPES:
        (tmp_path / f"fairness-public.{shape}").write_text("sme", encoding="utf-8")
    assert papers.names_in_public(tmp_path) == 0
    (tmp_path / "fairness-public.csv").write_text(f"sme,{ORGS[2].name}", encoding="utf-8")
    assert papers.names_in_public(tmp_path) == 1


def test_a_run_that_was_killed_is_ended_by_the_next_and_no_other_is(tmp_path: Path) -> None:
    out, other = tmp_path / "demo-out", tmp_path / "demo-out-2"
    (out / "data").mkdir(parents=True)
    words = {
        "up": ("up", "--data", str(out / "data")),
        "prometheus": (f"--config.file={out}/prometheus/prometheus.yml",),
        "another up": ("up", "--data", str(other / "data")),
        "an editor": (str(out / "data"),),
    }
    started = {name: subprocess.Popen([sys.executable, "-c", SLEEP, *rest]) for name, rest in words.items()}
    try:
        leftovers.clear(out)
        assert list(out.iterdir()) == []
        assert [started[name].wait(10) for name in ("up", "prometheus")] == [-9, -9]
        assert [started[name].poll() for name in ("another up", "an editor")] == [None, None]
    finally:
        for process in started.values():
            process.kill()
            process.wait(10)


def test_two_runs_at_once_are_refused_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    program = tmp_path / "demo.py"
    program.touch()
    imports = "from pathlib import Path; from scripts.demo_parts.leftovers import only_run"
    hold = f"{imports}\nwith only_run(Path({str(program)!r})):\n print(flush=True); {SLEEP}"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with pytest.raises(DemoFailed, match="another run"), leftovers.only_run(program):
            pass
        first.kill()
        first.wait(10)
    with leftovers.only_run(program):
        pass
