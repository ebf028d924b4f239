"""Rule 8 (decision 0009), one world a row; the sum that decides is beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.explain import JobFacts, explain
from scheduler.core.lifecycle import JobState
from scheduler.sim.checkers import check_all
from tests.support.worlds import LEAVE_MS, NOW_MS, plan_text, world


class Row(NamedTuple):
    """A world, and the plan it must give; a line that ends in ``;`` goes on."""

    text: str
    wanted: str


VICTIMS = {
    "who is not needed after all is let go: r2 + r1 is enough, r1 alone too": Row(
        """node n1 h100 8
        tree /sme h100 g=4
        run r1 /uni/a/p/u h100 1x4 scavenge on n1 saved=-50m      # 4 x 50 = 200 GPU-min
        run r2 /uni/a/p/u h100 1x2 scavenge on n1 saved=-10m      # 2 x 10
        run r3 /uni/a/p/u h100 1x2 borrow on n1 saved=-1m
        pend j1 /sme/a/p/u h100 1x4 guaranteed""",
        """j1 from r1 c: n1:4
        j1 waits: NoCapacity 4 of 0/4""",
    ),
    "a borrower only where scavengers do not do": Row(
        """node n1 h100 8
        tree /sme h100 g=4
        run r1 /uni/a/p/u h100 1x2 scavenge on n1
        run r2 /uni/a/p/u h100 1x3 borrow on n1 saved=-9m         # 27 GPU-min
        run r3 /uni/a/p/u h100 1x3 borrow on n1 saved=-10m        # 30
        pend j1 /sme/a/p/u h100 1x4 guaranteed                    # 2 + 3 >= 4""",
        """j1 from r1, r2 c: n1:4
        j1 waits: NoCapacity 4 of 0/4""",
    ),
    "its own organisation's too": Row(
        """node n1 h100 4
        tree /sme h100 g=4
        run r1 /sme/a/p/u h100 1x4 borrow on n1
        pend j1 /sme/a/p/u h100 1x4 guaranteed,borrow""",
        """j1 from r1 c: n1:4
        j1 waits: NoCapacity 4 of 0/4""",
    ),
    "the cluster where least is lost, not the fullest": Row(
        """node east/n1 h100 4
        node west/n1 h100 4
        tree /sme h100 g=4
        run r1 /uni/a/p/u h100 1x4 borrow on east/n1 saved=-20m
        run r2 /uni/a/p/u h100 1x2 borrow on west/n1 saved=-30m   # 2 x 30 < 4 x 20
        pend j1 /sme/a/p/u h100 1x4 guaranteed""",
        """j1 from r2 west: n1:4
        j1 waits: NoCapacity 4 of 2/4""",
    ),
    "a loss counts up to an hour of each GPU: 120 min are not more than 60": Row(
        """node n1 h100 4
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x2 borrow on n1
        run r2 /uni/b/p/u h100 1x2 borrow on n1 saved=-120m
        pend j1 /sme/a/p/u h100 1x2 guaranteed                     # equal: by name""",
        """j1 from r1 c: n1:2
        j1 waits: NoCapacity 2 of 0/2""",
    ),
    "at its cap by its own loan, on other nodes: 4 + 2 > 4": Row(
        """node n1 h100 4
        node n2 h100 4
        tree /sme h100 g=4 bl=0
        run r1 /sme/a/p/u h100 1x4 borrow on n1
        pend j1 /sme/b/p/u h100 1x2 guaranteed""",
        """j1 from r1 c: n1:2
        j1 waits: NoCapacity 2 of 0/2""",
    ),
}

