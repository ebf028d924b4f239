"""What the demo proves: figures from independent sources side by side, and the promises that were checked."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from scripts.demo_parts.cast import FLAVORS
from scripts.demo_parts.cli import DemoFailed
from scripts.demo_parts.watch import ENDED

MS_PER_SECOND = 1_000
MILLI_GPU_MS_PER_GPU_MS = 1_000
COUNTER = Path(__file__).parent.parent / "count_records.py"


def records_of(data: Path) -> dict[str, Any]:
    """The supervisors' records, counted by a program that shares nothing with the settler."""
    command = [sys.executable, str(COUNTER), str(data), "--attempts"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise DemoFailed(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def gpu_seconds(records: dict[str, Any], usage: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Billed GPU-seconds of each organisation from the supervisors' records and from the ledger."""
    seen: Counter[str] = Counter()
    for row in records["totals"]:
        seen[row["org"]] += row["billed_gpu_ms"]
    booked: Counter[str] = Counter()
    for line in usage:
        booked[line["org"]] += line["billed_milli_gpu_ms"]
    return [
        {
            "org": org,
            "records_gpu_seconds": seen[org] / MS_PER_SECOND,
            "ledger_gpu_seconds": booked[org] / MILLI_GPU_MS_PER_GPU_MS / MS_PER_SECOND,
            "equal": seen[org] * MILLI_GPU_MS_PER_GPU_MS == booked[org],
        }
        for org in sorted(seen.keys() | booked.keys())
    ]


def most_at_once(records: dict[str, Any]) -> dict[str, int]:
    """The most GPUs that ran at the same moment, by node, from the supervisors' records."""
    changes: dict[str, list[tuple[int, int]]] = {}
    for attempt in records["attempts"]:
        for rank in attempt["ranks"]:
            if rank["start_ms"] is not None:
                changes.setdefault(rank["node"], []).append((rank["start_ms"], rank["gpus"]))
                changes[rank["node"]].append((rank["end_ms"], -rank["gpus"]))
    peaks = {}
    for node, events in changes.items():
        running = peak = 0
        for _, change in sorted(events):
            running += change
            peak = max(peak, running)
        peaks[node] = peak
    return peaks


def run_twice(records: dict[str, Any]) -> list[str]:
    """Jobs of which two attempts ran at the same moment."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for attempt in records["attempts"]:
        starts = [rank["start_ms"] for rank in attempt["ranks"] if rank["start_ms"] is not None]
        ends = [rank["end_ms"] for rank in attempt["ranks"] if rank["end_ms"] is not None]
        if starts and ends:
            spans.setdefault(attempt["job"], []).append((min(starts), max(ends)))
    doubled = []
    for job, found in spans.items():
        found.sort()
        if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(found)):
            doubled.append(job)
    return doubled


def invariants(
    records: dict[str, Any], jobs: list[dict[str, Any]], seconds: list[dict[str, Any]], verified: dict[str, bool]
) -> list[dict[str, Any]]:
    """Each promise with how often it was checked and how often it was broken."""
    peaks = most_at_once(records)
    room = {flavor: int(shape.split("x")[1]) for flavor, shape in FLAVORS.items()}
    over = [node for node, peak in peaks.items() if peak > room[node.rsplit("-", 1)[0]]]
    ended = [job for job in jobs if job["state"] in ENDED]
    return [
        {"name": "no node runs more GPUs than it has", "checked": len(peaks), "broken": len(over)},
        {"name": "every job reached one final state", "checked": len(jobs), "broken": len(jobs) - len(ended)},
        {
            "name": "no job ran twice at once",
            "checked": len({attempt["job"] for attempt in records["attempts"]}),
            "broken": len(run_twice(records)),
        },
        {
            "name": "GPU-seconds of an organisation: supervisors' records = ledger",
            "checked": len(seconds),
            "broken": sum(not row["equal"] for row in seconds),
        },
        {"name": "every invoice verifies", "checked": len(verified), "broken": sum(not ok for ok in verified.values())},
    ]


def files_of(folder: Path) -> list[dict[str, Any]]:
    """The demo's own output files with their SHA-256."""
    return [
        {
            "path": str(path.relative_to(folder)),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0].startswith(("invoices", "fairness"))
    ]
