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
from scheduler.core.model import Earmark, LiveAttempt, PendingJob, Rank, gpus_by_node
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
                _book(self.standing[-1], 1)
            else:
                self.fallen.append(earmark.job)

    def startable(self) -> Iterator[tuple[Standing, Cluster, tuple[Rank, ...]]]:
        """Each gang that has room now, with its cluster and the places that were its own; () when it goes elsewhere.

        What it kept is given back when it is yielded; it is the caller's to place and book it before going on. First
        each looks at its own places, earlier ones first: what later ones keep is not in its way, for part of theirs is
        still held by those who leave. Who starts elsewhere leaves places to the others, so all are asked again.
        """
        before = -1
        while before != len(self.standing):
            before = len(self.standing)
            yield from self._in_their_places()
            yield from self._elsewhere()

    def _in_their_places(self) -> Iterator[tuple[Standing, Cluster, tuple[Rank, ...]]]:
        waiting = tuple(self.standing)
        for standing in waiting:
            _book(standing, -1)
        for standing in waiting:
            cluster = standing.gang.stock.machines.cluster(standing.earmark.cluster)
            if cluster and _are_free(cluster, standing) and _is_permitted(standing):
                self.standing.remove(standing)
                yield standing, cluster, standing.earmark.ranks
            else:
                _book(standing, 1)

    def _elsewhere(self) -> Iterator[tuple[Standing, Cluster, tuple[Rank, ...]]]:
        for standing in tuple(self.standing):
            _book(standing, -1)
            gang = standing.gang
            cluster = gang.stock.machines.room(gang.workers, gang.gpus)
            if cluster and _is_permitted(standing):
                self.standing.remove(standing)
                yield standing, cluster, ()
            else:
                _book(standing, 1)

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
    numbers = cluster.numbers
    wanted = gpus_by_node(earmark.ranks)
    return all(node in numbers and cluster.soon(numbers[node]) >= gpus for node, gpus in wanted.items())


def _are_free(cluster: Cluster, standing: Standing) -> bool:
    """Whether all its places are free now, beside what is kept for others as things are booked."""
    numbers = cluster.numbers
    wanted = gpus_by_node(standing.earmark.ranks)
    return all(
        node in numbers and cluster.slack[numbers[node]] - cluster.kept[numbers[node]] >= gpus
        for node, gpus in wanted.items()
    )


def _is_permitted(standing: Standing) -> bool:
    """Whether rules 1 and 2 let it start as things are booked."""
    return standing.gang.need <= standing.gang.stock.left(standing.leaf, GUARANTEED)


def _book(standing: Standing, sign: int) -> None:
    stock = standing.gang.stock
    stock.book.keep_for(standing.leaf, sign * standing.gang.need)
    stock.machines.keep(standing.earmark.cluster, standing.earmark.ranks, sign)


def awaited(
    snapshot: Snapshot, standing: Iterable[Standing], steps: Iterable[Step], stocks: Mapping[str, Stock]
) -> dict[str, Room]:
    """What each gang still waits for when the cycle has ended: earlier ones count what is free first."""
    asked = {victim for step in steps if isinstance(step, Reclaim) for victim in step.victims}
    latest = _latest(snapshot, asked)
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
        nodes = tuple(rank.node for rank in earmark.ranks)
        concerns = [(earmark.cluster, node) for node in nodes] + [("", class_of(earmark.job.leaf))]
        by_ms = max(latest.get((gang.stock.flavor, *key), snapshot.at_ms) for key in concerns)
        rooms[earmark.job.job] = Room(gang.stock.flavor, gang.need, free, by_ms, earmark.cluster, nodes)
    return rooms


def _leaves_by(snapshot: Snapshot, attempt: LiveAttempt, asked: set[tuple[str, int]]) -> int | None:
    """When an attempt is expected to be gone; counted from now for one that this cycle asks to leave."""
    if (attempt.job, attempt.attempt) in asked:
        return snapshot.at_ms + snapshot.leave_ms.get(attempt.tier, 0)
    return snapshot.leaves_by_ms(attempt)


def _latest(snapshot: Snapshot, asked: set[tuple[str, int]]) -> dict[tuple[str, str, str], int]:
    """(flavor, cluster, node), and (flavor, "", class), -> when the last that leaves there is expected to be gone.

    A gang may wait for who is on one of its nodes, and for who counts against the caps of its class.
    """
    latest: dict[tuple[str, str, str], int] = {}
    for item in snapshot.live:
        by_ms = _leaves_by(snapshot, item, asked)
        if by_ms is None:
            continue
        flavor = item.request.flavor
        places = {(flavor, item.cluster, rank.node) for rank in item.ranks} | {(flavor, "", class_of(item.leaf))}
        for place in places:
            latest[place] = max(by_ms, latest.get(place, by_ms))
    return latest
