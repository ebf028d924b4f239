"""Taking lent GPUs back for a gang inside its guarantee: whom to ask to leave, and where it goes (decision 0009).

Everything of one flavor. Candidates are ordered once a cycle: scavenge before borrow, then what an eviction would
lose, the newest first. A set is made by taking candidates in that order until the gang fits, and then letting go, the
dearest first, of everybody who is not needed after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from scheduler.core.allocator.layout import NOWHERE, Layout
from scheduler.core.allocator.placement import Cluster
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.allocator.stock import Gang, is_lent
from scheduler.core.allocator.tiers import SCAVENGE
from scheduler.core.model import LiveAttempt, Rank


class Candidate(NamedTuple):
    """A lent attempt with its leaf's number and what its eviction would lose, in GPU-milliseconds."""

    attempt: LiveAttempt
    leaf: int
    loss: int

    @property
    def order(self) -> tuple[bool, int, int, str]:
        """Cheapest first."""
        attempt = self.attempt
        return (attempt.tier is not SCAVENGE, self.loss, -attempt.admitted_at_ms, attempt.job)


class Returned(NamedTuple):
    """Where a gang will go, and who has to leave for it (nobody where enough leaves anyway)."""

    cluster: Cluster
    ranks: tuple[Rank, ...]
    victims: tuple[Candidate, ...]


class Lenders:
    """Who holds lent GPUs, by flavor; those that were asked to leave are taken out."""

    def __init__(self, snapshot: Snapshot, layout: Layout) -> None:
        found: dict[str, list[Candidate]] = {}
        for attempt in snapshot.live:
            if is_lent(attempt):
                candidate = Candidate(attempt, layout.numbers[attempt.leaf], snapshot.loss(attempt))
                found.setdefault(attempt.request.flavor, []).append(candidate)
        self._candidates = {flavor: sorted(those, key=lambda item: item.order) for flavor, those in found.items()}

    def room_for(self, gang: Gang, leaf: int) -> Returned | None:
        """The cheapest room for a gang in one cluster; None when there is none even if all is given back.

        What rules 1 and 2 would let it have then is the caller's to ask (``Stock.could_have``).
        """
        stock = gang.stock
        if not stock.machines.could_be_returned(gang.workers, gang.gpus):
            return None
        candidates = self._candidates.get(stock.flavor, [])
        sets = (_Set(gang, leaf, cluster) for cluster in stock.machines.clusters)
        found = [done for made in sets if (done := made.cheapest(candidates))]
        return min(found, key=lambda done: done.cost).room() if found else None

    def ask_to_leave(self, gang: Gang, leaf: int, room: Returned) -> None:
        """Book what was decided: the victims leave, and the places are the gang's."""
        gone, stock = set(), gang.stock
        for candidate in room.victims:
            attempt = candidate.attempt
            gone.add(attempt.job)
            stock.book.ask_to_leave(candidate.leaf, attempt.request.milli_gpus)
            stock.machines.ask_to_leave(attempt.cluster, attempt.ranks)
        if gone:
            those = self._candidates[stock.flavor]
            self._candidates[stock.flavor] = [item for item in those if item.attempt.job not in gone]
        stock.book.keep_for(leaf, gang.need)
        stock.machines.keep(room.cluster.name, room.ranks)


class _Set:
    """A set of victims in the making, for one gang in one cluster."""

    def __init__(self, gang: Gang, leaf: int, cluster: Cluster) -> None:
        self._gang, self._leaf, self._cluster = gang, leaf, cluster
        self._room = [cluster.soon(node) for node in range(len(cluster.node_names))]
        """Free GPUs by node number when all that leaves, and all victims so far, are gone."""
        self._workers = sum(max(0, free) // gang.gpus for free in self._room)
        book = gang.stock.book
        self._missing = {node: gang.need - left for node, left in book.caps_soon(leaf) if left < gang.need}
        """Tree nodes of the path that are at their caps, with what has to be given back below them."""
        self._victims: list[Candidate] = []

    @property
    def cost(self) -> tuple[bool, int, int, int, str]:
        """Cheapest first: no borrower, least lost, fewest GPUs, then the fullest cluster."""
        attempts = [item.attempt for item in self._victims]
        borrows = any(attempt.tier is not SCAVENGE for attempt in attempts)
        free = sum(max(0, self._cluster.soon(node)) for node in range(len(self._room)))
        return (
            borrows,
            sum(item.loss for item in self._victims),
            sum(attempt.request.gpus for attempt in attempts),
            free,
            self._cluster.name,
        )

    def cheapest(self, candidates: Iterable[Candidate]) -> _Set | None:
        """Take until the gang fits, then let go of who is not needed; None when it never fits."""
        if self._cluster.workers_if_returned(self._gang.gpus) < self._gang.workers:
            return None
        for candidate in candidates:
            if self._fits():
                break
            if self._concerns(candidate):
                self._change(candidate, 1)
                self._victims.append(candidate)
        if not self._fits():
            return None
        for candidate in reversed(tuple(self._victims)):
            self._change(candidate, -1)
            if self._fits():
                self._victims.remove(candidate)
            else:
                self._change(candidate, 1)
        return self

    def room(self) -> Returned:
        """The gang at its places: worker by worker the node with the fewest GPUs that fits (rule 6)."""
        gang, names = self._gang, self._cluster.node_names
        chosen: list[int] = []
        fitting = sorted((free, node) for node, free in enumerate(self._room) if free >= gang.gpus)
        for free, node in fitting:  # one that has taken a worker is the fullest, as long as another one fits
            chosen += [node] * min(free // gang.gpus, gang.workers - len(chosen))
        ranks = tuple(Rank(number, names[node], gang.gpus) for number, node in enumerate(sorted(chosen)))
        return Returned(self._cluster, ranks, tuple(self._victims))

    def _fits(self) -> bool:
        return self._workers >= self._gang.workers and all(amount <= 0 for amount in self._missing.values())

    def _concerns(self, candidate: Candidate) -> bool:
        """Whether it holds something here that takes work, or below a tree node that is at its cap."""
        attempt = candidate.attempt
        here = attempt.cluster == self._cluster.name and any(
            rank.node in self._cluster.numbers for rank in attempt.ranks
        )
        return here or any(True for _ in self._capped_above(candidate))

    def _change(self, candidate: Candidate, sign: int) -> None:
        attempt, gpus = candidate.attempt, self._gang.gpus
        if attempt.cluster == self._cluster.name:
            for rank in attempt.ranks:
                node = self._cluster.numbers.get(rank.node)
                if node is not None:
                    before = max(0, self._room[node]) // gpus
                    self._room[node] += sign * rank.gpus
                    self._workers += max(0, self._room[node]) // gpus - before
        for node in self._capped_above(candidate):
            self._missing[node] -= sign * attempt.request.milli_gpus

    def _capped_above(self, candidate: Candidate) -> Iterator[int]:
        if self._missing:
            parent, node = self._gang.stock.book.parent, candidate.leaf
            while node != NOWHERE:
                if node in self._missing:
                    yield node
                node = parent[node]
