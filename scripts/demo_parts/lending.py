"""The chapter about lent GPUs: one class lends what it does not use, its owner comes, the borrower leaves and resumes.

Nothing here is timed by luck: the owner comes when the borrower has saved its work and still has long to train, every
wait has a bound, and what is proven is read afterwards from events, logs and the supervisors' records.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from scripts.demo_parts.cast import BORROWER, CLAIMANT, EPOCHS, GRACE_SECONDS, submission
from scripts.demo_parts.cli import Cli, DemoFailed
from scripts.demo_parts.watch import ENDED

START_SECONDS_MAX = 90.0
ROOM_SECONDS_MAX = 10
"""Beside the grace: what the cycles, the operator's ticks and the end of a Ray cluster may take."""
POLL_SECONDS = 0.5
MS_PER_SECOND = 1_000

START = re.compile(r"^start step=(\d+) of (\d+) ", re.M)
EPOCH = re.compile(r"^epoch=(\d+) ", re.M)
STOPPED = re.compile(r"^stopped step=(\d+), checkpoint saved$", re.M)
STARTED_RANK = re.compile(r"attempt (\d+), rank \d+ ")

Found = TypeVar("Found")


class Resume(NamedTuple):
    """What an evicted attempt left and where the next one went on, in steps from the job's first."""

    job: str
    name: str
    org: str
    attempt: int
    saved_step: int
    resumed_at_step: int | None
    unbilled_gpu_ms: int
    billed_to_notice: bool


def wait_for(what: str, look: Callable[[], Found | None], now: Callable[[], str]) -> Found:
    """What ``look`` finds, asked for START_SECONDS_MAX at most; raises DemoFailed with how things stand ``now``."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise DemoFailed(f"{what} did not happen within {START_SECONDS_MAX:.0f} seconds\n{now()}")
        time.sleep(POLL_SECONDS)
    return found


def lend(borrower: Cli, say: Callable[[str], None]) -> str:
    """Submit the borrower and wait until it has trained and saved something; returns its id."""
    job = borrower.run(*submission(BORROWER)).strip()
    shape = f"{BORROWER.nodes} x {BORROWER.gpus} {BORROWER.flavor}"
    say(f"  {BORROWER.org} submits {BORROWER.name} (job {job}): {shape}, more than its class is guaranteed")

    def saved() -> bool | None:
        body = borrower.json("job", "get", job)
        if body["state"] in ENDED:
            raise DemoFailed(f"{BORROWER.name} is {body['state']} before anybody wanted its GPUs: {body['message']}")
        return True if EPOCH.search(borrower.call("logs", job).stdout) else None

    wait_for(f"the first checkpoint of {BORROWER.name}", saved, lambda: borrower.call("job", "events", job).stdout)
    body = borrower.json("job", "get", job)
    say(f"  it runs on {body['gpus']} GPUs in tier {body['tier']} and has saved its first checkpoint\n")
    say(borrower.run("quota").rstrip())
    return job


def claim(owner: Cli, say: Callable[[str], None]) -> str:
    """Submit the claimant, say why it waits while room is made, and wait until the GPUs are its own; returns its id."""
    job = owner.run(*submission(CLAIMANT)).strip()
    say(f"  {CLAIMANT.org} submits {CLAIMANT.name} (job {job}): {CLAIMANT.nodes} x {CLAIMANT.gpus} {CLAIMANT.flavor}")

    def answer() -> str | None:
        text = owner.run("why", job).rstrip()
        return text if "taken back" in text or f"{job} is waiting" not in text else None

    say(f"\n== dure why {job}\n" + wait_for("a reclaim", answer, lambda: owner.run("why", job)) + "\n")
    wait_for(
        f"the admission of {CLAIMANT.name}",
        lambda: owner.json("job", "get", job)["attempt"] or None,
        lambda: owner.run("why", job),
    )
    say(f"  {CLAIMANT.name} has its GPUs; {BORROWER.name} waits in its line again, with its checkpoint")
    return job


def claim_seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """From the claimant's submission until the GPUs were its own."""
    queued = _at_ms(events, lambda row: row["event"] == "Queued")
    admitted = _at_ms(events, lambda row: row["event"] == "Admitted")
    return (admitted - queued) / MS_PER_SECOND


def saved_step(log: str, before: int) -> int:
    """The last step that an attempt saved, by its log; ``before``: the one that it found saved."""
    start = START.search(log)
    if start is None:
        return before
    per_epoch = int(start[2]) // EPOCHS
    saved = [int(number) * per_epoch for number in EPOCH.findall(log)]
    return max([int(start[1]), *saved, *(int(number) for number in STOPPED.findall(log))])


