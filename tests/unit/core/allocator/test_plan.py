"""Plans: one text, read back whole, and the right reasons for each job."""

from __future__ import annotations

import json

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.plan import Admit, BlockerKey, Plan
from scheduler.core.model import Rank, Tier
from scheduler.core.reasons import Actor, Blocker, Reason
from tests.support.worlds import world

WORLD = """
node n1 h100 4
tree /sme h100 g=2 bl=3
pend j1 /sme/a/p/u h100 1x2 guaranteed,borrow
pend j2 /sme/a/p/u h100 1x4 guaranteed,borrow
pend j3 /sme/a/p/u h100 1x4 borrow
pend j4 /sme/a/p/v h100 1x1 scavenge until=+9s
"""
BUSY = Blocker(Reason.SHARE_BUSY, "/sme", "h100", 4_000, 2_000, 2_000, Actor.TIME, "guaranteed", 0)
FULL = Blocker(Reason.NO_CAPACITY, "", "h100", 4_000, 2_000, 4_000, Actor.TIME, left=0)
CAP = Blocker(Reason.ORG_CAP_REACHED, "/sme", "h100", 4_000, 2_000, 5_000, Actor.ADMIN, left=3_000)


def test_reasons_of_each_job() -> None:
    snapshot = world(WORLD)
    plan = decide(snapshot)
    jobs = {job.job: job for job in snapshot.pending}
    assert plan.steps == (Admit("j1", 1, Tier.GUARANTEED, "c", (Rank(0, "n1", 2),)),)
    assert plan.reasons(jobs["j1"]) == ()
    assert plan.reasons(jobs["j2"]) == (CAP, FULL, BUSY)
    assert plan.reasons(jobs["j3"]) == (CAP, FULL)  # what closes guaranteed does not concern it
    [backoff] = plan.reasons(jobs["j4"])
    assert (backoff.reason, backoff.limit) == (Reason.BACKOFF_AFTER_FAILURE, snapshot.at_ms + 9_000)
    assert set(plan.blockers) == {BlockerKey("/sme", "h100", 1, 4), BlockerKey("/sme", "h100", 1, 1)}


def test_one_text_and_back() -> None:
    plan = decide(world(WORLD))
    text = plan.canonical()
    again = Plan.from_json(json.loads(text))
    assert again == plan and again.canonical() == text
    assert Plan.from_json(json.loads(Plan().canonical())) == Plan()


def test_the_text_does_not_depend_on_the_order_of_entries() -> None:
    plan = decide(world(WORLD + "pend j5 /uni/a/p/u h100 3x1 scavenge\npend j6 /uni/a/p/u h100 1x4 guaranteed"))
    turned = Plan(plan.steps, dict(reversed(list(plan.blockers.items()))), plan.backoff)
    assert len(plan.blockers) > 2
    assert turned.canonical() == plan.canonical()


def test_a_text_says_each_reason_once() -> None:
    plan = decide(world(WORLD + "".join(f"pend k{n} /sme/o{n}/p/u h100 1x4 borrow\n" for n in range(50))))
    value = plan.to_json()
    assert len(value["waiting"]) == 2  # fifty lines under one tree node with rules: one entry, and one for j4
    assert len(value["blockers"]) == len({tuple(row) for row in value["blockers"]})


def test_the_nearest_tree_node_with_rules_decides() -> None:
    """Of two users of one project one has a limit of its own: same shape, other reasons."""
    snapshot = world(
        """node n1 h100 4
        tree /sme/a/p/kim h100 bl=1
        run r1 /sme/a/p/lee h100 1x3 borrow on n1
        pend k1 /sme/a/p/kim h100 1x2 borrow
        pend l1 /sme/a/p/lee h100 1x2 borrow"""
    )
    plan = decide(snapshot)
    kim, lee = (plan.reasons(job) for job in snapshot.pending)
    assert [blocker.reason for blocker in kim] == [Reason.PROJECT_CAP_REACHED, Reason.NO_CAPACITY]
    assert [blocker.reason for blocker in lee] == [Reason.NO_CAPACITY]


def test_what_is_told_to_a_job_in_back_off_is_its_own() -> None:
    """The class's guarantee of 4 is full; a's own 4 are free, and but for its back-off j1 would start in them."""
    snapshot = world(
        """node n1 h100 4
        node n2 h100 4
        tree /sme h100 g=8
        tree /sme/a h100 g=4
        run r1 /sme/b/p/u h100 1x4 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x4 guaranteed until=+9s
        pend j2 /sme/b/p/u h100 1x4 guaranteed"""
    )
    plan = decide(snapshot)
    told = {job.job: [blocker.reason for blocker in plan.reasons(job)] for job in snapshot.pending}
    assert told == {"j1": [Reason.BACKOFF_AFTER_FAILURE], "j2": [Reason.SHARE_BUSY]}


def test_a_job_is_behind_only_in_the_tier_it_would_start_in() -> None:
    """2 of 2 are in use. j1 is next, inside its guarantee; j2 would borrow, as it lists first; j3's 2 - 1 < 2."""
    snapshot = world(
        """node n1 h100 2
        tree /sme h100 g=2
        tree /uni h100 g=2
        run r1 /lab/a/p/u h100 1x1 guaranteed on n1
        run r2 /uni/a/p/u h100 1x1 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x1 guaranteed,borrow
        pend j2 /sme/b/p/u h100 1x1 borrow,guaranteed
        pend j3 /uni/c/p/u h100 1x2 guaranteed,borrow"""
    )
    plan = decide(snapshot)
    behind = Reason.BEHIND_HIGHER_PRIORITY
    tiers = [[item.tier for item in plan.reasons(job) if item.reason is behind] for job in snapshot.pending]
    assert tiers == [[], ["borrow"], ["borrow"]]


def test_tiers_that_a_job_does_not_list_and_that_are_open() -> None:
    snapshot = world(
        """node n1 h100 8
        tree /sme h100 g=2
        run r1 /sme/a/p/u h100 1x2 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x2 guaranteed
        pend j2 /sme/a/p/u h100 2x8 guaranteed"""
    )
    plan = decide(snapshot)
    assert [plan.open_tiers(job) for job in snapshot.pending] == [(Tier.BORROW, Tier.SCAVENGE), ()]
    assert Plan().open_tiers(snapshot.pending[0]) == ()


BAD = {
    "no steps": '{"backoff":{},"blockers":[],"reasons":[],"waiting":[]}',
    "unknown step": '{"backoff":{},"blockers":[],"reasons":[],"steps":[{"kind":"dance"}],"waiting":[]}',
    "unknown reason": '{"backoff":{},"blockers":[["Mood","","h",1,1,1,"you","",0,0]]}',
    "a row too short": '{"backoff":{},"blockers":[["NoCapacity"]],"reasons":[],"steps":[],"waiting":[]}',
    "a step without a job": '{"backoff":{},"blockers":[],"reasons":[],"steps":[{"kind":"admit"}],"waiting":[]}',
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        Plan.from_json(json.loads(text))
