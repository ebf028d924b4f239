"""Wrong decisions are found as they are made, also those that start nothing and leave no record."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.lines import with_jobs
from scheduler.core.allocator.plan import Plan, Reclaim
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.allocator.stock import is_lent
from scheduler.sim.world import Parts, run
from tests.support.mutants import JOBS, Mutant, Patch, assert_found, no_change

Decide = Callable[[Snapshot], Plan]


def on_twice_the_gpus() -> Decide:
    """Plans with GPUs that are not there; every such step is dropped, again and again."""

    def wrong(snapshot: Snapshot) -> Plan:
        return decide(replace(snapshot, nodes=tuple(replace(node, gpus=2 * node.gpus) for node in snapshot.nodes)))

    return wrong


def never_the_same() -> Decide:
    """A plan that follows from something else than its input."""
    calls = itertools.count()

    def wrong(snapshot: Snapshot) -> Plan:
        plan = decide(snapshot)
        return replace(plan, steps=plan.steps[: next(calls) % 2])

    return wrong


def leave_the_last_job() -> Decide:
    """Forgets every third job or so."""

    def wrong(snapshot: Snapshot) -> Plan:
        plan = decide(snapshot)
        return replace(plan, steps=tuple(step for step in plan.steps if step.job[-1] > "h"))

    return wrong


def now_and_then_nothing() -> Decide:
    """Starts nothing where it should, once in five times: the next cycle makes up for it, and no record tells."""
    calls = itertools.count(1)

    def wrong(snapshot: Snapshot) -> Plan:
        plan = decide(snapshot)
        return replace(plan, steps=()) if plan.steps and next(calls) % 5 == 0 else plan

    return wrong


def keep_nothing() -> Decide:
    """Forgets for whom room is made: whoever is next takes it."""

    def wrong(snapshot: Snapshot) -> Plan:
        jobs = [earmark.job for earmark in snapshot.earmarks]
        return decide(replace(snapshot, earmarks=(), lines=with_jobs(snapshot.lines, jobs)))

    return wrong


def take_nothing_back() -> Decide:
    """Leaves borrowers where they are."""

    def wrong(snapshot: Snapshot) -> Plan:
        plan = decide(snapshot)
        kept = {step.job for step in plan.reclaims}
        awaited = {job: room for job, room in plan.awaited.items() if job not in kept}
        return replace(plan, steps=tuple(step for step in plan.steps if step.job not in kept), awaited=awaited)

    return wrong


def one_victim_too_many() -> Decide:
    """Asks everybody who holds something lent, as long as it asks anybody."""

    def wrong(snapshot: Snapshot) -> Plan:
        plan = decide(snapshot)
        lent = tuple((item.job, item.attempt) for item in snapshot.live if is_lent(item))
        steps = [replace(step, victims=lent) if isinstance(step, Reclaim) else step for step in plan.steps]
        return replace(plan, steps=tuple(steps))

    return wrong


WRONG: dict[str, tuple[Callable[[], Decide], str]] = {
    "on twice the GPUs": (on_twice_the_gpus, r"decision at fact \d+, S1, "),
    "never the same": (never_the_same, r"decision at fact \d+, S5, |replayed makes another plan"),
    "leaves the last job": (leave_the_last_job, r"decision at fact \d+, S5, "),
    "keeps nothing": (keep_nothing, r"decision at fact \d+, S(1|5|9|13|15), |replayed makes another plan"),
    "takes nothing back": (take_nothing_back, r"decision at fact \d+, S3, "),
    "asks one too many": (one_victim_too_many, r"decision at fact \d+, S9, .*for nothing"),
    "now and then nothing": (now_and_then_nothing, r"decision at fact \d+, S5, "),
}


@pytest.mark.world
@pytest.mark.parametrize(("wrong", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_decision_is_found(wrong: Callable[[], Decide], says: str, monkeypatch: Patch) -> None:
    assert_found(Mutant(no_change, says, Parts(decide=wrong(), findings_max=1), seeds=8), monkeypatch)


@pytest.mark.world
@pytest.mark.parametrize("seed", range(4))
def test_a_cycle_that_starts_nothing_is_found_in_every_world(seed: int) -> None:
    found = run(seed, jobs=JOBS, parts=Parts(decide=now_and_then_nothing(), findings_max=1)).findings
    assert ", S5, " in found[0] or ", S3, " in found[0]


@pytest.mark.world
def test_what_only_the_sample_checks_is_found() -> None:
    """S12 and S15 are checked on one decision in several: reasons in another order are no other fault than S12."""

    def wrong(snapshot: Snapshot) -> Plan:
        plan = decide(snapshot)
        return replace(plan, blockers={key: found[::-1] for key, found in plan.blockers.items()})

    found = run(0, jobs=JOBS, parts=Parts(decide=wrong, findings_max=1)).findings
    assert ", S12, " in found[0]
