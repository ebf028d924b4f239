"""Tiers: guaranteed starts, then borrow, then what nobody else can use; each job's own list decides its tier."""

from __future__ import annotations

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.model import Tier
from tests.support.worlds import world

TREE = "tree /s h100 g=2\n"

CASES = {  # world, "job:tier" in the order of the starts
    "guaranteed first, although the borrower is older and holds less": (
        """node n1 h100 2
        run r1 /s/a/p/u h100 1x1 borrow on n1
        pend b1 /t/b/p/u h100 1x1 borrow
        pend g1 /s/a/p/u h100 1x1 guaranteed""",
        "g1:guaranteed",
    ),
    "what is not inside the guarantee borrows: 2 of 2 guaranteed, the third not": (
        """node n1 h100 4
        pend j1 /s/a/p/u h100 1x1 guaranteed,borrow
        pend j2 /s/a/p/u h100 1x1 guaranteed,borrow
        pend j3 /s/a/p/u h100 1x1 guaranteed,borrow""",
        "j1:guaranteed j2:guaranteed j3:borrow",
    ),
    "a gang wider than the guarantee borrows whole; a later small one is guaranteed": (
        """node n1 h100 8
        pend j1 /s/a/p/u h100 1x4 guaranteed,borrow
        pend j2 /s/a/p/u h100 1x1 guaranteed,borrow""",
        "j2:guaranteed j1:borrow",
    ),
    "scavenge gets only what no borrower can use": (
        """node n1 h100 3
        pend s1 /t/a/p/u h100 1x1 scavenge
        pend s2 /t/b/p/u h100 1x1 scavenge
        pend b1 /s/a/p/u h100 1x2 borrow""",
        "b1:borrow s1:scavenge",
    ),
    "a borrower that cannot use them does not keep them from scavengers": (
        """node n1 h100 2
        node n2 h100 2
        run r1 /s/a/p/u h100 1x1 borrow on n1
        run r2 /s/a/p/u h100 1x1 borrow on n2
        pend b1 /t/a/p/u h100 1x2 borrow
        pend s1 /t/b/p/u h100 1x1 scavenge
        pend s2 /t/b/p/u h100 1x1 scavenge""",
        "s1:scavenge s2:scavenge",
    ),
    "borrow, guaranteed: borrows while borrowing is open, though inside its guarantee": (
        """node n1 h100 4
        pend j1 /s/a/p/u h100 1x2 borrow,guaranteed
        pend j2 /s/a/p/u h100 1x2 borrow,guaranteed""",
        "j1:borrow j2:borrow",
    ),
    "borrow, guaranteed: and takes no turn among the guaranteed for that": (
        """node n1 h100 2
        pend j1 /s/a/p/u h100 1x2 borrow,guaranteed
        pend g1 /s/b/p/u h100 1x2 guaranteed""",
        "g1:guaranteed",
    ),
    "borrow, guaranteed: guaranteed at once where borrowing is closed: 4 - 1 < 4 kept by /t": (
        """node n1 h100 6
        tree /t h100 g=4 ll=0
        run r1 /u/a/p/u h100 1x2 borrow on n1
        pend j1 /s/a/p/u h100 1x1 borrow,guaranteed
        pend b1 /t/a/p/u h100 1x3 borrow""",
        "j1:guaranteed b1:borrow",
    ),
    "borrow, guaranteed: moves on when borrowing closes on the way": (
        """node n1 h100 6
        tree /t h100 g=4 ll=0
        pend b1 /u/a/p/u h100 1x2 borrow
        pend j1 /s/a/p/u h100 1x1 borrow,guaranteed""",
        "b1:borrow j1:guaranteed",
    ),
    "scavenge, guaranteed: scavenges what is left over": (
        """node n1 h100 4
        pend b1 /t/a/p/u h100 1x2 borrow
        pend j1 /s/a/p/u h100 1x2 scavenge,guaranteed""",
        "b1:borrow j1:scavenge",
    ),
    "scavenge, guaranteed: patience is its own choice: nothing is left over, nothing guaranteed either": (
        """node n1 h100 2
        pend b1 /t/a/p/u h100 1x2 borrow
        pend j1 /s/a/p/u h100 1x2 scavenge,guaranteed""",
        "b1:borrow",
    ),
    "borrow, scavenge: the same rules twice, so never scavenge while it may borrow": (
        """node n1 h100 4
        pend j1 /s/a/p/u h100 1x2 borrow,scavenge""",
        "j1:borrow",
    ),
    "back-off: not before its instant, in no tier": (
        """node n1 h100 4
        pend j1 /s/a/p/u h100 1x1 guaranteed,borrow,scavenge until=+1s
        pend j2 /s/a/p/u h100 1x1 borrow until=+0s""",
        "j2:borrow",
    ),
    "an attempt has the number that its job waits for": (
        """node n1 h100 4
        pend j1 /s/a/p/u h100 1x1 borrow attempt=3""",
        "j1:borrow",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), CASES.values(), ids=CASES.keys())
def test_phases(text: str, wanted: str) -> None:
    snapshot = world(TREE + text)
    steps = decide(snapshot).starts
    assert " ".join(f"{step.job}:{step.tier}" for step in steps) == wanted
    waiting = {job.job: job.attempt for job in snapshot.pending}
    assert all(step.attempt == waiting[step.job] for step in steps)


@pytest.mark.parametrize(
    "tiers", ["guaranteed,borrow,scavenge", "scavenge,borrow,guaranteed", "borrow,guaranteed,scavenge"]
)
def test_a_list_in_any_order_starts_what_can_start(tiers: str) -> None:
    """Four jobs of one GPU on four GPUs: all start, each in some tier of its list."""
    jobs = "".join(f"pend j{number} /s/a/p/u h100 1x1 {tiers}\n" for number in range(4))
    steps = decide(world(TREE + "node n1 h100 4\n" + jobs)).starts
    assert [step.job for step in steps] == ["j0", "j1", "j2", "j3"]
    assert {step.tier for step in steps} <= set(Tier)