def resumes(people: Mapping[str, Cli], jobs: Sequence[dict[str, Any]], records: dict[str, Any]) -> list[Resume]:
    """One for each attempt that was evicted, of every job of the demo; raises DemoFailed if there is none."""
    evicted = {(row["job"], row["attempt"]): row for row in records["attempts"] if row["notice"] == "evict"}
    found = []
    for job in jobs:
        if not any(about == job["id"] for about, _ in evicted):
            continue
        cli = people[job["org"]]
        events = cli.items("job", "events", job["id"])
        logs = {n: cli.call("logs", job["id"], "--attempt", str(n)).stdout for n in range(1, job["attempt"] + 1)}
        saved = 0
        for attempt in range(1, job["attempt"]):
            saved = saved_step(logs[attempt], saved)
            if record := evicted.get((job["id"], attempt)):
                # An attempt that was evicted before it trained says nothing: the one after it then goes on.
                later = [start for n in range(attempt + 1, job["attempt"] + 1) if (start := START.search(logs[n]))]
                at_step = int(later[0][1]) if later else None
                billed = _billing(record, events, job["gpus_per_node"])
                found.append(Resume(job["id"], job["name"], job["org"], attempt, saved, at_step, *billed))
    if not any(resume.name == BORROWER.name for resume in found):
        raise DemoFailed(f"{BORROWER.name} was never evicted and resumed, though {CLAIMANT.name} had a claim")
    return sorted(found, key=lambda row: row.name != BORROWER.name)


def _billing(record: Mapping[str, Any], events: Sequence[Mapping[str, Any]], gpus: int) -> tuple[int, bool]:
    """GPU-ms between notice and end, and whether the record is billed from the gang's start to its notice, by events.

    Zero and true for a gang of which a rank never started: nothing of it is billed.
    """
    number, ranks = record["attempt"], record["ranks"]
    if any(rank["start_ms"] is None for rank in ranks):
        return 0, not any(rank["billed_gpu_ms"] for rank in ranks)
    notice = _at_ms(events, lambda row: row["event"] == "Notice" and f"attempt {number} " in row["detail"])
    starts = [row for row in events if row["event"] == "RankStarted" and _attempt_of(row) == number]
    whole = max(_instant_ms(row["at"]) for row in starts)
    # A rank that ended before the notice is billed to its own end.
    expected = [gpus * max(0, min(notice, rank["end_ms"]) - whole) for rank in ranks]
    unbilled = sum(gpus * max(0, rank["end_ms"] - notice) for rank in ranks)
    return unbilled, expected == [rank["billed_gpu_ms"] for rank in ranks]


def _attempt_of(event: Mapping[str, Any]) -> int:
    found = STARTED_RANK.match(event["detail"])
    return int(found[1]) if found else 0


def _at_ms(events: Sequence[Mapping[str, Any]], wanted: Callable[[Mapping[str, Any]], bool]) -> int:
    """When the first wanted event happened; raises DemoFailed when it never did."""
    for row in events:
        if wanted(row):
            return _instant_ms(row["at"])
    raise DemoFailed("an event is missing in: " + ", ".join(str(row["event"]) for row in events))


def _instant_ms(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 instant."""
    return round(datetime.fromisoformat(text).timestamp() * MS_PER_SECOND)


def tell(found: Sequence[Resume], say: Callable[[str], None]) -> None:
    """A line for each eviction."""
    for row in found:
        left = f"saved step {row.saved_step}" if row.saved_step else "had not trained yet"
        onward = "never went on" if row.resumed_at_step is None else f"the next one began at step {row.resumed_at_step}"
        grace = f"; {row.unbilled_gpu_ms / MS_PER_SECOND:.1f} GPU-s after its notice are not billed"
        shown = grace if row.unbilled_gpu_ms else ""
        say(f"  {row.org:<16} {row.name:<14} attempt {row.attempt} {left}, {onward}{shown}")


def rows(found: Sequence[Resume], waited_seconds: float) -> list[dict[str, Any]]:
    """The promises of this chapter, as report.invariants has its own."""
    bound = GRACE_SECONDS + ROOM_SECONDS_MAX
    return [
        {
            "name": f"a claimant had its GPUs within the grace of {GRACE_SECONDS} s and {ROOM_SECONDS_MAX} s",
            "checked": 1,
            "broken": int(waited_seconds > bound),
        },
        {
            "name": "an evicted job went on at its last saved step: none repeated, none left out",
            "checked": len(found),
            "broken": sum(row.resumed_at_step != row.saved_step for row in found),
        },
        {
            "name": "an evicted attempt is billed from its gang's start to its notice",
            "checked": len(found),
            "broken": sum(not row.billed_to_notice for row in found),
        },
    ]
