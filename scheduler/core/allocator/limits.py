"""The rules that let a gang start: guarantee, borrowing limit, lending limit (decision 0001, rules 1 to 3).

A ``Book`` has one flavor's entitlements and usage over the flat tree. Every answer gets only
stricter while a cycle starts gangs: what once failed fails for the rest of the cycle.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.core.allocator.layout import NOWHERE, Entitlements, Layout
from scheduler.core.allocator.tiers import GUARANTEED
from scheduler.core.model import Tier

NO_LIMIT = 1 << 62
"""Milli-GPUs that nobody reaches: the cap of a tree node without a borrowing limit."""


class Book:
    """One flavor's entitlements and usage, in milli-GPUs, each list by tree node number.

    configured, guarantee: as the policy says, and after shrinking to ``capacity`` (rule 1).
    used: held by the subtree in all tiers. claimed: guaranteed usage of a leaf, or the sum of the
    children's claims; a tree node's claim is the larger of that and its guarantee.
    leaving, lent: what of ``used`` is leaving, and what is lent and could be taken back (decision 0009).
    awaited: what of ``used`` is only kept for gangs that room is made for.
    cap: guarantee plus borrowing limit; capped: the nearest tree node at or above that has one.
    keep: what a lending limit leaves unlent; reserve: what of it (or of the children's) is unused (rule 3).
    """

    __slots__ = (
        "awaited",
        "cap",
        "capacity",
        "capped",
        "claimed",
        "configured",
        "guarantee",
        "keep",
        "leaving",
        "lends",
        "lent",
        "parent",
        "promised",
        "reserve",
        "reserve_below",
        "used",
    )

    def __init__(self, layout: Layout, flavor: str, capacity: int) -> None:
        entitlements = layout.of(flavor)
        size = len(layout.paths)
        self.parent = layout.parent
        self.capacity = capacity
        self.configured = [0] * size
        for number, milli_gpus in entitlements.guarantees:
            self.configured[number] = milli_gpus
        self.promised = sum(amount for number, amount in entitlements.guarantees if self.parent[number] == 0)
        self.guarantee = self._shrunk(entitlements)
        self.cap, self.capped = self._caps(entitlements, size)
        self.keep = [0] * size
        for number, milli_gpus in entitlements.lending:
            self.keep[number] = max(0, self.guarantee[number] - milli_gpus)
        self.lends = any(self.keep)
        """Some tree node keeps something: without one, rule 3 asks nothing."""
        self.used = [0] * size
        self.leaving = [0] * size
        self.lent = [0] * size
        self.awaited = [0] * size
        self.claimed = [0] * size
        self.reserve = [0] * size
        self.reserve_below = [0] * size

    @property
    def shrunk(self) -> bool:
        """The guarantees of the classes are more than the capacity, so all count in proportion."""
        return self.capacity < self.promised

    def settle(self) -> None:
        """Sum up the tree what the leaves hold: call once, after ``used`` and ``claimed`` of the leaves are set."""
        parent, guarantee, used, claimed = self.parent, self.guarantee, self.used, self.claimed
        leaving, lent = self.leaving, self.lent
        for node in range(len(parent) - 1, 0, -1):
            above = parent[node]
            if used[node]:
                used[above] += used[node]
                leaving[above] += leaving[node]
                lent[above] += lent[node]
            claim, right = claimed[node], guarantee[node]
            if claim or right:
                claimed[above] += claim if claim > right else right
        for node in self._on_paths(node for node, kept in enumerate(self.keep) if kept):
            self.reserve[node] = max(0, self.keep[node] - used[node], self.reserve_below[node])
            self.reserve_below[parent[node]] += self.reserve[node]

    def left(self, node: int, tier: Tier, free_milli_gpus: int) -> int:
        """The largest gang, in milli-GPUs, that the rules let start at or below a tree node in this tier."""
        if tier is GUARANTEED:
            return min(self.cap_left(node), self.guarantee_left(node))
        return min(self.cap_left(node), free_milli_gpus - self.reserved_beside(node))

    def guarantee_left(self, node: int) -> int:
        """Rule 1: what is not claimed of the guarantees on the path.

        A gang raises the claim of each tree node above it only by what exceeds the unclaimed guarantee below,
        so "the claims with the gang fit the guarantee of some tree node" is "the gang is at most this sum".
        """
        parent, guarantee, claimed = self.parent, self.guarantee, self.claimed
        left = 0
        while node != NOWHERE:
            if guarantee[node] > claimed[node]:
                left += guarantee[node] - claimed[node]
            node = parent[node]
        return left

    def over_claimed(self, node: int) -> int:
        """What is claimed above the topmost guarantee of the path: freed GPUs fill that before they are left again."""
        top = NOWHERE
        while node != NOWHERE:
            top = node if self.guarantee[node] else top
            node = self.parent[node]
        return max(0, self.claimed[top] - self.guarantee[top]) if top != NOWHERE else 0

    def cap_left(self, node: int) -> int:
        """Rule 2: what every tree node of the path may still hold more, at most its guarantee plus borrowing limit."""
        parent, capped, cap, used = self.parent, self.capped, self.cap, self.used
        left = NO_LIMIT
        node = capped[node]
        while node != NOWHERE:
            left = min(left, cap[node] - used[node])
            node = capped[parent[node]] if node else NOWHERE
        return left

    def cap_left_soon(self, node: int, *, returned: bool = False) -> int:
        """Rule 2 once all that leaves is gone; ``returned``: and all that is lent has been taken back."""
        if not self.leaving[0] and not (returned and self.lent[0]):
            return self.cap_left(node)
        return min((left for _, left in self.caps_soon(node, returned=returned)), default=NO_LIMIT)

    def caps_soon(self, node: int, *, returned: bool = False) -> list[tuple[int, int]]:
        """Every tree node of the path that has a cap, the lowest first, with what it may still hold then."""
        found = []
        node = self.capped[node]
        while node != NOWHERE:
            gone = self.leaving[node] + (self.lent[node] if returned else 0)
            found.append((node, self.cap[node] - self.used[node] + gone))
            node = self.capped[self.parent[node]] if node else NOWHERE
        return found

    def reserved_beside(self, node: int) -> int:
        """Rule 3: milli-GPUs that the siblings of the path keep for themselves."""
        if not self.lends:
            return 0
        parent, reserve, below = self.parent, self.reserve, self.reserve_below
        total = 0
        while node:
            above = parent[node]
            total += below[above] - reserve[node]
            node = above
        return total

    def keep_for(self, leaf: int, need: int) -> None:
        """Book a guaranteed gang that room is made for; a need below 0 takes that back.

        What its path keeps unlent stays as it is (rule 3): the gang holds nothing yet.
        """
        node = leaf
        while node != NOWHERE:
            self.used[node] += need
            self.awaited[node] += need
            node = self.parent[node]
        self._claim(leaf, need)

    def charge(self, leaf: int, need: int, *, guaranteed: bool) -> None:
        """Book a started gang on its path: usage, its claim if it is guaranteed, and what the path still keeps."""
        parent, used = self.parent, self.used
        node = leaf
        while node != NOWHERE:
            used[node] += need
            node = parent[node]
        if guaranteed:
            self._claim(leaf, need)
        if self.lends:
            self._keep_less(leaf)

    def ask_to_leave(self, leaf: int, milli_gpus: int) -> None:
        """Book a lent gang as one that leaves."""
        node = leaf
        while node != NOWHERE:
            self.lent[node] -= milli_gpus
            self.leaving[node] += milli_gpus
            node = self.parent[node]

    def _claim(self, leaf: int, need: int) -> None:
        node, more = leaf, need
        while node != NOWHERE and more:
            before, right = self.claimed[node], self.guarantee[node]
            self.claimed[node] = before + more
            more = max(before + more, right) - max(before, right)
            node = self.parent[node]

    def _keep_less(self, leaf: int) -> None:
        node = leaf
        while node:
            above = self.parent[node]
            held = self.used[node] - self.awaited[node]
            reserve = max(0, self.keep[node] - held, self.reserve_below[node])
            self.reserve_below[above] += reserve - self.reserve[node]
            self.reserve[node] = reserve
            node = above

    def _on_paths(self, nodes: Iterable[int]) -> list[int]:
        """The tree nodes and all above them but the root, children before parents."""
        found: set[int] = set()
        for start in nodes:
            node = start
            while node and node not in found:
                found.add(node)
                node = self.parent[node]
        return sorted(found, reverse=True)

    def _shrunk(self, entitlements: Entitlements) -> list[int]:
        """Rule 1: below the sum of the classes' guarantees all shrink by capacity / sum, rounded down."""
        guarantee = list(self.configured)
        if self.capacity < self.promised:
            for number, milli_gpus in entitlements.guarantees:
                guarantee[number] = milli_gpus * self.capacity // self.promised
        guarantee[0] = min(self.configured[0], self.capacity)
        return guarantee

    def _caps(self, entitlements: Entitlements, size: int) -> tuple[list[int], list[int]]:
        """Caps, and for each tree node the nearest capped one at or above it."""
        cap, capped = [NO_LIMIT] * size, [NOWHERE] * size
        for number, milli_gpus in entitlements.borrowing:
            cap[number] = self.configured[number] + milli_gpus
        if entitlements.borrowing:
            for node, above in enumerate(self.parent):
                capped[node] = node if cap[node] != NO_LIMIT else (capped[above] if node else NOWHERE)
        return cap, capped