NOBODY = {
    "wider than what can be given back: 3 and 3, and 4 on one node are needed": Row(
        """node n1 h100 4
        node n2 h100 4
        tree /sme h100 g=6
        run g1 /sme/a/p/u h100 1x1 guaranteed on n1
        run g2 /sme/a/p/u h100 1x1 guaranteed on n2
        run r1 /uni/a/p/u h100 1x3 borrow on n1
        run r2 /uni/a/p/u h100 1x3 borrow on n2
        pend j1 /sme/b/p/u h100 1x4 guaranteed""",
        "j1 waits: NoCapacity 4 of 0/8",
    ),
    "not inside its guarantee: 3 > 2": Row(
        """node n1 h100 4
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x4 borrow on n1
        pend j1 /sme/a/p/u h100 1x3 guaranteed,borrow""",
        "j1 waits: NoCapacity 3 of 0/4; ShareBusy[guaranteed] /sme 3 of 0/2",
    ),
    "a list that begins with another tier": Row(
        """node n1 h100 4
        tree /sme h100 g=4
        run r1 /uni/a/p/u h100 1x4 scavenge on n1
        pend j1 /sme/a/p/u h100 1x4 borrow,guaranteed""",
        "j1 waits: NoCapacity 4 of 0/4",
    ),
    "what cordoned nodes lend is no capacity: guarantees of 6 are 6 x 4 / 6 = 4 and 1 x 4 / 6 < 1": Row(
        """node n1 h100 4
        node n2 h100 4 cordoned
        tree /uni h100 g=5
        tree /sme h100 g=1
        run r1 /lab/a/p/u h100 2x4 borrow on n1,n2
        pend j1 /sme/a/p/u h100 1x1 guaranteed""",
        """j1 waits: NoCapacity 1 of 0/4; ShareBusy[guaranteed] /sme 1 of 0/0.666;
        NoCapacity[guaranteed] / 6 of 4/1""",
    ),
}

LEAVING = {
    "enough leaves anyway: nobody is asked": Row(
        """node n1 h100 4
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x2 borrow on n1
        run r2 /uni/a/p/u h100 1x2 guaranteed on n1 leaving=cancel
        pend j1 /sme/a/p/u h100 1x2 guaranteed""",
        """j1 from nobody c: n1:2
        j1 waits: NoCapacity 2 of 0/2""",
    ),
    "nobody can say when a lost one is gone": Row(
        """node n1 h100 4
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x2 borrow on n1
        run r2 /uni/a/p/u h100 1x2 borrow on n1 leaving=lost
        pend j1 /sme/a/p/u h100 1x2 guaranteed""",
        """j1 from r1 c: n1:2
        j1 waits: NoCapacity 2 of 0/2""",
    ),
    "nor of one that is overdue: 12 min are over": Row(
        """node n1 h100 4
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x2 borrow on n1
        run r2 /uni/a/p/u h100 1x2 borrow on n1 leaving=evict-12m
        pend j1 /sme/a/p/u h100 1x2 guaranteed""",
        """j1 from r1 c: n1:2
        j1 waits: NoCapacity 2 of 0/2""",
    ),
}

KEPT = {
    "it starts in its places when they are free, before a smaller share": Row(
        """node n1 h100 4
        tree /sme h100 g=2
        tree /uni h100 g=2
        used /sme/a/p/u 9
        pend j1 /sme/a/p/u h100 1x2 guaranteed
        pend j2 /uni/a/p/u h100 1x2 guaranteed
        pend j3 /uni/a/p/u h100 1x4 borrow
        keep j1 on n1""",
        """j1 guaranteed c: n1:2
        j2 guaranteed c: n1:2
        j3 waits: NoCapacity 4 of 0/4""",
    ),
    "what is free of it already is nobody else's; the gang of 1 has one beside it": Row(
        """node n1 h100 4
        tree /sme h100 g=3
        run r1 /uni/a/p/u h100 1x1 borrow on n1 leaving=evict
        run r2 /uni/a/p/u h100 1x1 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x3 guaranteed
        pend j2 /lab/a/p/u h100 1x1 borrow
        keep j1 on n1""",
        """j1 waits: NoCapacity 3 of 2/3
        j2 waits: ReservedForOther /sme/a/p/u 1 of 0/3""",
    ),
    "elsewhere if that is sooner; its places are for others then": Row(
        """node n1 h100 2
        node n2 h100 2
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x1 borrow on n1 leaving=evict
        pend j1 /sme/a/p/u h100 1x2 guaranteed
        pend j2 /lab/a/p/u h100 1x1 borrow
        keep j1 on n1""",
        """j1 guaranteed c: n2:2
        j2 borrow c: n1:1""",
    ),
    "each takes its own as soon as it is free, though what a later one waits for is still held": Row(
        """node n1 h100 8
        tree /sme h100 g=4
        tree /uni h100 g=4
        run r2 /lab/a/p/u h100 1x4 borrow on n1 leaving=evict
        pend j1 /sme/a/p/u h100 1x4 guaranteed
        pend j2 /uni/a/p/u h100 1x4 guaranteed
        pend j3 /lab/a/p/u h100 1x1 borrow
        keep j1 on n1
        keep j2 on n1""",
        """j1 guaranteed c: n1:4
        j2 waits: NoCapacity 4 of 0/4
        j3 waits: NoCapacity 1 of 0/8""",
    ),
    "a cap counts what is held, not what a later one waits for: 2 + 2 <= 4": Row(
        """node n1 h100 8
        tree /sme h100 g=4 bl=0
        run r2 /sme/b/p/u h100 1x2 borrow on n1 leaving=evict
        pend j1 /sme/a/p/u h100 1x2 guaranteed
        pend j2 /sme/a/p/u h100 1x2 guaranteed
        keep j1 on n1
        keep j2 on n1""",
        """j1 guaranteed c: n1:2
        j2 waits: NoCapacity 2 of 2/2""",
    ),
    "a node that takes no new work: it falls, and claims again": Row(
        """node n1 h100 2 cordoned
        node n2 h100 2
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x2 borrow on n1 leaving=evict
        run r2 /uni/a/p/u h100 1x2 borrow on n2
        pend j1 /sme/a/p/u h100 1x2 guaranteed
        keep j1 on n1""",
        """j1 is kept nothing
        j1 from r2 c: n2:2
        j1 waits: NoCapacity 2 of 0/2""",
    ),
    "a victim that is lost: what it holds may never be free": Row(
        """node n1 h100 2
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x2 borrow on n1 leaving=lost
        pend j1 /sme/a/p/u h100 1x2 guaranteed
        keep j1 on n1""",
        """j1 is kept nothing
        j1 waits: NoCapacity 2 of 0/2""",
    ),
}

