"""What is owed in an hour: rows that a pencil can check, and laws over generated trees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fairness.entitlement import Owed, owed
from scheduler.core.tree import Tree, TreeNode

F = "h100-80g"
PPM = 1_000_000


def tree(*nodes: TreeNode) -> Tree:
    """A tree of one flavor."""
    return Tree(nodes)


def entitled(found: dict[str, Owed], *paths: str) -> list[int]:
    """What these paths are entitled to."""
    return [found[path].entitled if path in found else 0 for path in paths]


WEIGHTED = tree(TreeNode("/a", 3 * PPM), TreeNode("/b", PPM))
PROMISED = tree(TreeNode("/a", PPM, {F: 6}), TreeNode("/b", PPM))
CAPPED = tree(TreeNode("/a", PPM, {F: 2}, {F: 1}), TreeNode("/b", PPM))
TIGHT = tree(TreeNode("/a", PPM, {F: 30}), TreeNode("/b", PPM, {F: 10}))

# tree, capacity over the hour, demand of /a/x/p and /b/y/p, why, entitled of /a and /b. An hour has 10 ms here.
CASES = {
    "by weight 3 to 1": (WEIGHTED, 80, (100, 100), "80 x 3/4, 80 x 1/4", (60, 20)),
    "who asks for less leaves it": (WEIGHTED, 80, (30, 100), "30, and the other 50", (30, 50)),
    "enough for both": (WEIGHTED, 80, (30, 20), "as asked", (30, 20)),
    "the guarantee first": (PROMISED, 80, (100, 100), "6 x 10 = 60 > 40, so 60 and 20", (60, 20)),
    "a guarantee that nobody asks for": (PROMISED, 80, (0, 100), "all of 80", (0, 80)),
    "nobody above the cap": (CAPPED, 80, (100, 100), "(2 + 1) x 10 = 30, and 50", (30, 50)),
    "shrunk guarantees": (TIGHT, 80, (300, 100), "400 promised of 80: 300 x 80 / 400 and 100 x 80 / 400", (60, 20)),
    "no capacity": (WEIGHTED, 0, (5, 5), "nothing", (0, 0)),
}


@pytest.mark.parametrize(("of", "capacity", "asked", "_why", "expected"), CASES.values(), ids=CASES)
def test_owed(of: Tree, capacity: int, asked: tuple[int, int], _why: str, expected: tuple[int, int]) -> None:
    found = owed(of, F, 10, capacity, {"/a/x/p": asked[0], "/b/y/p": asked[1]})
    assert tuple(entitled(found, "/a", "/b")) == expected
    assert entitled(found, "/a/x", "/b/y") == entitled(found, "/a/x/p", "/b/y/p") == list(expected)


def test_the_guaranteed_part_is_what_was_asked_for_inside_the_guarantee() -> None:
    found = owed(PROMISED, F, 10, 80, {"/a/x/p": 45, "/b/y/p": 9})
    assert found["/a"] == Owed(45, 45, 45)
    assert found["/a/x"] == Owed(45, 0, 45)
    assert found["/b"] == Owed(9, 0, 9)
    assert found["/"] == Owed(54, 45, 54)


def test_organisations_of_a_class_share_by_their_own_weights() -> None:
    of = tree(TreeNode("/a"), TreeNode("/a/x", 2 * PPM), TreeNode("/a/y", PPM))
    found = owed(of, F, 10, 90, {"/a/x/p": 500, "/a/x/q": 10, "/a/y/p": 500})
    assert entitled(found, "/a/x", "/a/y", "/a/x/p", "/a/x/q") == [60, 30, 50, 10]


ORGS = ("/a/x", "/a/y", "/b/z")


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Two classes and three organisations, children's guarantees within their parents'."""
    nodes = []
    for name in ("/a", "/b"):
        below = [path for path in ORGS if path.startswith(name)]
        promised = [draw(st.integers(0, 4)) for _ in below]
        limit = draw(st.one_of(st.none(), st.integers(0, 9)))
        own = {F: sum(promised) + draw(st.integers(0, 4))}
        nodes.append(TreeNode(name, draw(st.integers(0, 3)) * PPM, own, {} if limit is None else {F: limit}))
        nodes += [
            TreeNode(path, draw(st.integers(0, 3)) * PPM, {F: amount})
            for path, amount in zip(below, promised, strict=True)
        ]
    return tree(*nodes)


@given(trees(), st.integers(0, 400), st.lists(st.integers(0, 200), min_size=3, max_size=3))
def test_laws_of_entitlement(of: Tree, capacity: int, asked: list[int]) -> None:
    demand = {f"{org}/p": amount for org, amount in zip(ORGS, asked, strict=True)}
    found = owed(of, F, 10, capacity, demand)
    assert all(0 <= node.entitled <= node.demand for node in found.values())
    assert all(node.guaranteed <= node.entitled for node in found.values()), "what is guaranteed is owed"
    for path in {"/", "/a", "/b"} & found.keys():
        below = [other for other in found if other != "/" and (other.rsplit("/", 1)[0] or "/") == path]
        assert found[path].entitled == sum(found[other].entitled for other in below)
    total = found["/"].entitled if found else 0
    assert total <= capacity
    if all(not of.node(name).borrowing_limit for name in ("/a", "/b")):
        assert total == min(capacity, sum(asked)), "nothing is left over while somebody asks"
