"""Why a job waits, as people read it: golden sentences, every reason, and no word about other tenants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.explain import Explanation, JobFacts, explain
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.model import GangRequest, LiveAttempt, Rank, Tier
from scheduler.core.reasons import Actor, Blocker, Reason
from tests.support.golden import assert_golden
from tests.support.random_worlds import random_world
from tests.support.worlds import NOW_MS, world

GOLDEN = Path(__file__).parent / "golden" / "explain.txt"
REQUEST = GangRequest("h100", 2, 4, (Tier.GUARANTEED, Tier.BORROW), 3_600_000)
FACTS = JobFacts("j1", JobState.QUEUED, "/sme/hanbit/nlp/kim", REQUEST)

WORLDS = {
    "share busy, own job in the way": """
        node n1 h100 16
        tree /sme/hanbit h100 g=8
        tree /sme h100 g=8
        run r1 /sme/hanbit/nlp/kim h100 1x4 guaranteed on n1
        run r2 /sme/hanbit/nlp/lee h100 1x3 guaranteed on n1
        pend j1 /sme/hanbit/nlp/kim h100 1x4 guaranteed""",
    "no guarantee at all": """
        node n1 h100 16
        pend j1 /sme/hanbit/nlp/kim h100 1x2 guaranteed""",
    "guarantees shrunk": """
        node n1 h100 8
        tree /sme h100 g=8
        tree /uni h100 g=8
        run r1 /sme/hanbit/nlp/kim h100 1x3 guaranteed on n1
        pend j1 /sme/hanbit/nlp/kim h100 1x2 guaranteed""",
    "caps, one for good": """
        node n1 h100 16
        tree /sme/hanbit h100 bl=4
        tree /sme/hanbit/nlp h100 g=2.5 bl=1
        run r1 /sme/hanbit/nlp/kim h100 1x1 borrow on n1
        pend j1 /sme/hanbit/nlp/kim h100 4x1 borrow""",
    "no capacity": """
        node n1 h100 8
        run r1 /sme/hanbit/nlp/kim h100 1x2 borrow on n1
        run r2 /uni/seorak/vision/park h100 1x4 borrow on n1
        pend j1 /sme/hanbit/nlp/kim h100 3x1 borrow""",
    "no gang fit": """
        node n1 h100 4
        node n2 h100 4
        node n3 h100 4
        run r1 /uni/seorak/vision/park h100 2x1 borrow on n2,n3
        pend j1 /sme/hanbit/nlp/kim h100 2x4 borrow""",
    "others keep their GPUs": """
        node n1 h100 8
        tree /uni h100 g=6 ll=1
        pend j1 /sme/hanbit/nlp/kim h100 4x1 borrow""",
    "others of the own class keep theirs": """
        node n1 h100 8
        tree /sme h100 g=6
        tree /sme/seorak h100 g=6 ll=0
        pend j1 /sme/hanbit/nlp/kim h100 1x4 scavenge""",
    "behind others": """
        node n1 h100 4
        run r1 /sme/hanbit/nlp/kim h100 1x3 borrow on n1
        pend j0 /uni/seorak/vision/park h100 1x4 borrow
        pend j1 /sme/hanbit/nlp/kim h100 1x2 borrow""",
    "not there": """
        node n1 h100 4
        pend j1 /sme/hanbit/nlp/kim h100 2x4 borrow""",
    "cordoned": """
        node n1 h100 4 cordoned
        pend j1 /sme/hanbit/nlp/kim h100 1x4 borrow""",
    "no cluster yet": """
        pend j1 /sme/hanbit/nlp/kim h100 1x4 borrow""",
    "back-off, and nothing free after it": """
        node n1 h100 4
        run r1 /uni/seorak/vision/park h100 1x4 borrow on n1
        pend j1 /sme/hanbit/nlp/kim h100 1x4 borrow until=+45s""",
}


def facts_of(snapshot: Snapshot, job: str) -> JobFacts:
    """What a service knows of a queued job."""
    pending = next(item for item in snapshot.pending if item.job == job)
    own = tuple(attempt for attempt in snapshot.live if attempt.leaf == pending.leaf)
    return JobFacts(job, JobState.QUEUED, pending.leaf, pending.request, own_live=own)


def explained(text: str) -> Explanation:
    """The explanation of j1 in a world."""
    snapshot = world(text)
    plan = decide(snapshot)
    pending = next(item for item in snapshot.pending if item.job == "j1")
    facts = replace(facts_of(snapshot, "j1"), open_tiers=plan.open_tiers(pending))
    return explain(facts, plan.reasons(pending), NOW_MS)


def as_text(name: str, found: Explanation) -> Iterator[str]:
    """An explanation as lines."""
    yield f"# {name}"
    yield found.summary
    for reason in found.reasons:
        yield f"  {reason.blocker.reason} ({reason.blocker.actor}): {reason.sentence}"
        yield from (f"      {remedy}" for remedy in reason.remedies)
    yield f"  would help: {'; '.join(found.would_help) or '-'}"


STATES = {
    "held by user": replace(FACTS, state=JobState.HELD, held_by="user"),
    "held by admin": replace(FACTS, state=JobState.HELD, held_by="admin"),
    "starting": replace(FACTS, state=JobState.ACTIVE, attempt_state=AttemptState.ADMITTED, tier=Tier.GUARANTEED),
    "running": replace(FACTS, state=JobState.ACTIVE, attempt_state=AttemptState.RUNNING, tier=Tier.BORROW),
    "stopping": replace(
        FACTS, state=JobState.ACTIVE, attempt_state=AttemptState.STOPPING, stop_reason=StopReason.TIMEOUT
    ),
    "succeeded": replace(FACTS, state=JobState.SUCCEEDED),
    "failed": replace(FACTS, state=JobState.FAILED, message="Exit code 1 on rank 0."),
    "no cycle yet": FACTS,
}


def test_explanations_read_well() -> None:
    lines = [line for name, text in WORLDS.items() for line in as_text(name, explained(text))]
    for name, facts in STATES.items():
        lines += as_text(name, explain(facts, (), NOW_MS))
    assert_golden(GOLDEN, "\n".join(lines) + "\n")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    blocker = Blocker(reason, "/sme/hanbit", "h100", 8_000, 4_000, 6_000, Actor.YOU, "borrow")
    [found] = explain(FACTS, [blocker], NOW_MS).reasons
    assert found.sentence.endswith(".") and len(found.sentence) > 20


def test_other_tenants_are_named_by_class_only(seed: int) -> None:
    """Over random worlds: no tree node of an explanation leads outside the job's own path and the classes."""
    kept = 0
    for number in range(seed, seed + 150):
        snapshot = random_world(number)
        plan = decide(snapshot)
        for job in snapshot.pending:
            own = job.leaf.split("/")
            for reason in explain(facts_of(snapshot, job.job), plan.reasons(job), NOW_MS).reasons:
                parts = reason.blocker.tree_node.split("/")
                assert len(parts) <= 2 or parts == own[: len(parts)], f"random_world({number}) {job.job}"
                assert "/" not in reason.sentence, f"random_world({number}) {job.job}"
                kept += reason.blocker.reason is Reason.RESERVED_FOR_OTHER
    assert kept > 20


