"""Who is next: the smallest (h + 2.4 u) / weight on each level; the sum is in the name or beside the world."""

from __future__ import annotations

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.layout import listed
from scheduler.core.allocator.order import Shares, Tournament
from scheduler.core.tree import Tree, TreeNode
from tests.support.worlds import world

NODE = "node n1 h100 {gpus}\n"

CASES = {  # world, GPUs, jobs in the order of their starts
    "equal shares: the oldest job first, then each in turn": (
        """pend a1 /s/a/p/u h100 1x1 borrow
        pend a2 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x1 borrow
        pend b2 /s/b/p/u h100 1x1 borrow""",
        4,
        "a1 b1 a2 b2",
    ),
    "weight 2 gets two for one: b 2.4/2 = 1.2, 4.8/2 = 2.4; a 2.4": (
        """tree /s/b w2
        pend a1 /s/a/p/u h100 1x1 borrow
        pend a2 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x1 borrow
        pend b2 /s/b/p/u h100 1x1 borrow
        pend b3 /s/b/p/u h100 1x1 borrow""",
        4,
        "a1 b1 b2 a2",  # 0 = 0 oldest; 0 < 2.4; 1.2 < 2.4; 2.4 = 2.4 oldest
    ),
    "the past counts: a 4.9 waits until b has 2 x 2.4 = 4.8 and is past it with 7.2": (
        """used /s/a/p/u 4.9
        pend a1 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x1 borrow
        pend b2 /s/b/p/u h100 1x1 borrow
        pend b3 /s/b/p/u h100 1x1 borrow
        pend b4 /s/b/p/u h100 1x1 borrow""",
        4,
        "b1 b2 b3 a1",
    ),
    "the present counts 2.4 times: a holds 2 = 4.8 against b's past 4.7": (
        """run r1 /s/a/p/u h100 1x2 borrow on n1
        used /s/b/p/u 4.7
        pend a1 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x1 borrow""",
        3,
        "b1",
    ),
    "a flavor of rate 0.45 counts less: 2 x 0.45 x 2.4 = 2.16 < 2.4": (
        """flavor a100 0.45
        node n2 a100 2
        run r1 /s/a/p/u a100 1x2 borrow on n2
        run r2 /s/b/p/u h100 1x1 borrow on n1
        pend b1 /s/b/p/u h100 1x1 borrow
        pend a1 /s/a/p/u h100 1x1 borrow""",
        2,
        "a1",
    ),
    "a level decides before the next: /t has nothing, whatever /s/b has": (
        """used /s/a/p/u 1
        pend b1 /s/b/p/u h100 1x1 borrow
        pend t1 /t/a/p/u h100 1x1 borrow""",
        1,
        "t1",
    ),
    "past usage of a user that has no job now counts for the project above": (
        """used /s/a/p/gone 3
        pend a1 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x1 borrow""",
        1,
        "b1",
    ),
    "weight 0 comes last, whatever the others hold": (
        """tree /s/a w0
        run r1 /s/b/p/u h100 1x4 borrow on n1
        pend a1 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x1 borrow
        pend b2 /s/b/p/u h100 1x1 borrow""",
        7,
        "b1 b2 a1",
    ),
    "of two with weight 0 the one that holds less": (
        """tree /s/a w0
        tree /s/b w0
        run r1 /s/a/p/u h100 1x1 borrow on n1
        pend a1 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x1 borrow""",
        2,
        "b1",
    ),
    "a gang that does not fit lets the next of another shape go": (
        """pend a1 /s/a/p/u h100 1x4 borrow
        pend a2 /s/a/p/u h100 1x1 borrow
        pend a3 /s/a/p/u h100 1x4 borrow""",
        3,
        "a2",
    ),
    "inside a line strictly by submission": (
        """pend a1 /s/a/p/u h100 1x2 borrow
        pend a2 /s/a/p/u h100 1x1 borrow
        pend a3 /s/a/p/u h100 1x2 borrow""",
        5,
        "a1 a2 a3",
    ),
    "users of one project take turns": (
        """pend k1 /s/a/p/kim h100 1x1 borrow
        pend k2 /s/a/p/kim h100 1x1 borrow
        pend l1 /s/a/p/lee h100 1x1 borrow""",
        2,
        "k1 l1",
    ),
    "a big gang is not put off by its own size: b goes first with 8, a had 1 more": (
        """used /s/a/p/u 1
        pend a1 /s/a/p/u h100 1x1 borrow
        pend b1 /s/b/p/u h100 1x8 borrow""",
        8,
        "b1",
    ),
}


@pytest.mark.parametrize(("text", "gpus", "wanted"), CASES.values(), ids=CASES.keys())
def test_order(text: str, gpus: int, wanted: str) -> None:
    steps = decide(world(NODE.format(gpus=gpus) + text)).steps
    assert " ".join(step.job for step in steps) == wanted


def test_splitting_a_job_brings_nothing_forward() -> None:
    """S6: one gang of 4 and four jobs of 1 give both sides the same GPUs when they compete for 8."""
    gangs = "".join(f"pend b{n} /s/b/p/u h100 1x4 borrow\n" for n in range(4))
    whole = "".join(f"pend a{n} /s/a/p/u h100 1x4 borrow\n" for n in range(4)) + gangs
    split = "".join(f"pend a{n} /s/a/p/u h100 1x1 borrow\n" for n in range(16)) + gangs
    for text in (whole, split):
        held = {"a": 0, "b": 0}
        snapshot = world(NODE.format(gpus=8) + text)
        for step in decide(snapshot).starts:
            leaf = next(job.leaf for job in snapshot.pending if job.job == step.job)
            held[leaf.split("/")[2]] += sum(rank.gpus for rank in step.ranks)
        assert held == {"a": 4, "b": 4}


def test_scores_sum_up_the_tree_and_shares_divide_by_weight() -> None:
    layout = listed(Tree([TreeNode("/s", 2_000_000), TreeNode("/s/a", 500_000)])).extended(["/s/a/p/u", "/s/a/p/v"])
    number = layout.numbers
    shares = Shares(layout, {"/s/a/p/u": 10}, {number["/s/a/p/u"]: 100, number["/s/a/p/v"]: 1_000})
    own, both = 5 * 10 + 12 * 100, 5 * 10 + 12 * 1_100
    assert [shares.score[number[path]] for path in ("/s/a/p/u", "/s/a/p", "/s/a", "/s")] == [own, both, both, both]
    assert shares.share[number["/s"]] == both * 10**9 // 2_000_000
    shares.charge(number["/s/a/p/v"], 7)
    assert shares.share[number["/s/a"]] == (both + 12 * 7) * 10**9 // 500_000
    assert shares.share[number["/s/a/p/u"]] == own * 10**9 // 1_000_000


def test_a_subtree_leaves_the_tournament_at_once() -> None:
    layout = listed(Tree([TreeNode("/s")])).extended(["/s/a/p/u", "/s/a/p/v", "/s/b/p/u"])
    number = layout.numbers
    shares = Shares(layout, {}, {})
    oldest = list(range(len(layout.paths)))
    leaves = [number[path] for path in ("/s/a/p/u", "/s/a/p/v", "/s/b/p/u")]
    tournament = Tournament(shares, oldest, leaves)
    assert tournament.leader() == number["/s/a/p/u"]
    tournament.remove(number["/s/a"])
    assert tournament.leader() == number["/s/b/p/u"]
    tournament.remove(number["/s/b/p/u"])
    assert tournament.leader() == 0
