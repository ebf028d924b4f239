"""Random failures against the real thing, longer than the tests: ``make prove`` or ``prove.py [NAME...] [--seed N]``.

control-plane: ``dure up`` (control plane and operator) is killed with SIGKILL at 20 random moments of a demo-like run
and started again; jobs must live on: no attempt ends but by itself or by an eviction, none runs twice, none is lost.
whole-tree: everything is killed with SIGKILL ten times, supervisors and Ray included; every job must end, if need be
in a later attempt. Every third kill falls 0.1 to 3 s after the start, in the middle of it or of what it repairs; the
others fall while ranks run. The jobs are of six organisations and of different lengths; one fails by itself, one is
cancelled. After both: no node ever ran more GPUs than it has, and the ledger equals the supervisors' records.
Writes prove-out/results.json. Exit status 0 when everything held, 1 otherwise.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.demo_parts.cast import POLICY
from scripts.demo_parts.cli import Cli, DemoFailed
from scripts.demo_parts.leftovers import end_tree, kill_tree
from scripts.demo_parts.servers import Up
from scripts.prove_parts.crowd import Crowd
from scripts.prove_parts.judge import Kill, Round, judged, running_ranks, written

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "prove-out"
CONTROL_PLANE_KILLS, TREE_KILLS = 20, 10
CALM_SECONDS = {"control-plane": 6.0, "whole-tree": 25.0}
"""The longest time between a start and the next kill."""
EARLY_EVERY = 3
EARLY_SECONDS = (0.1, 3.0)
RUNNING_SECONDS_MAX = 90
ROUND_SECONDS_MAX = 900


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def kill_control_plane(up: Up) -> None:
    """SIGKILL to ``dure up`` alone."""
    up.kill()


def kill_everything(up: Up) -> None:
    """SIGKILL to ``dure up`` and to every supervisor, Ray process and rank."""
    up.kill()
    kill_tree(up.data)


def until_running(data: Path) -> int:
    """Wait until ranks run; returns how many, 0 when none does within RUNNING_SECONDS_MAX."""
    deadline = time.monotonic() + RUNNING_SECONDS_MAX
    while not (ranks := running_ranks(data)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return ranks


def kill_all(
    name: str, up: Up, crowd: Crowd, kills: int, kill: Callable[[Up], None], chance: random.Random
) -> list[Kill]:
    """Kill and start again at random moments, with jobs added while there are too few; returns what was hit."""
    done: list[Kill] = []
    while len(done) < kills:
        time.sleep(chance.uniform(0.2, CALM_SECONDS[name]))
        done.append(Kill(early=False, ranks=until_running(up.data)))
        kill(up)
        if len(done) % EARLY_EVERY == EARLY_EVERY - 1 and len(done) < kills:
            up.spawn()
            time.sleep(chance.uniform(*EARLY_SECONDS))
            done.append(Kill(early=True, ranks=running_ranks(up.data)))
            kill(up)
        up.start()
        last = f"hit {'a start' if done[-1].early else 'calm water'} with {done[-1].ranks} running ranks"
        say(f"{name}: kill {len(done)} of {kills} {last}; {crowd.ended()} of {len(crowd.expected)} jobs have ended")
        if len(done) >= kills // 2:
            crowd.cancel_one()
        crowd.top_up()
    return done


def until_ended(name: str, crowd: Crowd) -> list[dict[str, Any]]:
    """Wait for the end of all jobs; returns them."""
    deadline = time.monotonic() + ROUND_SECONDS_MAX
    while crowd.ended() < len(crowd.expected):
        if time.monotonic() > deadline:
            raise DemoFailed(f"{name}: the jobs did not end in {ROUND_SECONDS_MAX} s")
        time.sleep(2)
    return crowd.jobs()


def prove(name: str, kills: int, kill: Callable[[Up], None], chance: random.Random) -> dict[str, Any]:
    """One round: run, kill at random moments, wait for the end, count."""
    folder = OUT / name
    folder.mkdir(parents=True)
    policy = folder / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    up = Up(folder / "data", policy, folder / "dure-up.log")
    try:
        up.start()
        admin = Cli(up.url, up.admin_token, folder / "config")
        crowd = Crowd(admin)
        crowd.register()
        crowd.top_up()
        done = kill_all(name, up, crowd, kills, kill, chance)
        jobs = until_ended(name, crowd)
        admin.run("period", "close", "--yes", "--wait-timeout", "2m")
        usage = admin.items("usage")
        verified = {
            row["number"]: admin.call("invoice", "verify", row["number"]).returncode == 0
            for row in admin.items("invoice", "list")
        }
    finally:
        up.stop()
        end_tree(up.data)
    return judged(Round(name, done, crowd.expected, jobs, usage, verified), up.data)


def main(arguments: list[str]) -> int:
    """Run the rounds asked for and write the results."""
    rounds = {"control-plane": (CONTROL_PLANE_KILLS, kill_control_plane), "whole-tree": (TREE_KILLS, kill_everything)}
    parser = argparse.ArgumentParser(description="Random failures against the real thing.")
    parser.add_argument("rounds", nargs="*", metavar="NAME", help=", ".join(rounds))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chosen = options.rounds or list(rounds)
    if unknown := [name for name in chosen if name not in rounds]:
        parser.error(f"no round named {unknown[0]}; there are {', '.join(rounds)}")
    shutil.rmtree(OUT, ignore_errors=True)
    say(f"seed {options.seed}")
    try:
        results = [prove(name, *rounds[name], random.Random(f"{options.seed}/{name}")) for name in chosen]
    except DemoFailed as error:
        print(f"prove: {error}", file=sys.stderr)
        return 1
    for line in written(results, OUT / "results.json"):
        say(line)
    return 1 if any(row["broken"] for result in results for row in result["invariants"]) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
