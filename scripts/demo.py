"""The main job end to end on this machine, through the public command line only; writes demo-out/.

Three classes, six organisations, sixteen real training jobs on eight logical GPUs of two flavors: lent GPUs are taken
back for their owner and the borrower resumes from its checkpoint; then more demand than GPUs, gangs of one to four, one
submission refused, one job failing, one cancelled; then the closed period, invoices as PDF, fairness reports, and
demo-out/report.json with what was checked. Killed at any moment, it leaves nothing that the next run does not end.
Exit status: 0 when everything that must hold holds, 1 otherwise with a sentence, 130 when it was stopped.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.demo_parts import lending, papers, report
from scripts.demo_parts.cast import BORROWER, CLAIMANT, GPUS_TOTAL, JOBS, ORGS, POLICY, REFUSED, submission
from scripts.demo_parts.cli import Cli, DemoFailed
from scripts.demo_parts.leftovers import clear, only_run
from scripts.demo_parts.servers import dure_up, prometheus
from scripts.demo_parts.watch import Watch

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo-out"
ACCURACY_MIN = 0.9
REFUSED_EXIT = 7
INTERRUPTED_EXIT = 130
DEMO_SECONDS_MAX = 360
CLEAN_SECONDS_MAX = 60
MS_PER_SECOND = 1_000
PLACES = {
    "invoices/*-ko.pdf": "six invoices in Korean; as JSON and CSV beside them, and SHA256SUMS of all",
    "invoices/en/*-en.pdf": "the same in English",
    "fairness.html": "who was entitled to what and got it, as administrators and auditors see it; also .csv, .json",
    "fairness-public.html": "the same as anybody may see it: nothing about fewer than five organisations",
    "report.json": "every figure that was checked here",
    "policy.yaml": "the policy and the rate card that were in force",
    "dure-up.log": "what the control plane said",
}
"""Inside demo-out, with a word for each."""


def say(text: str = "") -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def headline(text: str) -> None:
    """The start of a chapter."""
    say(f"\n== {text}")


def register(admin: Cli, server: str) -> dict[str, Cli]:
    """Register the organisations with a project and a user each; returns one command line for each organisation."""
    people = {}
    for org in ORGS:
        number = ("--registration-number", org.registration_number) if org.registration_number else ()
        admin.run("org", "create", org.name, "--class", org.class_name, "--title", org.title, *number)
        admin.run("project", "create", org.project)
        admin.run("member", "add", org.user, "--role", "member", "--scope", f"project:{org.project}")
        admin.run("member", "add", org.user, "--role", "org-admin", "--scope", f"org:{org.name}")
        token = admin.json("token", "create", "--user", org.user)["secret"]
        people[org.name] = Cli(server, token, OUT / "config" / org.name)
        say(f"  {org.name:<16} {org.class_name:<11} project {org.project}, user {org.user}")
    return people


def submit_crowd(people: dict[str, Cli]) -> dict[str, str]:
    """Submit the other jobs and the one that is refused; returns job id by name."""
    ids = {}
    for job in (job for job in JOBS if job not in (BORROWER, CLAIMANT)):
        ids[job.name] = people[job.org].run(*submission(job)).strip()
        say(f"  {job.org:<16} {job.name:<14} {job.nodes} x {job.gpus} {job.flavor:<5} -> job {ids[job.name]}")
    refusal = people[REFUSED.org].call(*submission(REFUSED))
    if refusal.returncode != REFUSED_EXIT:
        raise DemoFailed(f"{REFUSED.name} must be refused with exit {REFUSED_EXIT}, not {refusal.returncode}")
    say(f"  {REFUSED.org:<16} {REFUSED.name:<14} {REFUSED.nodes} x {REFUSED.gpus} {REFUSED.flavor:<5} -> refused:")
    say("    " + refusal.stderr.strip().replace("\n", "\n    "))
    return ids


def watch_jobs(admin: Cli, people: dict[str, Cli], ids: dict[str, str], deadline: float) -> list[dict[str, Any]]:
    """Follow all jobs to their ends; explains one that waits, shows quota when the pool is full, cancels one."""
    watch = Watch(say, GPUS_TOTAL)
    explained = cancelled = False
    while time.monotonic() < deadline:
        jobs = [job for job in admin.items("queue", "--all") if job["id"] in set(ids.values())]
        watch.show(jobs)
        if not explained and (waiting := watch.waits_on_full_pool(jobs)):
            explained = True
            headline(f"dure why {waiting['id']}")
            say(people[waiting["org"]].run("why", waiting["id"]).rstrip())
            headline(f"dure quota, as a user of {waiting['org']}")
            say(people[waiting["org"]].run("quota").rstrip())
            say()
        victim = next((job for job in jobs if job["id"] == ids["long-run"]), None)
        if not cancelled and victim and victim["attempt_state"] == "Running" and watch.ended(jobs) >= len(JOBS) // 2:
            cancelled = True
            people["haneul-univ"].run("cancel", ids["long-run"], "--yes")
            say("  long-run is cancelled by its owner")
        if watch.ended(jobs) == len(JOBS):
            return jobs
        time.sleep(1)
    raise DemoFailed(f"the jobs did not end within {DEMO_SECONDS_MAX} seconds")


@contextlib.contextmanager
def ended_afterwards(admin: Cli) -> Iterator[None]:
    """If the block fails, cancel what still runs: attempts outlive the control plane, and a demo leaves nothing."""
    try:
        yield
    except BaseException:
        left = [job["id"] for job in admin.items("queue")]
        if left:
            admin.call("cancel", *left, "--yes")
        deadline = time.monotonic() + CLEAN_SECONDS_MAX
        while admin.items("queue") and time.monotonic() < deadline:
            time.sleep(1)
        raise


def trainings(people: dict[str, Cli], jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each job printed as its result; raises DemoFailed when one ended otherwise than it must."""
    expected = {job.name: job for job in JOBS}
    found = []
    for job in sorted(jobs, key=lambda job: (job["org"], job["name"])):
        if job["state"] != expected[job["name"]].expect:
            raise DemoFailed(
                f"{job['name']} is {job['state']}, expected {expected[job['name']].expect}: {job['message']}"
            )
        log = people[job["org"]].run("logs", job["id"])
        results = [line for line in log.splitlines() if line.startswith("RESULT ")]
        result = json.loads(results[-1].removeprefix("RESULT ")) if results else {}
        accuracy = result.get("accuracy")
        if job["state"] == "Succeeded" and (accuracy is None or accuracy < ACCURACY_MIN):
            raise DemoFailed(f"{job['name']} reached accuracy {accuracy}, needed is {ACCURACY_MIN}")
        shape = f"{job['nodes']} x {job['gpus_per_node']} {job['flavor']}"
        shown = f"accuracy {accuracy:.3f}, loss {result['loss']:.3f}" if accuracy else job["message"]
        say(f"  {job['org']:<16} {job['name']:<14} {shape:<15} {job['tier']:<11} {job['state']:<10} {shown}")
        found.append({key: job[key] for key in ("id", "name", "org", "state", "tier", "attempt")} | {"result": result})
    return found


