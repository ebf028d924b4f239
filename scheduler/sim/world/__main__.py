"""Run worlds from the command line: ``python -m scheduler.sim.world --seeds 0-99``.

Exit 0: every world was sound; 1: one was not, and the command that repeats it is printed; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from scheduler.sim.world.world import JOBS_DEFAULT, STEPS_MAX, run

SEEDS_MAX = 100_000
JOBS_MAX = 10_000


def seeds_of(text: str) -> range:
    """``7`` or ``0-99`` as a range of seeds; raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
    if match is None:
        raise ValueError(f"not a seed or a range such as 0-99: {text}")
    first = int(match[1])
    last = int(match[2] or first)
    if not 0 <= last - first < SEEDS_MAX:
        raise ValueError(f"from 1 to {SEEDS_MAX} seeds at once: {text}")
    return range(first, last + 1)


def main(arguments: Sequence[str]) -> int:
    """Run the worlds that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.sim.world", description="The deterministic world.")
    parser.add_argument("--seed", "--seeds", dest="seeds", default="0-9", help="a seed, or a range such as 0-99")
    parser.add_argument("--jobs", type=int, default=JOBS_DEFAULT, help="submissions of each world")
    parser.add_argument("--steps-max", type=int, default=STEPS_MAX, help="bound on what happens in a busy time")
    parser.add_argument("--minutes", type=int, help="busy time, instead of the seed's own")
    parser.add_argument("--trace", action="store_true", help="print what happened, line by line")
    options = parser.parse_args(arguments)
    try:
        seeds = seeds_of(options.seeds)
    except ValueError as error:
        parser.error(str(error))
    if not 0 < options.jobs <= JOBS_MAX:
        parser.error(f"a world has 1 to {JOBS_MAX} jobs: {options.jobs}")
    until_ms = None if options.minutes is None else options.minutes * 60_000
    broken = []
    for seed in seeds:
        report = run(seed, until_ms, jobs=options.jobs, steps_max=options.steps_max)
        if options.trace:
            print("\n".join(report.trace))
        print(report.text(), flush=True)
        if report.findings:
            broken.append(report)
    print(f"{len(seeds)} worlds, {len(broken)} with findings")
    for report in broken:
        print(f"replay: {report.replay}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
