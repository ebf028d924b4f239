"""What the sharing tree owes in one hour to those who ask in it (docs/decisions/0012, section 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from scheduler.core.allocator.fairshare import Claim, split
from scheduler.core.tree import ROOT, Tree, parent_of


class Owed(NamedTuple):
    """Of one tree node and hour, in milli-GPU-milliseconds.

    demand: what it asked for, running or waiting. guaranteed: the part of it that its guarantee covers. entitled: what
    it gets when all capacity is divided among those who ask, as ``core.allocator.fairshare`` divides it for an instant.
    """

    demand: int
    guaranteed: int
    entitled: int


def owed(tree: Tree, flavor: str, length_ms: int, capacity: int, demand: Mapping[str, int]) -> dict[str, Owed]:
    """Path -> what is owed, of everybody who asks and of all tree nodes above.

    demand: path of a project (all as deep) -> milli-GPU-milliseconds that it asked for in an hour of ``length_ms``;
    capacity in the same unit. The guarantee counts first, the rest goes by weight, nobody gets more than it asks for or
    its cap allows.
    """
    asked, children = _summed(demand)
    guarantees = _guarantees(tree, flavor, length_ms, capacity, asked)
    most: dict[str, int] = {}
    for path in sorted(asked, key=lambda path: -path.count("/") if path != ROOT else 1):
        below = children.get(path)
        wanted = sum(most[child] for child in below) if below else asked[path]
        most[path] = min(wanted, _cap(tree, path, flavor, length_ms, wanted))
    shares = {ROOT: min(most.get(ROOT, 0), capacity)}
    for path in _downward(children):
        shares.update(_divided(tree, children[path], shares[path], most, guarantees))
    covered = {path: min(most[path], guarantees[path]) for path in asked}
    if ROOT in covered:
        # Nobody guarantees anything to the pool: what it guarantees is what its classes have.
        covered[ROOT] = sum(covered[path] for path in children[ROOT])
    return {path: Owed(asked[path], covered[path], shares[path]) for path in asked}


def _divided(
    tree: Tree, below: Sequence[str], share: int, most: Mapping[str, int], guarantees: Mapping[str, int]
) -> Iterable[tuple[str, int]]:
    """The share of each child; nearly always there is enough for all or one child only, and nothing to divide."""
    if len(below) == 1:
        return ((below[0], share),)
    asked = [most[child] for child in below]
    if share >= sum(asked):
        return zip(below, asked, strict=True)
    claims = [
        Claim(min(asks, guarantees[child]), asks, tree.node(child).weight_ppm)
        for child, asks in zip(below, asked, strict=True)
    ]
    return zip(below, split(share, claims), strict=True)


def _summed(demand: Mapping[str, int]) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Demand of every path with any, summed up the tree level by level, and the children that have some, in order."""
    asked: dict[str, int] = {}
    children: dict[str, list[str]] = {}
    level = {path: amount for path, amount in sorted(demand.items()) if amount > 0}
    while level:
        asked.update(level)
        above: dict[str, int] = {}
        for path, amount in level.items():
            if path != ROOT:
                parent = parent_of(path)
                above[parent] = above.get(parent, 0) + amount
                children.setdefault(parent, []).append(path)
        level = above
    return asked, children


def _guarantees(tree: Tree, flavor: str, length_ms: int, capacity: int, paths: Mapping[str, int]) -> dict[str, int]:
    """Guarantees over the hour; below the sum of the classes' all count in proportion (decision 0001, rule 1)."""
    configured = {path: tree.node(path).guarantee.get(flavor, 0) * length_ms for path in paths}
    classes = tree.children.get(ROOT, ())
    promised = sum(tree.node(path).guarantee.get(flavor, 0) for path in classes) * length_ms
    if promised <= capacity:
        return configured
    return {path: amount * capacity // promised for path, amount in configured.items()}


def _cap(tree: Tree, path: str, flavor: str, length_ms: int, wanted: int) -> int:
    """Guarantee plus borrowing limit over the hour; what is wanted where there is no limit."""
    node = tree.node(path)
    if flavor not in node.borrowing_limit:
        return wanted
    return (node.guarantee.get(flavor, 0) + node.borrowing_limit[flavor]) * length_ms


def _downward(children: Mapping[str, list[str]]) -> list[str]:
    """Paths with children, each before those below it."""
    return sorted(children, key=lambda path: 0 if path == ROOT else path.count("/"))
