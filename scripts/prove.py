"""Random failures against the real thing, longer than the tests: ``make prove`` or ``prove.py [NAME...] [--seed N]``.

control-plane: ``dure up`` (control plane and operator) is killed with SIGKILL at 20 random moments of a demo-like run
and started again; jobs must live on: every one ends in its first attempt, none runs twice, none is lost.
whole-tree: everything is killed with SIGKILL ten times, supervisors and Ray included; every job must end, if need be
in a later attempt. After both: no node ever ran more GPUs than it has, and the ledger equals the supervisors' records.
Writes prove-out/results.json. Exit status 0 when everything held, 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.demo_parts import report
from scripts.demo_parts.cast import POLICY
from scripts.demo_parts.cli import Cli, DemoFailed
from scripts.demo_parts.servers import Up
from scripts.demo_parts.watch import ENDED

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "prove-out"
ORG = "prover"
PROJECT = f"{ORG}/digits"
JOBS = 14
CONTROL_PLANE_KILLS, TREE_KILLS = 20, 10
ROUND_SECONDS_MAX = 900
SHAPES = (("h100:1", 1), ("h100:1", 2), ("a100:2", 1), ("a100:1", 2))


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def tree_of(data: Path) -> list[int]:
    """Every process that belongs to this folder's attempts: sessions whose leader is a supervisor of it."""
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
    return [pid for leader in leaders for pid in sessions[leader]]


def kill_control_plane(up: Up) -> None:
    """SIGKILL to ``dure up`` alone."""
    up.kill()


def kill_tree(up: Up) -> None:
    """SIGKILL to ``dure up`` and to every supervisor, Ray process and rank."""
    up.kill()
    end_tree(up.data)


def end_tree(data: Path) -> None:
    """SIGKILL to everything that belongs to this folder's attempts; what ended meanwhile is no error."""
    for pid in tree_of(data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def submit_all(admin: Cli) -> list[str]:
    """Register one organisation and queue the jobs."""
    admin.run("org", "create", ORG, "--class", "sme")
    admin.run("project", "create", PROJECT)
    ids = []
    for number in range(JOBS):
        gpus, nodes = SHAPES[number % len(SHAPES)]
        place = ["--project", PROJECT, "--name", f"job-{number}", "--gpus", gpus, "--nodes", str(nodes), "-o", "id"]
        script = ["--", "python", "train_digits.py", "--epochs", "4", "--min-seconds", "25"]
        options = ["--entrypoint", "ray", "--workdir", str(ROOT / "examples"), "--time", "10m", "--yes"]
        ids.append(admin.run("submit", *place, *options, *script).strip())
    return ids


def jobs_of(admin: Cli, ids: list[str]) -> list[dict[str, Any]]:
    """The jobs as the server has them; empty while it does not answer."""
    try:
        return [job for job in admin.items("queue", "--all") if job["id"] in set(ids)]
    except DemoFailed:
        return []


def prove(name: str, kills: int, kill: Callable[[Up], None], chance: random.Random) -> dict[str, Any]:
    """One round: run, kill at random moments, wait for the end, count."""
    folder = OUT / name
    folder.mkdir(parents=True)
    policy = folder / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    up = Up(folder / "data", policy, folder / "dure-up.log")
    deadline = time.monotonic() + ROUND_SECONDS_MAX
    done = 0
    try:
        up.start()
        admin = Cli(up.url, up.admin_token, folder / "config")
        ids = submit_all(admin)
        say(f"{name}: {len(ids)} jobs queued")
        while done < kills:
            time.sleep(chance.uniform(0.2, 6.0 if kill is kill_control_plane else 25.0))
            kill(up)
            done += 1
            up.start()
            states = [job["state"] for job in jobs_of(admin, ids)]
            say(f"{name}: kill {done} of {kills}; {sum(state in ENDED for state in states)} of {len(ids)} ended")
        jobs = jobs_of(admin, ids)
        while sum(job["state"] in ENDED for job in jobs) < len(ids):
            if time.monotonic() > deadline:
                raise DemoFailed(f"{name}: the jobs did not end in {ROUND_SECONDS_MAX} s")
            time.sleep(2)
            jobs = jobs_of(admin, ids)
        admin.run("period", "close", "--yes", "--wait-timeout", "2m")
        usage = admin.items("usage")
        verified = {
            row["number"]: admin.call("invoice", "verify", row["number"]).returncode == 0
            for row in admin.items("invoice", "list")
        }
    finally:
        up.stop()
        end_tree(up.data)
    return judged(name, done, ids, jobs, usage, verified, up.data)


def judged(  # what one round has seen
    name: str,
    kills: int,
    ids: list[str],
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
    lost = len(ids) - len(jobs)
    checks.append({"name": "no job was lost", "checked": len(ids), "broken": lost})
    unsuccessful = [job["id"] for job in jobs if job["state"] != "Succeeded"]
    checks.append({"name": "every job succeeded in the end", "checked": len(jobs), "broken": len(unsuccessful)})
    if name == "control-plane":
        checks.append({"name": "every job lived on in its first attempt", "checked": len(jobs), "broken": again})
    return {"round": name, "kills": kills, "jobs_run_again": again, "gpu_seconds": seconds, "invariants": checks}


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
