"""What a round has shown: every promise with how often it was checked and how often it was broken."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from scripts.count_records import lines_of
from scripts.demo_parts import report
from scripts.demo_parts.leftovers import supervisors_of
from scripts.prove_parts.crowd import RAN

Row = dict[str, Any]


class Kill(NamedTuple):
    """One kill: ``early`` ones fell in the first seconds of a start; ranks: how many ran at that moment."""

    early: bool
    ranks: int


class Round(NamedTuple):
    """All that is known of one round when it is over. expected: state by job; verified: invoices."""

    name: str
    kills: list[Kill]
    expected: dict[str, str]
    jobs: list[Row]
    usage: list[Row]
    verified: dict[str, bool]


def running_ranks(data: Path) -> int:
    """Ranks of this folder's attempts that run now: started, not ended, and with a living supervisor."""
    ranks = 0
    for folder in supervisors_of(data).values():
        lines = lines_of(folder / "record.jsonl")
        started = {line["rank"] for line in lines if line["kind"] == "start"}
        ranks += len(started - {line["rank"] for line in lines if line["kind"] == "exit"})
    return ranks


def begun_twice(records: dict[str, Any], data: Path) -> list[str]:
    """Attempts whose own file says otherwise than that they began once; ``ran`` holds a line for each beginning.

    One that was killed in the instant of its start may have no line; one that ended by itself must have it.
    """
    broken = []
    for attempt in records["attempts"]:
        parts = (attempt["org"], attempt["project"], attempt["job"])
        file = data.joinpath("checkpoints", *parts, RAN)
        begun = Counter(file.read_text(encoding="utf-8").split() if file.exists() else ())[str(attempt["attempt"])]
        ended = any(rank["has_exit"] for rank in attempt["ranks"])
        if begun > 1 or (ended and begun == 0):
            broken.append(f"{attempt['job']}-a{attempt['attempt']}")
    return broken


def judged(seen: Round, data: Path) -> dict[str, Any]:
    """Compare the promises with the supervisors' records."""
    records = report.records_of(data)
    seconds = report.gpu_seconds(records, seen.usage)
    checks = report.invariants(records, seen.jobs, seconds, seen.verified)

    def check(name: str, checked: int, broken: int) -> None:
        checks.append({"name": name, "checked": checked, "broken": broken})

    late = [kill.ranks for kill in seen.kills if not kill.early]
    wrong = [job["id"] for job in seen.jobs if job["state"] != seen.expected[job["id"]]]
    twice = begun_twice(records, data)
    evicted = Counter(row["job"] for row in records["attempts"] if row["notice"] == "evict")
    again = sum(job["attempt"] > 1 + evicted[job["id"]] for job in seen.jobs)
    check("every kill outside a start fell while ranks ran", len(late), late.count(0))
    check("no job was lost", len(seen.expected), len(seen.expected) - len(seen.jobs))
    check("every job ended as it should", len(seen.jobs), len(wrong))
    check("every attempt began once, by its own word", len(records["attempts"]), len(twice))
    if seen.name == "control-plane":
        check("every attempt lived on, unless it was evicted", len(seen.jobs), again)
    hit = {"ranks_hit": late, "kills_during_a_start": len(seen.kills) - len(late), "jobs_run_again": again}
    return {"round": seen.name, **hit, "wrong": wrong, "twice": twice, "gpu_seconds": seconds, "invariants": checks}


def written(results: list[dict[str, Any]], path: Path) -> list[str]:
    """Write the results; returns a line for each promise."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return [
        f"{'FAIL' if row['broken'] else 'ok  '} {result['round']}: {row['name']}"
        f" ({row['checked']} checked, {row['broken']} broken)"
        for result in results
        for row in result["invariants"]
    ]
