"""The allocator's cycle on 10,000 pending jobs, 1,000 GPUs and 500 queues, with every rule in use."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Measurement, timed
from bench.pool import NODES, QUEUES, Pool
from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.facts import AttemptAdmitted, AttemptGone, AttemptStopping, JobSubmitted
from scheduler.core.lifecycle import JobState, StopReason
from scheduler.core.model import GangRequest, Rank, Tier
from scheduler.core.state import AllocatorState
from scheduler.core.units import MS_PER_HOUR

PENDING = 10_000
GPUS = sum(NODES.values()) * 8
CYCLE_MS_MAX = 50
SNAPSHOT_MS_MAX = 5
WEEK_HOURS = 168
FACTS = 1_000


def measure() -> Iterator[Measurement]:
    """A pool that fills, one that is full, and one in which a tenth ended; each with its snapshot."""
    pool = Pool(seed=1)
    pool.submit(PENDING)
    yield from _situation(pool, "empty", f"{GPUS} GPUs free, {PENDING} pending, {QUEUES} queues: all that fits starts")
    plan = decide(_snapshot(pool))
    pool.admit(plan)
    pool.submit(len(plan.steps))
    pool.at_ms += 5 * MS_PER_HOUR
    yield from _situation(pool, "full", "nothing is free, nothing starts: every line gets its reasons")
    pool.end(_snapshot(pool).live[::10])
    yield from _situation(pool, "turnover", "a tenth of the attempts has ended")
    plan = decide(_snapshot(pool))
    yield timed("plan-text", f"the canonical text of that plan ({len(plan.canonical()) // 1_000} kB)", plan.canonical)
    yield _facts()
    yield _new_hour()


def _situation(pool: Pool, name: str, what: str) -> Iterator[Measurement]:
    snapshot = _snapshot(pool)
    steps = len(decide(snapshot).steps)
    yield timed(f"cycle-{name}", f"{what} ({steps} starts)", lambda: decide(snapshot), goal_ms=CYCLE_MS_MAX)
    yield timed(f"snapshot-{name}", "state to snapshot", lambda: _snapshot(pool), goal_ms=SNAPSHOT_MS_MAX)


def _snapshot(pool: Pool) -> Snapshot:
    return pool.state.snapshot(pool.at_ms, pool.policy)


def _facts() -> Measurement:
    """Folding facts, hash chain included: what a rebuild costs."""

    def fold() -> None:
        pool = Pool(seed=2)
        pool.submit(FACTS)

    return timed("facts", f"{FACTS} submissions drawn and folded", fold, rounds=7)


def _new_hour() -> Measurement:
    """The first snapshot of an hour weighs all buckets anew: 1,000 leaves with a week of usage each."""
    pool = Pool(seed=3)
    request = GangRequest("h100", 1, 1, (Tier.BORROW,), MS_PER_HOUR)
    for number, leaf in enumerate(pool.leaves):
        job = f"week-{number}"
        pool.put(JobSubmitted(job, leaf, request))
        pool.put(AttemptAdmitted(job, 1, Tier.BORROW, "seoul", (Rank(0, "h100-000", 1),), 1))
    pool.at_ms += WEEK_HOURS * MS_PER_HOUR
    for number in range(len(pool.leaves)):
        pool.put(AttemptStopping(f"week-{number}", 1, StopReason.FINISH))
        pool.put(AttemptGone(f"week-{number}", 1, JobState.SUCCEEDED))
    state: AllocatorState = pool.state

    def next_hour() -> None:
        pool.at_ms += MS_PER_HOUR
        state.snapshot(pool.at_ms, pool.policy)

    return timed("snapshot-new-hour", f"{len(pool.leaves)} leaves with {WEEK_HOURS} hourly buckets each", next_hour)
