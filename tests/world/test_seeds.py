"""Fifty seeds of the deterministic world with all checks; and what worlds must have seen to prove anything."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from scheduler.sim.world import WorldReport, run
from scheduler.sim.world.__main__ import main, seeds_of
from tests.support.source import ROOT

SEEDS = range(50)
SHARE_MIN_PERCENT = 20
PREMISES = (
    "S1 conservation",
    "S2 gang",
    "S3 guarantee",
    "S9 no loops",
    "an eviction",
    "an attempt after an eviction",
    "S5 work conservation",
    "S12 replay",
    "S13 explained",
    "S15 settled",
    "a gang of several workers",
    "an attempt of several slices",
    "capacity fell under held",
    "a cancel of an active job",
    "an attempt after a failure",
    "no retry is left",
    "no loss is left",
    "an override has ended",
    "the network was away",
    "the store was away",
)
HAPPENED = (
    "jobs Succeeded",
    "jobs Failed",
    "jobs Cancelled",
    "losses",
    "erased",
    "failures",
    "invoices",
    "trouble deaths",
    "trouble pause",
    "trouble commit_unknown",
    "trouble request_late",
    "trouble request_twice",
    "trouble response_lost",
    "trouble backend_refuses",
    "trouble node_trouble",
    "trouble job_hangs",
    "trouble two_operators",
    "trouble clocks_apart",
)
_reports: dict[int, WorldReport] = {}


@pytest.fixture(scope="module", autouse=True)
def forgotten_afterwards() -> Iterator[None]:
    """Reports are kept for the tests over all seeds, and no longer."""
    yield
    _reports.clear()


@pytest.mark.world
@pytest.mark.parametrize("seed", SEEDS)
def test_a_world_holds_its_invariants(seed: int) -> None:
    report = _reports[seed] = run(seed)
    assert report.findings == (), f"replay: {report.replay}"
    assert report.counts["attempts"] > 0
    assert report.counts["ledger transactions"] > 0


@pytest.mark.world
def test_premises_hold_in_enough_worlds() -> None:
    """A property says nothing about a world in which its premise never held."""
    held: Counter[str] = Counter()
    for seed in SEEDS:
        report = _reports.get(seed) or run(seed)
        held.update(name for name, count in {**report.premises, **report.counts}.items() if count)
    least = len(SEEDS) * SHARE_MIN_PERCENT // 100
    assert {name: held[name] for name in (*PREMISES, *HAPPENED) if held[name] < least} == {}


@pytest.mark.world
def test_a_seed_is_the_same_in_every_process() -> None:
    """Two interpreters with different hash seeds write the same trace, to the byte."""
    command = [sys.executable, "-m", "scheduler.sim.world", "--seed", "6", "--jobs", "24", "--trace"]
    texts = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        texts.add(done.stdout)
    assert len(texts) == 1
    assert "trace: " in texts.pop()


@pytest.mark.world
def test_another_seed_is_another_world() -> None:
    traces = {run(seed, jobs=6).trace_sha256 for seed in range(4)}
    assert len(traces) == 4


@pytest.mark.world
@pytest.mark.slow
def test_a_larger_world() -> None:
    report = run(1_000, jobs=200)
    assert report.findings == (), f"replay: {report.replay}"
    assert report.counts["attempts"] >= 100


@pytest.mark.parametrize(("text", "seeds"), [("7", range(7, 8)), ("0-2", range(3)), ("5-5", range(5, 6))])
def test_ranges_of_seeds(text: str, seeds: range) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "3-1", "-1", "0-100000", "1-2-3"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="seed"):
        seeds_of(text)


def test_the_command_prints_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--jobs", "2", "--minutes", "1"]) == 0
    assert "1 worlds, 0 with findings" in capsys.readouterr().out


def test_the_command_bounds_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--jobs", "2", "--steps-max", "5"]) == 1
    assert "replay: python -m scheduler.sim.world --seed 3 --jobs 2 --steps-max 5 --trace" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--seed", "x"], ["--jobs", "0"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err
