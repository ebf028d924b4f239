"""A step about a job that leaves its line at the same moment: one of both loses, and the facts can always be folded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler.core.allocator.plan import Reclaim, Release, Step
from scheduler.core.errors import ConstraintBroken, Retry
from scheduler.core.facts import GpusEarmarked, JobEnded, NodeSeen
from scheduler.core.lifecycle import JobState
from scheduler.core.model import Rank
from scheduler.core.records import JobRecord
from scheduler.core.state import AllocatorState
from scheduler.schema.bodies import TaskBody
from scheduler.services import jobs, submit
from scheduler.services.cycle import Dropped, take
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import Store, Writer
from scheduler.sim.world.shelves import MemoryPackages
from scheduler.store.sql import SqlStore
from tests.stores.actors import actors
from tests.stores.test_concurrency import repeated, waits_for_lock
from tests.stores.test_services_at_once import ADMIN, found

JOB = "abcd"
PLACES = (Rank(0, "n1", 1),)
STEPS: dict[str, Step] = {
    "reclaim": Reclaim(JOB, 1, "site", PLACES, ()),
    "release": Release(JOB, 1),
}


def waiting(store: Store, *, awaited: bool) -> None:
    """A job that waits on a known node; awaited: room is made for it."""
    found(store)
    task = TaskBody(name="train", project="uni/vision", gpus="h100:1", run="true")
    submit.submit(store, EffectivePolicies(), MemoryPackages(), task, ADMIN, "key", JOB, 2)
    with store.write() as tx:
        tx.append(NodeSeen("site", "n1", "h100-80g", 1, schedulable=True), 3)
        if awaited:
            tx.append(GpusEarmarked(JOB, 1, "site", PLACES, (), 1), 3)


def folded(store: Store) -> list[str]:
    """Kinds of all facts, after the allocator's state has taken them all in."""
    state = AllocatorState()
    with store.read() as view:
        facts = view.facts(0)
    for fact in facts:
        state.apply(fact)
    return [fact.kind for fact in facts]


def taken(step: Step, store: Store) -> Callable[[], str]:
    """Take a step in a transaction of its own; "dropped" where its guard fails."""

    def act() -> str:
        with store.read() as view:
            effective = EffectivePolicies().current(view, 5)
        assert effective is not None
        try:
            with store.write() as tx:
                take(tx, step, effective, 1, 5)
        except (Dropped, ConstraintBroken, Retry):
            return "dropped"
        return "taken"

    return act


@pytest.mark.parametrize("name", STEPS)
def test_a_cancel_that_comes_first_drops_the_step(postgres: SqlStore, name: str) -> None:
    waiting(postgres, awaited=name == "release")
    with actors(postgres, 2) as (cancelling, stepping):
        cancelling.begin()
        job = cancelling.do(lambda: cancelling.tx.get(JobRecord, JOB))
        cancelling.do(lambda: jobs_cancelled(cancelling.tx, job))
        result = stepping.start(taken(STEPS[name], postgres))
        waits_for_lock(postgres)
        cancelling.end()
        assert result.result(30) == "dropped"
    assert folded(postgres)[-1] == "JobEnded"


def jobs_cancelled(tx: Writer, job: JobRecord | None) -> None:
    """What a cancel writes about a queued job."""
    assert job is not None
    assert tx.change(replace(job, state=JobState.CANCELLED), version=job.version)
    tx.append(JobEnded(JOB, JobState.CANCELLED), 4)


@pytest.mark.parametrize("name", STEPS)
def test_a_cancel_that_comes_later_finds_it_taken(postgres: SqlStore, name: str) -> None:
    waiting(postgres, awaited=name == "release")
    with postgres.read() as view:
        effective = EffectivePolicies().current(view, 5)
    assert effective is not None
    with actors(postgres, 2) as (stepping, cancelling):
        stepping.begin()
        stepping.do(lambda: take(stepping.tx, STEPS[name], effective, 1, 5))
        cancelled = cancelling.start(lambda: repeated(lambda: jobs.cancel(postgres, ADMIN, JOB, 6)))
        waits_for_lock(postgres)
        stepping.end()
        cancelled.result(30)
    assert folded(postgres)[-1] == "JobEnded"


@pytest.mark.parametrize("name", STEPS)
def test_each_store_takes_the_step_and_counts_a_version(store: Store, name: str) -> None:
    waiting(store, awaited=name == "release")
    with store.read() as view:
        before = view.get(JobRecord, JOB)
    assert taken(STEPS[name], store)() == "taken"
    with store.read() as view:
        after = view.get(JobRecord, JOB)
    assert before is not None and after is not None
    assert after.version == before.version + 1
    folded(store)
