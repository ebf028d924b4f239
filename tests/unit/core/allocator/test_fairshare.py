"""The division for display: conserved, bounded, by weight, and the standings of every tree node."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import permutations

import pytest

from scheduler.core.allocator.fairshare import Claim, fair_share, split, standings
from tests.support.random_worlds import random_world
from tests.support.worlds import world

CASES = {  # total, (least, most, weight) each, shares
    "by weight: 12 x 1/4, 12 x 3/4": (12, [(0, 99, 1), (0, 99, 3)], [3, 9]),
    "what one does not want goes to the others: 12 - 2 = 10 by 1 : 1": (
        12,
        [(0, 2, 2), (0, 99, 1), (0, 99, 1)],
        [2, 5, 5],
    ),
    "the least first: 10 - 6 = 4": (10, [(6, 99, 1), (0, 99, 1)], [6, 4]),
    "a least that the level passes does not count: 12 / 2 = 6 > 5": (12, [(5, 99, 1), (0, 99, 1)], [6, 6]),
    "both bounds at once: 9 at least, 2 at most, 20 - 11 = 9 for the third": (
        20,
        [(9, 99, 1), (0, 2, 1), (0, 99, 1)],
        [9, 2, 9],
    ),
    "weight 0 gets its least, then what is left over": (10, [(1, 99, 0), (0, 4, 1), (0, 3, 1)], [3, 4, 3]),
    "more than all want": (50, [(0, 4, 1), (0, 3, 0)], [4, 3]),
    "a remainder goes by order: 10 = 4 + 3 + 3": (10, [(0, 9, 1)] * 3, [4, 3, 3]),
    "nothing": (0, [(0, 9, 1)], [0]),
    "nobody": (5, [], []),
}


@pytest.mark.parametrize(("total", "claims", "shares"), CASES.values(), ids=CASES.keys())
def test_split(total: int, claims: list[tuple[int, int, int]], shares: list[int]) -> None:
    assert split(total, [Claim(*claim) for claim in claims]) == shares


def drawn(rng: random.Random) -> tuple[int, list[Claim]]:
    """A division whose leasts fit the total, as guarantees do."""
    claims = []
    for _ in range(rng.randint(1, 6)):
        most = rng.randint(0, 60)
        claims.append(Claim(rng.randint(0, most), most, rng.choice((0, 1, 1, 2, 3, 10))))
    return rng.randint(sum(claim.least for claim in claims), sum(claim.most for claim in claims) + 9), claims


def test_split_is_conserved_bounded_and_without_envy(rng: random.Random) -> None:
    """Nobody above its least has more per weight than one below its most, but for the rounding of one unit each."""
    for _ in range(3_000):
        total, claims = drawn(rng)
        shares = split(total, claims)
        assert sum(shares) == min(total, sum(claim.most for claim in claims)), (total, claims)
        both = list(zip(claims, shares, strict=True))
        assert all(claim.least <= share <= claim.most for claim, share in both), (total, claims)
        for (mine, share), (other, less) in permutations(both, 2):
            if not other.weight_ppm or less == other.most or share <= mine.least:
                continue
            assert mine.weight_ppm, (total, claims)
            assert Fraction(share - 1, mine.weight_ppm) <= Fraction(less + 1, other.weight_ppm), (total, claims)


def test_more_weight_or_a_higher_least_never_gets_less(rng: random.Random) -> None:
    """S8 for one division, up to the rounding of one unit."""
    for _ in range(2_000):
        total, claims = drawn(rng)
        before = split(total, claims)[0]
        heavier = claims[0]._replace(weight_ppm=claims[0].weight_ppm + rng.randint(1, 5))
        assert split(total, [heavier, *claims[1:]])[0] >= before - 1, (total, claims)
        room = total - sum(claim.least for claim in claims)
        more = claims[0].least + rng.randint(0, max(0, min(room, claims[0].most - claims[0].least)))
        assert split(total, [claims[0]._replace(least=more), *claims[1:]])[0] >= before - 1, (total, claims)


WORLD = """
node n1 h100 8
node n2 h100 8
tree /sme w1 h100 g=4 bl=2 ll=3
tree /uni w3 h100 g=8
run r1 /sme/a/p/u h100 1x2 guaranteed on n1
run r2 /sme/a/p/u h100 1x1 borrow on n1
run r3 /uni/b/p/u h100 2x2 scavenge on n1,n2
pend j1 /sme/a/p/u h100 1x8 borrow
pend j2 /uni/b/p/u h100 2x8 borrow
pend j3 /uni/c/p/u h100 1x1 borrow
"""


def test_fair_share_divides_the_pool_among_all_who_ask() -> None:
    """/sme asks for 3 + 8 but its cap is 6; 16 by 1 : 3 is 4 : 12; inside /uni c wants only 1."""
    shares = fair_share(world(WORLD))["h100"]
    wanted = {"/": 16_000, "/sme": 4_000, "/uni": 12_000, "/uni/b": 11_000, "/uni/c": 1_000, "/sme/a/p/u": 4_000}
    assert {path: shares[path] for path in wanted} == wanted


def test_standings_have_all_numbers_of_a_tree_node() -> None:
    found = {(line.tree_node, line.flavor): line for line in standings(world(WORLD))}
    sme, root, uni = found["/sme", "h100"], found["/", "h100"], found["/uni", "h100"]
    assert (sme.weight_ppm, sme.guarantee, sme.effective_guarantee) == (1_000_000, 4_000, 4_000)
    assert (sme.borrowing_limit, sme.lending_limit, uni.borrowing_limit) == (2_000, 3_000, None)
    assert (sme.held_guaranteed, sme.held_borrow, sme.held_scavenge, sme.pending) == (2_000, 1_000, 0, 8_000)
    assert (root.held_guaranteed, root.held_borrow, root.held_scavenge, root.pending) == (2_000, 1_000, 4_000, 25_000)
    assert found["/sme/a/p/u", "h100"].fair_share == 4_000


def test_shrunk_guarantees_are_shown_as_they_count() -> None:
    lines = standings(
        world("node n1 h100 6\ntree /sme h100 g=4\ntree /uni h100 g=8\npend j1 /sme/a/p/u h100 1x1 borrow")
    )
    assert {line.tree_node: (line.guarantee, line.effective_guarantee) for line in lines if line.guarantee} == {
        "/sme": (4_000, 2_000),  # 4 x 6 / 12
        "/uni": (8_000, 4_000),  # 8 x 6 / 12
    }


def test_shares_of_children_sum_to_the_parents(seed: int) -> None:
    divided = 0
    for number in range(seed, seed + 100):
        snapshot = random_world(number)
        for shares in fair_share(snapshot).values():
            for path, share in shares.items():
                below = [other for other in shares if other != path and other.rsplit("/", 1)[0] == path.rstrip("/")]
                if below:
                    assert sum(shares[other] for other in below) == share, f"random_world({number}) {path}"
                    divided += share > 0
    assert divided > 100
