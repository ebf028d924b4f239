"""Many deterministic worlds with evictions: ``make prove`` or ``prove_worlds.py [--worlds N] [--first N] [--jobs N]``.

Every decision in every world is held against all checkers (S1-S3, S5, S9, S12, S13, S15 and the rules), and every world
against what people were promised and what the machines did: docs/world.md. A property says nothing about a world in
which its premise never held, so the share of worlds in which it did is counted, and must be a fifth.
Writes prove-out/worlds.json. Exit status 0 when nothing was found and every premise held often enough, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from scheduler.sim.world import WorldReport, run

OUT = Path(__file__).resolve().parent.parent / "prove-out" / "worlds.json"
WORLDS, FIRST, JOBS = 2_000, 100_000, 32
SHARE_MIN_PERCENT = 20
TOLD_EVERY = 100
PREMISES = (
    "S1 conservation",
    "S2 gang",
    "S3 guarantee",
    "S5 work conservation",
    "S9 no loops",
    "S12 replay",
    "S13 explained",
    "S15 settled",
    "an eviction",
    "an attempt after an eviction",
)


def world(seed: int, jobs: int) -> WorldReport:
    """One world; its trace is left behind."""
    return run(seed, jobs=jobs)


def main(arguments: list[str]) -> int:
    """Run the worlds on all cores and write what they showed."""
    parser = argparse.ArgumentParser(description="Many deterministic worlds with evictions.")
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--jobs", type=int, default=JOBS, help="submissions of each world")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.worlds)
    started, held, found = time.monotonic(), Counter[str](), []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, report in enumerate(pool.map(world, seeds, [options.jobs] * len(seeds), chunksize=4), 1):
            held.update(name for name, count in report.premises.items() if count)
            if report.findings:
                found.append(report.replay)
                print(f"{report.findings[0]}\n  replay: {report.replay}", flush=True)
            if done % TOLD_EVERY == 0:
                print(f"worlds: {done} of {len(seeds)}, {len(found)} with findings", flush=True)
    shares = {name: held[name] * 100 // max(1, len(seeds)) for name in sorted({*held, *PREMISES})}
    rare = [name for name in PREMISES if shares[name] < SHARE_MIN_PERCENT]
    seconds = round(time.monotonic() - started)
    result = {"worlds": len(seeds), "found": found, "premises_percent": shares, "seconds": seconds}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    said = ", ".join(f"{name} {shares[name]} %" for name in PREMISES)
    print(f"worlds: {len(seeds)} in {seconds} s, {len(found)} with findings; premises: {said}")
    return 1 if found or rare else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
