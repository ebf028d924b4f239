"""The sharing tree as flat lists: a tree node is a number, its parent has a smaller one, the root is 0.

The hot loop walks numbers instead of paths. The listed part is made once per tree; leaves that only
jobs know (users without rules of their own) are appended for each cycle.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from scheduler.core.tree import ROOT, Tree, TreeNode, parent_of
from scheduler.core.units import PPM_ONE

NOWHERE = -1
"""No tree node: the parent of the root."""


class Entitlements:
    """What the tree nodes have of one flavor, as (number, milli-GPUs) pairs where anything is set."""

    __slots__ = ("borrowing", "guarantees", "lending")

    def __init__(self) -> None:
        self.guarantees: list[tuple[int, int]] = []
        self.borrowing: list[tuple[int, int]] = []
        self.lending: list[tuple[int, int]] = []


class Layout:
    """Numbers, parents and weights of all tree nodes, and the entitlements by flavor."""

    __slots__ = ("entitlements", "numbers", "parent", "paths", "weight_ppm")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {ROOT: 0}
        self.paths: list[str] = [ROOT]
        self.parent: list[int] = [NOWHERE]
        self.weight_ppm: list[int] = [int(PPM_ONE)]
        self.entitlements: dict[str, Entitlements] = {}

    def number(self, path: str) -> int:
        """The number of a path; it and its ancestors are appended with weight 1 where they are missing."""
        known = self.numbers.get(path)
        if known is not None:
            return known
        parent = self.number(parent_of(path))
        number = len(self.paths)
        self.numbers[path] = number
        self.paths.append(path)
        self.parent.append(parent)
        self.weight_ppm.append(int(PPM_ONE))
        return number

    def extended(self, leaves: Iterable[str]) -> Layout:
        """A layout with these leaves too; the listed part is copied, the entitlements are shared."""
        layout = Layout()
        layout.numbers = dict(self.numbers)
        layout.paths = list(self.paths)
        layout.parent = list(self.parent)
        layout.weight_ppm = list(self.weight_ppm)
        layout.entitlements = self.entitlements
        for leaf in leaves:
            layout.number(leaf)
        return layout

    def of(self, flavor: str) -> Entitlements:
        """Entitlements of a flavor; none where the tree does not name it."""
        return self.entitlements.get(flavor) or Entitlements()


@functools.lru_cache(maxsize=2)
def listed(tree: Tree) -> Layout:
    """The layout of the tree's own nodes. A tree never changes, so it is its own cache key."""
    layout = Layout()
    for path, node in tree.nodes.items():
        number = layout.number(path)
        layout.weight_ppm[number] = node.weight_ppm
        _entitle(layout.entitlements, number, node)
    return layout


def _entitle(by_flavor: dict[str, Entitlements], number: int, node: TreeNode) -> None:
    for flavor, milli_gpus in node.guarantee.items():
        by_flavor.setdefault(flavor, Entitlements()).guarantees.append((number, milli_gpus))
    for flavor, milli_gpus in node.borrowing_limit.items():
        by_flavor.setdefault(flavor, Entitlements()).borrowing.append((number, milli_gpus))
    for flavor, milli_gpus in node.lending_limit.items():
        by_flavor.setdefault(flavor, Entitlements()).lending.append((number, milli_gpus))