def prometheus_gap(address: str, server: str, token: str, since_ms: int) -> list[str]:
    """The gap between Prometheus and the ledger, a line for each organisation; empty without Prometheus."""
    if not address:
        say("  Prometheus is not installed here: no second opinion in this run")
        return []
    from scheduler.main.gap import compare_usage, gap_text

    lines, _ = compare_usage(address, server, token, since_ms, round(time.time() * MS_PER_SECOND))
    texts = [gap_text(line) for line in lines]
    for text in texts:
        say(f"  {text}")
    return texts


def act(admin: Cli, people: dict[str, Cli], deadline: float) -> tuple[list[dict[str, Any]], float]:
    """All that happens to jobs: lending, the claim, the crowd; the ended jobs and how long the claimant waited."""
    headline("an idle pool: a class borrows what the others leave")
    ids = {BORROWER.name: lending.lend(people[BORROWER.org], say)}
    headline("its owner comes: lent GPUs are taken back")
    ids[CLAIMANT.name] = lending.claim(people[CLAIMANT.org], say)
    headline("everybody comes: more demand than GPUs")
    ids |= submit_crowd(people)
    headline("progress")
    jobs = watch_jobs(admin, people, ids, deadline)
    headline(f"dure job events {ids[BORROWER.name]}: {BORROWER.name} from its submission to its end")
    say(people[BORROWER.org].run("job", "events", ids[BORROWER.name]).rstrip())
    waited = lending.claim_seconds(people[CLAIMANT.org].items("job", "events", ids[CLAIMANT.name]))
    return jobs, waited


