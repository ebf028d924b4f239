"""Measure what docs/performance.md promises: every part of bench/ that can measure, printed and written as JSON.

Usage: bench.py [PART ...]; without names all parts run. Writes bench-out/results.json. Exit status 0 when it has
measured, whether or not the goals were kept (the machine may be busy); 2 when there is no such part.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench-out"


def parts() -> dict[str, Any]:
    """The modules of bench/ that have something to measure, by name."""
    sys.path.insert(0, str(ROOT))
    names = sorted(path.stem for path in (ROOT / "bench").glob("*.py") if path.stem != "__init__")
    modules = {name: importlib.import_module(f"bench.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "measure")}


def commit() -> str:
    """The commit that is measured, with ``+changes`` when the working tree differs from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or "unknown"


def circumstances() -> dict[str, Any]:
    """Where and with what it was measured: a figure without them cannot be compared."""
    return {
        "commit": commit(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), "dure": metadata.version("dure")},
    }


def run(chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure part by part, a line each."""
    for part, module in chosen.items():
        for item in module.measure():
            verdict = {None: "", True: "met", False: "MISSED"}[item.met]
            goal = "" if item.goal is None else f"goal {item.goal:g}"
            name = f"{part}/{item.id}"
            numbers = f"median {item.value:8.2f}  min {item.smallest:8.2f}  cpu {item.processor:8.2f} {item.unit}"
            print(f"{name:<26} {numbers}  {goal:<8} {verdict:<6} {item.what}", flush=True)
            yield {
                "id": name,
                "value": item.value,
                "min": item.smallest,
                "cpu": item.processor,
                "rounds": item.rounds,
                "unit": item.unit,
                "goal": item.goal,
                "met": item.met,
                "what": item.what,
            }


def main(names: Sequence[str]) -> int:
    """Run the named parts (all when none is named) and write the results."""
    known = parts()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"bench: no part {', '.join(unknown)}; choose from: {', '.join(known)}", file=sys.stderr)
        return 2
    before = circumstances()
    print(f"commit {before['commit']}, load average {before['load_average']}, Python {platform.python_version()}")
    if before["load_average"][0] > (before["cores"] or 1) / 2:
        print("the machine is busy: medians say more about the others than about Dure; look at cpu and min")
    results = list(run({name: known[name] for name in names or known}))
    OUT.mkdir(exist_ok=True)
    text = json.dumps({**before, "load_average_after": circumstances()["load_average"], "results": results}, indent=1)
    (OUT / "results.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
