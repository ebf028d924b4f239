"""Room that is being made, as a cycle finds it: which earmarks still stand, and whose gang can start (decision 0009).

An earmark stands while it will be enough: its gang is still inside its guarantee, and once all that leaves is gone its
places are free and no cap is in the way. One that has fallen is released, and its job waits in its line again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from scheduler.core.allocator.placement import Cluster
from scheduler.core.allocator.plan import Reclaim, Room, Step
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.allocator.stock import Gang, Stock
from scheduler.core.allocator.tiers import GUARANTEED
from scheduler.core.model import Earmark, LiveAttempt, PendingJob
from scheduler.core.tree import class_of
from scheduler.core.units import MILLI_PER_GPU


class Standing(NamedTuple):
    """An earmark that stands: room is kept for its gang at the leaf of this number."""

    earmark: Earmark
    gang: Gang
    leaf: int


class Earmarks:
    """The earmarks of a snapshot in the order in which they were made, booked as guaranteed gangs in stocks."""

    def __init__(self, snapshot: Snapshot, gang_of: Callable[[PendingJob], tuple[Gang, int]]) -> None:
        """gang_of: a job's gang and the number of its leaf."""
        self.standing: list[Standing] = []
        self.fallen: list[PendingJob] = []
        for earmark in sorted(snapshot.earmarks, key=lambda item: item.seq):
            gang, leaf = gang_of(earmark.job)
            if _will_do(gang, leaf, earmark):
                self.standing.append(Standing(earmark, gang, leaf))
                _book(gang.stock, self.standing[-1], 1)
            else:
                self.fallen.append(earmark.job)

    def startable(self) -> Iterator[tuple[Standing, Cluster]]:
        """Each gang that has room now, in its own places or elsewhere, with its cluster.

        What it kept is given back when it is yielded; it is the caller's to place and book it before going on. One that
        starts elsewhere leaves its places to the others, so they are asked again.
        """
        before = -1
        while before != len(self.standing):
            before = len(self.standing)
            for standing in tuple(self.standing):
                gang = standing.gang
                _book(gang.stock, standing, -1)
                cluster = gang.stock.machines.room(gang.workers, gang.gpus)
                if cluster and gang.need <= gang.stock.left(standing.leaf, GUARANTEED):
                    self.standing.remove(standing)
                    yield standing, cluster
                else:
                    _book(gang.stock, standing, 1)

    def most_by_flavor(self) -> dict[str, str]:
        """Flavor -> path of the leaf of the largest gang that room is being made for, ties by path."""
        found = ((-item.gang.need, item.earmark.job.leaf, item.gang.stock.flavor) for item in self.standing)
        return {flavor: leaf for _, leaf, flavor in sorted(found, reverse=True)}


def _will_do(gang: Gang, leaf: int, earmark: Earmark) -> bool:
    """Whether the places will be free and the rules permit it once all that leaves is gone."""
    book = gang.stock.book
    if not gang.claims or gang.need > min(book.guarantee_left(leaf), book.cap_left_soon(leaf)):
        return False
    cluster = gang.stock.machines.cluster(earmark.cluster)
    if cluster is None:
        return False
    wanted: dict[str, int] = {}
    for rank in earmark.ranks:
        wanted[rank.node] = wanted.get(rank.node, 0) + rank.gpus
    numbers = cluster.numbers
    return all(node in numbers and cluster.soon(numbers[node]) >= gpus for node, gpus in wanted.items())


def _book(stock: Stock, standing: Standing, sign: int) -> None:
    stock.book.keep_for(standing.leaf, sign * standing.gang.need)
    stock.machines.keep(standing.earmark.cluster, standing.earmark.ranks, sign)


def awaited(
    snapshot: Snapshot, standing: Iterable[Standing], steps: Iterable[Step], stocks: Mapping[str, Stock]
) -> dict[str, Room]:
    """What each gang still waits for when the cycle has ended: earlier ones count what is free first."""
    asked = {victim for step in steps if isinstance(step, Reclaim) for victim in step.victims}
    leaving = [(item, by_ms) for item in snapshot.live if (by_ms := _leaves_by(snapshot, item, asked)) is not None]
    taken: dict[tuple[str, str], int] = {}
    rooms = {}
    for earmark, gang, _ in standing:
        cluster = stocks[gang.stock.flavor].machines.cluster(earmark.cluster)
        free = 0
        for rank in earmark.ranks:
            spot = (earmark.cluster, rank.node)
            slack = cluster.slack[cluster.numbers[rank.node]] if cluster else 0
            here = min(rank.gpus, max(0, slack - taken.get(spot, 0)))
            taken[spot] = taken.get(spot, 0) + rank.gpus
            free += here * MILLI_PER_GPU
        by_ms = max((by_ms for item, by_ms in leaving if _may_concern(item, earmark)), default=snapshot.at_ms)
        nodes = tuple(rank.node for rank in earmark.ranks)
        rooms[earmark.job.job] = Room(gang.stock.flavor, gang.need, free, by_ms, earmark.cluster, nodes)
    return rooms


def _leaves_by(snapshot: Snapshot, attempt: LiveAttempt, asked: set[tuple[str, int]]) -> int | None:
    """When an attempt is expected to be gone; counted from now for one that this cycle asks to leave."""
    if (attempt.job, attempt.attempt) in asked:
        return snapshot.at_ms + snapshot.leave_ms.get(attempt.tier, 0)
    return snapshot.leaves_by_ms(attempt)


def _may_concern(attempt: LiveAttempt, earmark: Earmark) -> bool:
    """Whether a gang may be waiting for it: it is on one of its nodes, or counts against the caps of its class."""
    if attempt.request.flavor != earmark.job.request.flavor:
        return False
    nodes = {rank.node for rank in earmark.ranks}
    here = attempt.cluster == earmark.cluster and any(rank.node in nodes for rank in attempt.ranks)
    return here or class_of(attempt.leaf) == class_of(earmark.job.leaf)
