"""Who is next: a tournament down the tree, won on each level by the smallest share (decision 0001, rule 5).

share = (h + 2.4 u) / weight, with u the GPUs held now and h their decayed average, both in GPUs of
exchange rate 1; the form and the factor are those of the policy study. All in whole numbers:
5 h + 12 u is the same order, and both are counted in millionths of a GPU.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from scheduler.core.allocator.layout import Layout

PAST, PRESENT = 5, 12
"""1 : 2.4 in whole numbers: the parts of past and present in a share."""
_SCALE = 1_000_000_000
"""A share is rounded down to a billionth of (millionths of a GPU per weight of a millionth)."""
_LAST = 1 << 200
"""Above every share that has a weight: weight 0 comes after all others, by score among its like."""

Entry = tuple[int, int, int]
"""(share, sequence of the subtree's oldest job, tree node)."""


class Shares:
    """Score and share of every tree node; scores sum up the tree."""

    __slots__ = ("parent", "score", "share", "weight_ppm")

    def __init__(self, layout: Layout, past: Mapping[str, int], present: Mapping[int, int]) -> None:
        """past: decayed average per leaf path; present: held per leaf number; both in micro-GPUs of exchange 1."""
        self.parent, self.weight_ppm = layout.parent, layout.weight_ppm
        self.score = score = [0] * len(self.parent)
        for path, micro_gpus in past.items():
            score[layout.numbers[path]] += PAST * micro_gpus
        for leaf, micro_gpus in present.items():
            score[leaf] += PRESENT * micro_gpus
        for node in range(len(score) - 1, 0, -1):
            score[self.parent[node]] += score[node]
        self.share = [
            amount * _SCALE // weight if weight else _LAST + amount
            for amount, weight in zip(score, self.weight_ppm, strict=True)
        ]

    def charge(self, leaf: int, micro_gpus: int) -> None:
        """Count a started gang in the shares of its whole path."""
        node, more = leaf, PRESENT * micro_gpus
        score, share, weights = self.score, self.share, self.weight_ppm
        while node:
            score[node] = amount = score[node] + more
            weight = weights[node]
            share[node] = amount * _SCALE // weight if weight else _LAST + amount
            node = self.parent[node]


class Tournament:
    """A heap of children per tree node: the winner is found by walking down, a change is made walking up.

    Equal shares go to the subtree whose oldest job, as the cycle began, was submitted first. That
    and the shares do not depend on what can start, so a leaf that can start nothing may stay until its turn.
    """

    __slots__ = ("_heaps", "_oldest", "_shares")

    def __init__(self, shares: Shares, oldest: Sequence[int], leaves: Iterable[int]) -> None:
        """oldest: sequence of each tree node's oldest job. leaves: who takes part; a leaf has no children."""
        parent, share = shares.parent, shares.share
        self._shares, self._oldest = shares, oldest
        self._heaps: list[list[Entry]] = [[] for _ in parent]
        heaps = self._heaps
        for leaf in leaves:
            heaps[parent[leaf]].append((share[leaf], oldest[leaf], leaf))
        for node in range(len(parent) - 1, 0, -1):  # children before parents
            if heaps[node]:
                heapq.heapify(heaps[node])
                heaps[parent[node]].append((share[node], oldest[node], node))
        heapq.heapify(heaps[0])

    def leader(self) -> int:
        """The leaf whose turn it is; the root's number 0 when nobody is left."""
        heaps, node = self._heaps, 0
        while heaps[node]:
            node = heaps[node][0][2]
        return node

    def charged(self, leaf: int) -> None:
        """The shares on the leader's path have changed."""
        parent, share, heaps, oldest = self._shares.parent, self._shares.share, self._heaps, self._oldest
        node = leaf
        while node:
            above = parent[node]
            heapq.heapreplace(heaps[above], (share[node], oldest[node], node))
            node = above

    def remove(self, node: int) -> None:
        """Take out the leader, or a tree node on its path with everything below it."""
        parent, heaps = self._shares.parent, self._heaps
        while node:
            node = parent[node]
            heapq.heappop(heaps[node])
            if heaps[node]:
                return
