"""Every property of a cycle over generated worlds, with the share of worlds in which its premise held."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from operator import attrgetter

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.explain import JobFacts, explain
from scheduler.core.allocator.lines import lines_of
from scheduler.core.allocator.plan import Plan
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.lifecycle import JobState
from scheduler.core.model import PendingJob, Tier
from scheduler.core.reasons import Reason
from scheduler.sim.checkers import PROPERTIES, Property, after, check_all
from scheduler.sim.expected import phase_of
from tests.support.histories import History
from tests.support.random_worlds import random_world
from tests.unit.properties.oracle import Oracle

WORLDS = 400
ORDERED_WORLDS = 400
REMEDY_WORLDS = 600
FEWER = "fewer nodes: --nodes "
BEHIND = Reason.BEHIND_HIGHER_PRIORITY
HISTORIES = 60
EVENTS = 40
PREMISE_PERCENT_MIN = 20


@pytest.mark.parametrize("item", PROPERTIES, ids=[item.name for item in PROPERTIES])
def test_property_holds_in_generated_worlds(item: Property, seed: int) -> None:
    broken, premises = [], 0
    for number in range(seed, seed + WORLDS):
        snapshot = random_world(number)
        plan = decide(snapshot)
        broken += [(number, finding) for finding in item.check(snapshot, plan)]
        premises += item.premise(snapshot, plan)
    assert broken == [], f"{item.name}: random_world({broken[0][0]})"
    assert premises * 100 >= WORLDS * PREMISE_PERCENT_MIN, f"{item.name} says something in {premises} worlds only"


def test_order_is_the_oracles(seed: int) -> None:
    """Steps, tiers, places and their order are those of a brute-force reading of decision 0001."""
    starts = 0
    for number in range(seed, seed + ORDERED_WORLDS):
        snapshot = random_world(number)
        wanted = tuple(Oracle(snapshot).run())
        assert decide(snapshot).steps == wanted, f"random_world({number})"
        starts += len(wanted) > 1
    assert starts * 100 >= ORDERED_WORLDS * PREMISE_PERCENT_MIN


def test_properties_hold_along_histories(seed: int) -> None:
    """All properties again on states that facts and cycles have led to."""
    waits = 0
    for number in range(seed, seed + HISTORIES):
        history = History(number)
        history.run(EVENTS)
        snapshot = history.state.snapshot(history.at_ms, history.policy)
        plan = decide(snapshot)
        assert check_all(snapshot, plan) == [], f"History({number})"
        waits += len(snapshot.pending) > len(plan.starts)
    assert waits * 100 >= HISTORIES * PREMISE_PERCENT_MIN


def test_who_is_next_is_the_oracles_winner(seed: int) -> None:
    """Of the jobs of a flavor that only machines stop, in the earliest phase, the brute-force winner is next."""
    seen = 0
    for number in range(seed, seed + ORDERED_WORLDS):
        snapshot = random_world(number)
        plan, oracle = decide(snapshot), Oracle(snapshot)
        oracle.run()
        able: dict[str, list[tuple[int, PendingJob]]] = {}
        for job in oracle.waiting.values():
            phase = phase_of(oracle.estate, job)
            if phase is not None:
                able.setdefault(job.request.flavor, []).append((phase, job))
        for jobs in able.values():
            first = oracle.winner([job for phase, job in jobs if phase == min(phase for phase, _ in jobs)])
            behind = {job.job: [item.limit for item in plan.reasons(job) if item.reason is BEHIND] for _, job in jobs}
            assert behind[first.job] == [], f"random_world({number}) {first.job}"
            assert {limit for limits in behind.values() for limit in limits} <= {first.request.milli_gpus}
            seen += sum(map(len, behind.values()))
    assert seen > ORDERED_WORLDS


def facts_of(snapshot: Snapshot, plan: Plan, job: PendingJob) -> JobFacts:
    """What is known of a job when somebody asks why it waits."""
    held = Counter[tuple[str, str]]()
    for attempt in snapshot.live:
        for rank in attempt.ranks:
            held[attempt.cluster, rank.node] += rank.gpus
    flavor = job.request.flavor
    return JobFacts(
        job.job,
        JobState.QUEUED,
        job.leaf,
        job.request,
        own_live=tuple(item for item in snapshot.live if item.leaf == job.leaf and item.request.flavor == flavor),
        open_tiers=plan.open_tiers(job),
        is_alone=sum(other.request.flavor == flavor for other in snapshot.pending) == 1,
        free=tuple(
            (node.cluster, node.name, node.gpus - held[node.cluster, node.name])
            for node in snapshot.nodes
            if node.flavor == flavor and node.schedulable
        ),
        room_by_ms=plan.awaited[job.job].by_ms if job.job in plan.awaited else 0,
    )


def changed(snapshot: Snapshot, job: PendingJob, remedy: str) -> Snapshot | None:
    """The snapshot after the user has done what a remedy says; None for one that is no change of the user's."""
    request, live = job.request, snapshot.live
    if found := re.match(r"fewer nodes: --nodes (\d+)", remedy):
        request = replace(request, nodes=int(found[1]))
    elif found := re.match(r"--tier (\S+):", remedy):
        request = replace(request, tiers=tuple(map(Tier, found[1].split(","))))
    elif found := re.match(r"cancel your job (\S+)", remedy):
        live = tuple(attempt for attempt in live if attempt.job != found[1])
    else:
        return None
    others = (item for lines in snapshot.lines.values() for line in lines for item in line.jobs if item != job)
    earmarks = tuple(earmark for earmark in snapshot.earmarks if earmark.job != job)
    lines = lines_of([*others, replace(job, request=request)])
    return replace(snapshot, live=live, lines=lines, earmarks=earmarks)


