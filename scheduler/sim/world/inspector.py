"""Looks at every decision of the allocators as it is made, also at one that starts nothing and is recorded nowhere."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from scheduler.core.allocator.plan import Plan
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.tree import TreeNode
from scheduler.sim import checkers

DEAR = frozenset({checkers.replayed, checkers.settled})
"""Checks that decide again, two or three times."""
DEAR_EVERY = 5
"""One decision in so many is held against them, too; all others are checked always."""

Decide = Callable[[Snapshot], Plan]


class Inspector:
    """``around(decide)`` decides the same and holds every plan against the properties of the allocator."""

    def __init__(self, found: Callable[[str], None], premise: Callable[[str], None]) -> None:
        """premise: told the name of each property that had something to say about a plan."""
        self._found = found
        self._premise = premise
        self._numbers = count()
        self._shares: dict[tuple[int, int], dict[str, TreeNode]] = {}
        """(policy version, registry sequence) -> the shares last seen under them."""

    def around(self, decide: Decide) -> Decide:
        """For an allocator, in place of ``decide``."""

        def inspected(snapshot: Snapshot) -> Plan:
            plan = decide(snapshot)
            self._inspect(snapshot, plan)
            return plan

        return inspected

    def _inspect(self, snapshot: Snapshot, plan: Plan) -> None:
        number = next(self._numbers)
        versions = (snapshot.policy_version, snapshot.registry_seq)
        if self._shares.get(versions, snapshot.tree.nodes) != snapshot.tree.nodes:
            self._premise("an override has ended")
        self._shares[versions] = snapshot.tree.nodes
        for law in checkers.PROPERTIES:
            if law.check in DEAR and number % DEAR_EVERY:
                continue
            if law.premise(snapshot, plan):
                self._premise(law.name)
            for finding in law.check(snapshot, plan):
                self._found(f"decision at fact {snapshot.fact_seq}, {finding.code}, {finding.where}: {finding.message}")