TABLES = {"victims": VICTIMS, "nobody": NOBODY, "leaving": LEAVING, "kept": KEPT}
ROWS = {f"{table}: {name}": row for table, rows in TABLES.items() for name, row in rows.items()}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_rule(row: Row) -> None:
    snapshot = world(row.text)
    plan = decide(snapshot)
    wanted = "\n".join(line.strip() for line in row.wanted.splitlines()).replace(";\n", "; ")
    assert plan_text(snapshot, plan) == wanted
    assert check_all(snapshot, plan) == []


def test_it_is_told_what_is_free_and_how_long_the_rest_has() -> None:
    """r1 was asked 2 of its 12 minutes ago: 600 s are left; 1 of 2 is free."""
    snapshot = world(
        """node n1 h100 2
        tree /sme h100 g=2
        run r1 /uni/a/p/u h100 1x1 borrow on n1 leaving=evict-2m
        pend j1 /sme/a/p/u h100 1x2 guaranteed
        keep j1 on n1"""
    )
    plan = decide(snapshot)
    assert plan.awaited["j1"].by_ms == NOW_MS - 120_000 + LEAVE_MS
    [job] = snapshot.pending
    facts = JobFacts("j1", JobState.QUEUED, job.leaf, job.request, room_by_ms=plan.awaited["j1"].by_ms)
    told = explain(facts, plan.reasons(job), snapshot.at_ms)
    [reason] = told.reasons
    assert reason.sentence == (
        "It is inside its guarantee, so lent GPUs are being taken back for it: 1 is free already of 2 h100 GPUs; who "
        "holds the rest was asked to leave and has 600 s at most."
    )
    assert told.would_help == ()


def test_others_are_told_of_a_class_only() -> None:
    snapshot = world(KEPT["what is free of it already is nobody else's; the gang of 1 has one beside it"].text)
    plan = decide(snapshot)
    job = next(item for item in snapshot.pending if item.job == "j2")
    told = explain(JobFacts("j2", JobState.QUEUED, job.leaf, job.request), plan.reasons(job), snapshot.at_ms)
    [reason] = told.reasons
    assert reason.sentence == (
        "3 h100 GPUs are being gathered for gangs inside their guarantee, most for others of class sme; 0 are free "
        "beside them, this gang needs 1."
    )
    assert reason.blocker.tree_node == "/sme"


def test_an_overdue_victim_is_the_only_news() -> None:
    """The same world a moment before and at the end of the victim's time."""
    snapshot = world(LEAVING["nor of one that is overdue: 12 min are over"].text)
    before = decide(replace(snapshot, at_ms=snapshot.at_ms - 1))
    assert [step.victims for step in before.reclaims] == [()]
    assert [step.victims for step in decide(snapshot).reclaims] == [(("r1", 1),)]
