"""Count GPU time from the supervisors' own records, sharing nothing with the code that meters and bills.

Usage: count_records.py DATA [--attempts]. Reads spec.json and record.jsonl of every attempt under DATA/attempts and
DATA/archive, and nothing else; the standard library alone. Prints one JSON object: GPU-milliseconds per organisation,
project, flavor and tier, and with --attempts every rank's instants. All numbers are exact integers.

running: a rank's GPUs from its start to its end. billed: from the latest start of its gang to the earlier of its own
end and an eviction notice. A rank without an exit ends with the record's last complete line. What is held cannot be
told from here: it begins with the admission, which the operator does not know. An attempt whose record was deleted
counts 0 here; the ledger has it up to what its cluster had vouched for (decision 0006).
Exit status: 0, or 2 when DATA holds no attempts' folder or a spec cannot be read.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDERS = ("attempts", "archive")
NAME = re.compile(r"d-[a-z2-7]+-a[0-9]+")
GROUP_BY = ("org", "project", "flavor", "tier")


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The record's complete lines; one without its newline was torn, and one that is no object is left out."""
    if not path.exists():
        return []
    complete = path.read_bytes().split(b"\n")[:-1]
    found = []
    for row in complete:
        try:
            value = json.loads(row)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def count_attempt(folder: Path) -> dict[str, Any]:
    """One attempt with its ranks; raises ValueError or KeyError for an unreadable spec."""
    assignment = json.loads((folder / "spec.json").read_bytes())["assignment"]
    lines = lines_of(folder / "record.jsonl")
    starts = {line["rank"]: line["at_ms"] for line in reversed(lines) if line["kind"] == "start"}
    exits = {line["rank"]: line["at_ms"] for line in reversed(lines) if line["kind"] == "exit"}
    notice = next((line for line in lines if line["kind"] == "notice"), None)
    evicted = notice["at_ms"] if notice and notice["reason"] == "evict" else None
    last = max((line["at_ms"] for line in lines), default=0)
    # A gang runs from when all of it runs: as long as one rank has not started nothing is billed.
    whole = max(starts.values()) if len(starts) == len(assignment["ranks"]) else None
    ranks = []
    for rank in assignment["ranks"]:
        start = starts.get(rank["rank"])
        end = exits.get(rank["rank"], last) if start is not None else None
        charged_until = end if evicted is None or end is None else min(end, evicted)
        billed = 0 if whole is None or charged_until is None else max(0, charged_until - whole) * rank["gpus"]
        running = 0 if start is None or end is None else (end - start) * rank["gpus"]
        ranks.append(
            {
                "rank": rank["rank"],
                "node": rank["node"],
                "gpus": rank["gpus"],
                "start_ms": start,
                "end_ms": end,
                "has_exit": rank["rank"] in exits,
                "running_gpu_ms": running,
                "billed_gpu_ms": billed,
            }
        )
    gone = next((line["at_ms"] for line in lines if line["kind"] == "gone"), None)
    about = {name: assignment[name] for name in ("job", "attempt", *GROUP_BY)}
    return {**about, "gone_ms": gone, "notice": notice and notice["reason"], "ranks": ranks}


def attempts(data: Path) -> Iterator[dict[str, Any]]:
    """Every attempt with a spec, by folder and name."""
    for place in FOLDERS:
        for folder in sorted((data / place).glob("d-*")):
            if NAME.fullmatch(folder.name) and (folder / "spec.json").exists():
                yield count_attempt(folder)


def totals(counted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums per organisation, project, flavor and tier."""
    sums: dict[tuple[str, ...], dict[str, Any]] = {}
    for attempt in counted:
        key = tuple(attempt[name] for name in GROUP_BY)
        line = sums.setdefault(
            key, dict(zip(GROUP_BY, key, strict=True)) | {"attempts": 0, "running_gpu_ms": 0, "billed_gpu_ms": 0}
        )
        line["attempts"] += 1
        for rank in attempt["ranks"]:
            line["running_gpu_ms"] += rank["running_gpu_ms"]
            line["billed_gpu_ms"] += rank["billed_gpu_ms"]
    return [sums[key] for key in sorted(sums)]


def main(arguments: list[str]) -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description="Count GPU time from the supervisors' own records.")
    parser.add_argument("data", type=Path, help="the data folder of the local operator")
    parser.add_argument("--attempts", action="store_true", help="list every attempt and rank too")
    options = parser.parse_args(arguments)
    if not (options.data / FOLDERS[0]).is_dir():
        print(f"count_records: {options.data} has no folder {FOLDERS[0]!r}; name an operator's data", file=sys.stderr)
        return 2
    try:
        counted = list(attempts(options.data))
    except (ValueError, KeyError, OSError) as error:
        print(f"count_records: a spec or record cannot be read: {error!r}", file=sys.stderr)
        return 2
    result: dict[str, Any] = {"totals": totals(counted)}
    if options.attempts:
        result["attempts"] = counted
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