def test_what_would_help_helps(seed: int) -> None:
    """In a settled world a job starts at once when its owner does one of the things that ``why`` names."""
    tried = Counter[str]()
    for number in range(seed, seed + REMEDY_WORLDS):
        snapshot = random_world(number)
        if number % 3 == 0:  # alone, so that a cancellation can help
            waiting = [item for lines in snapshot.lines.values() for line in lines for item in line.jobs]
            alone = sorted(waiting, key=attrgetter("seq"))[:1]
            snapshot = replace(snapshot, lines=lines_of(alone), delayed=())
        settled = after(snapshot, decide(snapshot))
        plan = decide(settled)
        for job in settled.pending:
            explanation = explain(facts_of(settled, plan, job), plan.reasons(job), settled.at_ms)
            for remedy in explanation.would_help:
                then = changed(settled, job, remedy)
                if then is not None:
                    tried[remedy.split(" ")[0]] += 1
                    started = {step.job for step in decide(then).starts}
                    assert job.job in started, f"random_world({number}) {job.job}: {remedy}"
    assert min(tried[kind] for kind in ("fewer", "--tier", "cancel")) >= 5, tried


def test_the_largest_smaller_gang_that_starts_is_named(seed: int) -> None:
    """In a settled world ``--nodes N`` is named exactly where N nodes start and N + 1 do not."""
    named = 0
    for number in range(seed, seed + WORLDS):
        snapshot = random_world(number)
        settled = after(snapshot, decide(snapshot))
        plan, delayed = decide(settled), {job.job for job in settled.delayed}
        for job in settled.pending:
            if job.job in delayed or job.job in plan.awaited:
                continue
            explanation = explain(facts_of(settled, plan, job), plan.reasons(job), settled.at_ms)
            fewer = [text for text in explanation.would_help if text.startswith(FEWER)]
            starts = [nodes for nodes in range(1, job.request.nodes) if starts_with(settled, job, nodes)]
            wanted = [f"{FEWER}{max(starts)}"] if starts else []
            assert fewer == wanted, f"random_world({number}) {job.job}"
            named += len(fewer)
    assert named >= 20


def starts_with(snapshot: Snapshot, job: PendingJob, nodes: int) -> bool:
    """Whether a job starts in the next cycle when it asks for so many nodes."""
    then = changed(snapshot, job, f"{FEWER}{nodes}")
    return then is not None and job.job in {step.job for step in decide(then).starts}


def test_worlds_are_repeatable_and_differ(rng: random.Random) -> None:
    number = rng.randrange(1 << 30)
    assert decide(random_world(number)).canonical() == decide(random_world(number)).canonical()
    assert len({decide(random_world(number + more)).canonical() for more in range(20)}) > 10
