"""The checkers can fail: each finds the mistake it is for, made on purpose in a plan or in the cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.plan import Admit, Plan
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.model import Rank, Tier
from scheduler.core.reasons import Actor, Blocker, Reason
from scheduler.sim.checkers import PROPERTIES, after, check_all
from tests.support.worlds import world

WORLD = """
node n1 h100 4
node n2 h100 4
tree /a g=0
tree /b w2 h100 g=4 bl=2
run r1 /b/o/p/u h100 1x2 guaranteed on n1
pend j1 /b/o/p/u h100 1x2 guaranteed,borrow        # claims 2 + 2 = 4 of 4
pend j2 /b/o/p/u h100 1x4 borrow                   # would hold 4 + 4 = 8 of 4 + 2
pend j3 /a/o/p/u h100 2x2 guaranteed,borrow        # 4 are free
pend j4 /a/o/p/u h100 1x1 scavenge
""".replace("tree /a g=0\n", "tree /a\n")

Break = Callable[[Plan], Plan]


def first(plan: Plan, **changes: object) -> Plan:
    """The plan with its first step changed."""
    return replace(plan, steps=(replace(plan.steps[0], **changes), *plan.steps[1:]))  # type: ignore[arg-type]  # fields by name


def without_reasons(plan: Plan, reason: Reason) -> Plan:
    """The plan with one reason left out everywhere."""
    kept = {key: tuple(item for item in found if item.reason is not reason) for key, found in plan.blockers.items()}
    return replace(plan, blockers=kept)


def each_reason(plan: Plan, **changes: object) -> Plan:
    """The plan with every reason changed in the same way."""
    spoilt = {
        key: tuple(replace(item, **changes) for item in found)  # type: ignore[arg-type]  # fields by name
        for key, found in plan.blockers.items()
    }
    return replace(plan, blockers=spoilt)


def only_the_first_reason(plan: Plan) -> Plan:
    """The plan with one reason for each size."""
    return replace(plan, blockers={key: found[:1] for key, found in plan.blockers.items()})


def on(*names: str, gpus: int = 2) -> tuple[Rank, ...]:
    """Ranks on these nodes."""
    return tuple(Rank(number, name, gpus) for number, name in enumerate(names))


BROKEN: dict[str, tuple[str, Break]] = {
    "a node that is full": ("S1 conservation", lambda plan: first(plan, ranks=on("n1", gpus=4))),
    "a node that is not there": ("S1 conservation", lambda plan: first(plan, ranks=on("n9"))),
    "half a gang": ("S2 gang", lambda plan: first(plan, ranks=())),
    "started twice": ("S2 gang", lambda plan: replace(plan, steps=(*plan.steps, plan.steps[0]))),
    "an attempt that is not next": ("S2 gang", lambda plan: first(plan, attempt=7)),
    "a tier that it does not accept": ("S2 gang", lambda plan: first(plan, tier=Tier.SCAVENGE)),
    "a dearer tier than needed": ("tier is the first open one", lambda plan: first(plan, tier=Tier.BORROW)),
    "nothing started": ("S5 work conservation", lambda plan: replace(plan, steps=())),
    "nothing started, so it is not settled": ("S15 settled", lambda plan: replace(plan, steps=())),
    "borrow before guaranteed": ("phases", lambda plan: replace(plan, steps=tuple(reversed(plan.steps)))),
    "no reasons": ("S13 explained", lambda plan: replace(plan, blockers={})),
    "a reason is missing": ("S13 explained", lambda plan: without_reasons(plan, Reason.NO_CAPACITY)),
    "every reason is another one": ("S13 explained", lambda plan: each_reason(plan, reason=Reason.MAINTENANCE_WINDOW)),
    "numbers that say nothing": ("S13 explained", lambda plan: each_reason(plan, have=0, limit=0)),
    "a tree node that has no say": ("S13 explained", lambda plan: each_reason(plan, tree_node="/nobody")),
    "a gang that leaves no room": ("S13 explained", lambda plan: each_reason(plan, left=0)),
    "only the first reason": ("S13 explained", only_the_first_reason),
    "another plan": ("S12 replay", lambda plan: replace(plan, steps=plan.steps[:1])),
}


@pytest.mark.parametrize(("name", "spoil"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plan_is_found(name: str, spoil: Break) -> None:
    snapshot = world(WORLD)
    plan = decide(snapshot)
    assert check_all(snapshot, plan) == []
    item = next(item for item in PROPERTIES if item.name == name)
    assert item.check(snapshot, spoil(plan)) != []


LINE = """
node n1 h100 4
tree /a h100 g=4
run r1 /b/o/p/u h100 1x3 guaranteed on n1
pend j1 /a/o/p/u h100 1x2 guaranteed        # inside its guarantee, and nothing is lent: next
pend j2 /b/o/p/u h100 1x2 borrow            # behind it
pend j3 /b/o/p/u h100 1x8 borrow            # fits nowhere
"""


def test_a_wrong_place_in_line_is_found() -> None:
    snapshot = world(LINE)
    plan = decide(snapshot)
    item = next(item for item in PROPERTIES if item.name == "S13 explained")
    behind = Reason.BEHIND_HIGHER_PRIORITY
    assert sum(blocker.reason is behind for found in plan.blockers.values() for blocker in found) > 0
    assert item.check(snapshot, plan) == []
    assert item.check(snapshot, without_reasons(plan, behind)) != []
    told = Blocker(behind, "", "h100", 8_000, 1_000, 2_000, Actor.TIME, "borrow")
    everywhere = {key: (*found, replace(told, need=key.gpus_per_node * 1_000)) for key, found in plan.blockers.items()}
    assert item.check(snapshot, replace(plan, blockers=everywhere)) != []


def over_the_cap(snapshot: Snapshot) -> Plan:
    """j2 started: /b would hold 2 + 4 = 6 of 4 + 2, and with j1 before it 8."""
    steps = (
        Admit("j1", 1, Tier.GUARANTEED, "c", on("n1")),
        Admit("j2", 1, Tier.BORROW, "c", on("n2", gpus=4)),
    )
    return replace(decide(snapshot), steps=steps)


def over_the_guarantee(snapshot: Snapshot) -> Plan:
    """j3 started as guaranteed: /a has no guarantee."""
    return replace(decide(snapshot), steps=(Admit("j3", 1, Tier.GUARANTEED, "c", on("n2", "n2")),))


@pytest.mark.parametrize(("name", "make"), [("limits", over_the_cap), ("guarantees", over_the_guarantee)])
def test_a_right_that_is_not_there_is_found(name: str, make: Callable[[Snapshot], Plan]) -> None:
    snapshot = world(WORLD)
    item = next(item for item in PROPERTIES if item.name == name)
    assert item.check(snapshot, decide(snapshot)) == []
    assert item.check(snapshot, make(snapshot)) != []


def test_after_is_the_next_instant() -> None:
    snapshot = world(WORLD)
    plan = decide(snapshot)
    quiet = after(snapshot, plan)
    assert {attempt.job for attempt in quiet.live} == {"r1"} | {step.job for step in plan.steps}
    assert {job.job for job in quiet.pending} == {job.job for job in snapshot.pending} - {s.job for s in plan.steps}


RECLAIM = """
node n1 h100 8
tree /a h100 g=4
run g1 /b/o/p/u h100 1x1 guaranteed on n1       # by a policy before this one
run r1 /b/o/p/u h100 1x3 borrow on n1 saved=-1m
run s1 /b/o/p/u h100 1x4 scavenge on n1
pend j1 /a/o/p/u h100 1x4 guaranteed
"""
TAKEN: dict[str, tuple[str, Break]] = {
    "nothing is taken back": ("S3 guarantee", lambda plan: replace(plan, steps=(), awaited={})),
    "from a guaranteed gang": ("S9 no loops", lambda plan: first(plan, victims=(("g1", 1), ("s1", 1)))),
    "from a borrower without need": ("S9 no loops", lambda plan: first(plan, victims=(("r1", 1), ("s1", 1)))),
    "from too few": ("S9 no loops", lambda plan: first(plan, victims=(("r1", 1),))),
    "from nobody": ("S9 no loops", lambda plan: first(plan, victims=())),
    "from one twice": ("S9 no loops", lambda plan: first(plan, victims=(("s1", 1), ("s1", 1)))),
    "on a node that is not there": ("S9 no loops", lambda plan: first(plan, ranks=on("n9", gpus=4))),
    "half a gang": ("S2 gang", lambda plan: first(plan, ranks=())),
    "untold": ("S13 explained", lambda plan: replace(plan, awaited={})),
    "told of more than is free": (
        "S13 explained",
        lambda plan: replace(plan, awaited={"j1": plan.awaited["j1"]._replace(free=1_000)}),
    ),
}


@pytest.mark.parametrize(("name", "spoil"), TAKEN.values(), ids=TAKEN.keys())
def test_a_wrong_reclaim_is_found(name: str, spoil: Break) -> None:
    snapshot = world(RECLAIM)
    plan = decide(snapshot)
    assert plan.reclaims[0].victims == (("s1", 1),)
    assert check_all(snapshot, plan) == []
    item = next(item for item in PROPERTIES if item.name == name)
    assert item.check(snapshot, spoil(plan)) != []