ATTEMPTS = [
    LiveAttempt(name, 1, FACTS.leaf, replace(REQUEST, nodes=1, gpus_per_node=gpus), Tier.BORROW, "c", ranks, 0, state)
    for name, gpus, ranks, state in (
        ("small", 2, (Rank(0, "n1", 2),), AttemptState.RUNNING),
        ("right", 3, (Rank(0, "n1", 3),), AttemptState.RUNNING),
        ("elsewhere", 4, (Rank(0, "n3", 4),), AttemptState.RUNNING),
        ("ending", 3, (Rank(0, "n1", 3),), AttemptState.STOPPING),
    )
]
ALONE = replace(FACTS, own_live=tuple(ATTEMPTS), is_alone=True, free=(("c", "n1", 1), ("c", "n2", 4), ("d", "n3", 4)))
FULL = Blocker(Reason.NO_CAPACITY, "", "h100", 8_000, 5_000, 16_000, Actor.TIME, left=4_000)
CAP = Blocker(Reason.ORG_CAP_REACHED, "/sme/hanbit", "h100", 8_000, 9_000, 14_000, Actor.ADMIN, left=5_000)


def test_only_jobs_that_would_make_room_are_suggested() -> None:
    """2 nodes of 4: n2 has 4 free, n1 1. Of own jobs only one frees 3 more there; so does a cap of 14 with 9 held."""
    assert explain(ALONE, [FULL], NOW_MS).would_help == ("fewer nodes: --nodes 1", "cancel your job right (3 GPUs)")
    assert explain(ALONE, [FULL, CAP], NOW_MS).would_help[1:] == ("cancel your job right (3 GPUs)",)
    tight = replace(CAP, have=10_000, left=4_000)  # 10 - 3 + 8 > 14
    assert explain(ALONE, [FULL, tight], NOW_MS).would_help == ("fewer nodes: --nodes 1",)
    assert explain(replace(ALONE, is_alone=False), [FULL], NOW_MS).would_help == ("fewer nodes: --nodes 1",)


BUSY = Blocker(Reason.SHARE_BUSY, "/sme", "h100", 8_000, 6_000, 8_000, Actor.TIME, "guaranteed", 2_000)
KEPT = Blocker(Reason.RESERVED_FOR_OTHER, "/uni", "h100", 8_000, 12_000, 8_000, Actor.TIME, "borrow", 4_000)
FEWER = {
    "the largest that all reasons of a tier leave room for: min(4, 5) of 4 each": ([FULL, CAP], 1),
    "one reason leaves none": ([FULL, replace(CAP, left=3_000)], 0),
    "of two tiers the better one: guaranteed 2 < 4, borrow 4": ([BUSY, KEPT], 1),
    "below nothing": ([replace(FULL, left=-1_000)], 0),
    "not while it waits out a back-off": (
        [Blocker(Reason.BACKOFF_AFTER_FAILURE, "", "h100", 0, 0, NOW_MS + 1, Actor.TIME), FULL],
        0,
    ),
}


@pytest.mark.parametrize(("blockers", "nodes"), FEWER.values(), ids=FEWER.keys())
def test_a_smaller_gang_is_one_that_could_start(blockers: list[Blocker], nodes: int) -> None:
    wanted = (f"fewer nodes: --nodes {nodes}",) if nodes else ()
    assert explain(FACTS, blockers, NOW_MS).would_help == wanted


@pytest.mark.parametrize(
    ("tiers", "open_tiers", "wanted"),
    [
        (
            (Tier.GUARANTEED,),
            (Tier.BORROW, Tier.SCAVENGE),
            "--tier guaranteed,borrow: start now on GPUs that others do",
        ),
        ((Tier.SCAVENGE,), (Tier.GUARANTEED,), "--tier guaranteed,scavenge: start now inside a guarantee"),
        ((Tier.GUARANTEED,), (), ""),
    ],
)
def test_another_tier_is_one_that_is_open(tiers: tuple[Tier, ...], open_tiers: tuple[Tier, ...], wanted: str) -> None:
    facts = replace(FACTS, request=replace(REQUEST, tiers=tiers), open_tiers=open_tiers)
    found = explain(facts, [replace(BUSY, left=0)], NOW_MS).would_help
    assert [text[: len(wanted)] for text in found] == ([wanted] if wanted else [])