def run(started: float) -> dict[str, Any]:
    """The whole demo; returns what goes into report.json."""
    policy, data = OUT / "policy.yaml", OUT / "data"
    policy.write_text(POLICY, encoding="utf-8")
    since_ms = round(time.time() * MS_PER_SECOND)
    headline("dure up: control plane and operator on this machine")
    with dure_up(data, policy, OUT / "dure-up.log") as up, prometheus(OUT / "prometheus", up.url) as second:
        server, token = up.url, up.admin_token
        admin = Cli(server, token, OUT / "config" / "admin")
        say(f"  {server}" + (f", scraped by Prometheus at {second}" if second else ""))
        say(admin.run("gpus").rstrip())
        headline("organisations of three classes")
        people = register(admin, server)
        with ended_afterwards(admin):
            jobs, waited_seconds = act(admin, people, started + DEMO_SECONDS_MAX)
        headline("results")
        results = trainings(people, jobs)
        records = report.records_of(data)
        headline("taken back and resumed")
        resumes = lending.resumes(people, jobs, records)
        lending.tell(resumes, say)
        say(f"  {CLAIMANT.org:<16} {CLAIMANT.name:<14} had its GPUs {waited_seconds:.1f} s after it asked")
        headline("usage")
        say(admin.run("usage").rstrip())
        headline("the period is closed: invoices")
        period, verified = papers.invoices(admin, OUT, say)
        headline("fairness of the period")
        pool = papers.fairness(admin, period["id"], OUT, say)
        seconds = report.gpu_seconds(records, admin.items("usage"))
        headline("second opinion: Prometheus against the ledger")
        gaps = prometheus_gap(second, server, token, since_ms)
    checks = report.invariants(records, jobs, seconds, verified) + lending.rows(resumes, waited_seconds)
    evicted = sum(attempt["notice"] == "evict" for attempt in records["attempts"])
    return {
        "seconds": round(time.monotonic() - started, 1),
        "jobs_by_state": dict(sorted(Counter(job["state"] for job in jobs).items())),
        "refused_submissions": 1,
        "trainings": results,
        "claim_seconds": waited_seconds,
        "resumes": [resume._asdict() for resume in resumes],
        "gpu_seconds": seconds,
        "prometheus": gaps,
        "period": period,
        "fairness": pool,
        "invariants": checks + papers.rows(OUT, records, pool, evicted),
        "files": report.files_of(OUT),
    }


def verdict(found: dict[str, Any]) -> int:
    """Say what holds and where everything lies; the exit status."""
    headline("what was checked")
    for row in found["gpu_seconds"]:
        pair = f"records {row['records_gpu_seconds']:.3f} GPU-s, ledger {row['ledger_gpu_seconds']:.3f} GPU-s"
        say(f"  {row['org']:<16} {pair}{'' if row['equal'] else '  DIFFERENT'}")
    for row in found["invariants"]:
        mark = "FAIL" if row["broken"] else "ok  "
        say(f"  {mark} {row['name']} ({row['checked']} checked, {row['broken']} broken)")
    headline(f"done in {found['seconds']} s; what there is to look at")
    for place, what in PLACES.items():
        say(f"  {f'{OUT.name}/{place}':<36} {what}")
    return 1 if any(row["broken"] for row in found["invariants"]) else 0


def main() -> int:
    """Run, write the report, and say what holds."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with only_run(Path(__file__)):
            clear(OUT)
            found = run(started)
    except DemoFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped; nothing of it runs any more", file=sys.stderr)
        return INTERRUPTED_EXIT
    (OUT / "report.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return verdict(found)


if __name__ == "__main__":
    sys.exit(main())
