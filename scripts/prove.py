"""Random failures against the real thing, longer than the tests: ``make prove`` or ``prove.py [NAME...] [--seed N]``.

control-plane: ``dure up`` (control plane and operator) is killed with SIGKILL at 20 random moments of a demo-like run
and started again; jobs must live on: every one ends in its first attempt, none runs twice, none is lost.
whole-tree: everything is killed with SIGKILL ten times, supervisors and Ray included; every job must end, if need be
in a later attempt. Jobs are added so that every kill falls while some run and some wait. After both: no node ever ran
more GPUs than it has, and the ledger equals the supervisors' records.
Writes prove-out/results.json. Exit status 0 when everything held, 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scripts.demo_parts import report
from scripts.demo_parts.cast import POLICY
from scripts.demo_parts.cli import Cli, DemoFailed
from scripts.demo_parts.servers import Up
from scripts.demo_parts.watch import ENDED

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "prove-out"
ORG = "prover"
PROJECT = f"{ORG}/digits"
JOBS_MIN, JOBS_MAX = 14, 80
UNENDED_MIN = 10
"""More jobs than the eight GPUs take at once."""
CONTROL_PLANE_KILLS, TREE_KILLS = 20, 10
ROUND_SECONDS_MAX = 900
SHAPES = (("h100:1", 1), ("h100:1", 2), ("a100:2", 1), ("a100:1", 2))


class Killed(NamedTuple):
    """The jobs of a round, and how many attempts ran at the moment of each kill."""

    ids: list[str]
    running: list[int]


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def tree_of(data: Path) -> dict[int, list[int]]:
    """The processes of this folder's attempts, by the supervisor that leads their session."""
    leaders = set()
    sessions: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            session = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[3])
        except (OSError, IndexError, ValueError):
            continue
        sessions.setdefault(session, []).append(int(entry.name))
        if "operators.local.supervisor" in command and str(data) in command:
            leaders.add(session)
    return {leader: sessions[leader] for leader in leaders}


def kill_control_plane(up: Up) -> None:
    """SIGKILL to ``dure up`` alone."""
    up.kill()


def kill_tree(up: Up) -> None:
    """SIGKILL to ``dure up`` and to every supervisor, Ray process and rank."""
    up.kill()
    end_tree(up.data)


def end_tree(data: Path) -> None:
    """SIGKILL to everything that belongs to this folder's attempts; what ended meanwhile is no error."""
    for pid in itertools.chain.from_iterable(tree_of(data).values()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def submit(admin: Cli, ids: list[str], count: int) -> None:
    """Queue more jobs, at most JOBS_MAX in all."""
    for number in range(len(ids), min(len(ids) + count, JOBS_MAX)):
        gpus, nodes = SHAPES[number % len(SHAPES)]
        place = ["--project", PROJECT, "--name", f"job-{number}", "--gpus", gpus, "--nodes", str(nodes), "-o", "id"]
        script = ["--", "python", "train_digits.py", "--epochs", "4", "--min-seconds", "25"]
        options = ["--entrypoint", "ray", "--workdir", str(ROOT / "examples"), "--time", "10m", "--yes"]
        ids.append(admin.run("submit", *place, *options, *script).strip())


def jobs_of(admin: Cli, ids: list[str]) -> list[dict[str, Any]]:
    """The jobs as the server has them; empty while it does not answer."""
    try:
        return [job for job in admin.items("queue", "--all") if job["id"] in set(ids)]
    except DemoFailed:
        return []


def kill_all(name: str, up: Up, admin: Cli, kills: int, kill: Callable[[Up], None], chance: random.Random) -> Killed:
    """Kill and start again at random moments, with jobs added while there are too few; returns what was hit."""
    ids: list[str] = []
    submit(admin, ids, JOBS_MIN)
    running: list[int] = []
    while len(running) < kills:
        time.sleep(chance.uniform(0.2, 6.0 if kill is kill_control_plane else 25.0))
        running.append(len(tree_of(up.data)))
        kill(up)
        up.start()
        ended = sum(job["state"] in ENDED for job in jobs_of(admin, ids))
        say(f"{name}: kill {len(running)} of {kills} hit {running[-1]} attempts; {ended} of {len(ids)} jobs have ended")
        submit(admin, ids, max(0, UNENDED_MIN - (len(ids) - ended)))
    return Killed(ids, running)


def until_ended(name: str, admin: Cli, ids: list[str]) -> list[dict[str, Any]]:
    """Wait for the end of all jobs; returns them."""
    deadline = time.monotonic() + ROUND_SECONDS_MAX
    jobs = jobs_of(admin, ids)
    while sum(job["state"] in ENDED for job in jobs) < len(ids):
        if time.monotonic() > deadline:
            raise DemoFailed(f"{name}: the jobs did not end in {ROUND_SECONDS_MAX} s")
        time.sleep(2)
        jobs = jobs_of(admin, ids)
    return jobs


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
        admin.run("org", "create", ORG, "--class", "sme")
        admin.run("project", "create", PROJECT)
        killed = kill_all(name, up, admin, kills, kill, chance)
        jobs = until_ended(name, admin, killed.ids)
        admin.run("period", "close", "--yes", "--wait-timeout", "2m")
        usage = admin.items("usage")
        verified = {
            row["number"]: admin.call("invoice", "verify", row["number"]).returncode == 0
            for row in admin.items("invoice", "list")
        }
    finally:
        up.stop()
        end_tree(up.data)
    return judged(name, killed, jobs, usage, verified, up.data)


def judged(  # what one round has seen
    name: str,
    killed: Killed,
    jobs: list[dict[str, Any]],
    usage: list[dict[str, Any]],
    verified: dict[str, bool],
    data: Path,
) -> dict[str, Any]:
    """Compare the promises with the supervisors' records."""
    records = report.records_of(data)
    seconds = report.gpu_seconds(records, usage)
    checks = report.invariants(records, jobs, seconds, verified)
    again = sum(job["attempt"] > 1 for job in jobs)
    lost, idle = len(killed.ids) - len(jobs), killed.running.count(0)
    checks.append({"name": "every kill fell while jobs ran", "checked": len(killed.running), "broken": idle})
    checks.append({"name": "no job was lost", "checked": len(killed.ids), "broken": lost})
    unsuccessful = [job["id"] for job in jobs if job["state"] != "Succeeded"]
    checks.append({"name": "every job succeeded in the end", "checked": len(jobs), "broken": len(unsuccessful)})
    if name == "control-plane":
        checks.append({"name": "every job lived on in its first attempt", "checked": len(jobs), "broken": again})
    hit = {"attempts_hit": killed.running, "jobs_run_again": again}
    return {"round": name, **hit, "gpu_seconds": seconds, "invariants": checks}


def main(arguments: list[str]) -> int:
    """Run the rounds asked for and write the results."""
    rounds = {"control-plane": (CONTROL_PLANE_KILLS, kill_control_plane), "whole-tree": (TREE_KILLS, kill_tree)}
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
    (OUT / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for result in results:
        for row in result["invariants"]:
            verdict = "FAIL" if row["broken"] else "ok  "
            say(f"{verdict} {result['round']}: {row['name']} ({row['checked']} checked, {row['broken']} broken)")
    return 1 if any(row["broken"] for result in results for row in result["invariants"]) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
