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
BUSY = Blocker(Reason.SHARE_BUSY, "/sme", "h100", 4_000, 2_000, 2_000, Actor.YOU, "guaranteed")
FULL = Blocker(Reason.NO_CAPACITY, "", "h100", 4_000, 2_000, 4_000, Actor.TIME)
LOST = Blocker(Reason.BEHIND_HIGHER_PRIORITY, "", "h100", 4_000, 2_000, 4_000, Actor.TIME, "borrow")
CAP = Blocker(Reason.ORG_CAP_REACHED, "/sme", "h100", 4_000, 2_000, 5_000, Actor.ADMIN)


def test_reasons_of_each_job() -> None:
    snapshot = world(WORLD)
    plan = decide(snapshot)
    jobs = {job.job: job for job in snapshot.pending}
    assert plan.steps == (Admit("j1", 1, Tier.GUARANTEED, "c", (Rank(0, "n1", 2),)),)
    assert plan.reasons(jobs["j1"]) == ()
    assert plan.reasons(jobs["j2"]) == (CAP, FULL, LOST, BUSY)
    assert plan.reasons(jobs["j3"]) == (CAP, FULL, LOST)  # what closes guaranteed does not concern it
    [backoff] = plan.reasons(jobs["j4"])
    assert (backoff.reason, backoff.limit) == (Reason.BACKOFF_AFTER_FAILURE, snapshot.at_ms + 9_000)
    assert set(plan.blockers) == {BlockerKey("/sme", "h100", 1, 4)}


def test_one_text_and_back() -> None:
    plan = decide(world(WORLD))
    text = plan.canonical()
    again = Plan.from_json(json.loads(text))
    assert again == plan and again.canonical() == text
    assert not plan.is_empty and Plan().is_empty
    assert Plan.from_json(json.loads(Plan().canonical())) == Plan()


def test_the_text_does_not_depend_on_the_order_of_entries() -> None:
    plan = decide(world(WORLD + "pend j5 /uni/a/p/u h100 3x1 scavenge\npend j6 /uni/a/p/u h100 1x4 guaranteed"))
    turned = Plan(plan.steps, dict(reversed(list(plan.blockers.items()))), plan.backoff)
    assert len(plan.blockers) > 2
    assert turned.canonical() == plan.canonical()


def test_a_text_says_each_reason_once() -> None:
    plan = decide(world(WORLD + "".join(f"pend k{n} /sme/o{n}/p/u h100 1x4 borrow\n" for n in range(50))))
    value = plan.to_json()
    assert len(value["waiting"]) == 1  # fifty lines under one tree node with rules: one entry
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


def test_of_lost_places_only_the_first_choice_is_named() -> None:
    """j2 could have started as guaranteed and as borrow when the cycle began; it hears of its first choice."""
    snapshot = world(
        """node n1 h100 2
        tree /sme h100 g=2
        pend j1 /sme/a/p/u h100 1x2 guaranteed,borrow
        pend j2 /sme/b/p/u h100 1x2 borrow,guaranteed
        pend j3 /sme/c/p/u h100 1x2 guaranteed,borrow"""
    )
    plan = decide(snapshot)
    lost = Reason.BEHIND_HIGHER_PRIORITY
    tiers = [[item.tier for item in plan.reasons(job) if item.reason is lost] for job in snapshot.pending]
    assert tiers == [[], ["borrow"], ["guaranteed"]]


BAD = {
    "no steps": '{"backoff":{},"blockers":[],"reasons":[],"waiting":[]}',
    "unknown step": '{"backoff":{},"blockers":[],"reasons":[],"steps":[{"kind":"dance"}],"waiting":[]}',
    "unknown reason": '{"backoff":{},"blockers":[["Mood","","h",1,1,1,"you",""]],"reasons":[],"steps":[],"waiting":[]}',
    "a row too short": '{"backoff":{},"blockers":[["NoCapacity"]],"reasons":[],"steps":[],"waiting":[]}',
    "a step without a job": '{"backoff":{},"blockers":[],"reasons":[],"steps":[{"kind":"admit"}],"waiting":[]}',
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        Plan.from_json(json.loads(text))
