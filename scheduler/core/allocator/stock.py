"""One flavor inside a cycle: its machines, its book, and the one test whether a gang may start now."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import NamedTuple

from scheduler.core.allocator.layout import Layout
from scheduler.core.allocator.limits import NO_LIMIT, Book
from scheduler.core.allocator.placement import UNUSED, Cluster, Machines, Use, workers_if_empty
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.allocator.tiers import GUARANTEED, PHASES
from scheduler.core.lifecycle import AttemptState
from scheduler.core.model import LiveAttempt, Node, Tier
from scheduler.core.units import MILLI_PER_GPU, PPM_ONE

Uses = Mapping[tuple[str, str], Use]
"""(cluster, node) -> what is held on it."""


class Stock:
    """Machines and book of a flavor; ``keeping``: tree nodes of which some child kept GPUs when the cycle began."""

    __slots__ = ("book", "exchange_ppm", "flavor", "keeping", "machines")

    def __init__(self, flavor: str, exchange_ppm: int, book: Book, machines: Machines) -> None:
        self.flavor = flavor
        self.exchange_ppm = exchange_ppm
        self.book = book
        self.machines = machines
        self.keeping: frozenset[int] = frozenset()

    @property
    def free_milli_gpus(self) -> int:
        """Free GPUs on nodes that take new work, over all clusters."""
        return self.machines.free_total * MILLI_PER_GPU

    def left(self, place: int, tier: Tier) -> int:
        """The largest gang, in milli-GPUs, that the rules permit at a place in this tier now."""
        return self.book.left(place, tier, self.machines.free_total * MILLI_PER_GPU)

    def could_have(self, place: int) -> int:
        """The largest gang, in milli-GPUs, that rules 1 and 2 let start as guaranteed if all lent GPUs came back."""
        return min(self.book.guarantee_left(place), self.book.cap_left_soon(place, returned=True))

    def due(self, place: int, tier: Tier) -> int:
        """The largest gang, in milli-GPUs, that at a place in this tier only machines in use could stop now.

        Where nobody beside keeps GPUs for itself, every GPU that is freed may be borrowed.
        """
        lent = self.book.reserved_beside(place) == 0
        return self.book.left(place, tier, NO_LIMIT if lent else self.machines.free_total * MILLI_PER_GPU)


class Size(NamedTuple):
    """How big a gang is: ``workers`` workers of ``gpus`` whole GPUs of one flavor."""

    stock: Stock
    workers: int
    gpus: int
    need: int
    """Milli-GPUs of the whole gang."""


class Gang:
    """What jobs of one shape ask for: a size, and the tiers they accept in their order."""

    __slots__ = ("bit", "claims", "gpus", "in_order", "micro_gpus", "need", "size", "stock", "tiers", "workers")

    def __init__(self, size: Size, tiers: tuple[Tier, ...], bit: int) -> None:
        self.size = size
        self.stock, self.workers, self.gpus, self.need = size
        self.micro_gpus = self.workers * self.gpus * self.stock.exchange_ppm
        """The whole gang in millionths of a GPU of exchange rate 1."""
        self.tiers = tiers
        self.bit = bit
        """Its own power of two in a mask of gangs."""
        phases = [PHASES.index(tier) for tier in tiers]
        self.in_order = phases == sorted(phases)
        """Its tiers are listed in the order of the phases."""
        self.claims = tiers[0] is GUARANTEED
        """It asks for a guaranteed start first: inside its guarantee lent GPUs are taken back for it."""

    def where(self) -> Cluster | None:
        """The cluster that has room for all of it now."""
        return self.stock.machines.find(self.workers, self.gpus)

    def could_be_returned(self) -> bool:
        """Whether one cluster would have room for all of it if what leaves were gone and all that is lent came back."""
        return self.stock.machines.could_be_returned(self.workers, self.gpus)

    def could_fit(self) -> bool:
        """Whether one cluster could hold all of it if nothing ran."""
        return workers_if_empty(self.stock.machines.sizes, self.gpus) >= self.workers

    def open(self, place: int, tier: Tier) -> bool:
        """Whether it can start now: one cluster has room for all of it and the rules permit it."""
        return self.where() is not None and self.need <= self.stock.left(place, tier)

    def attainable(self, place: int, tier: Tier) -> bool:
        """Whether it can start now, or inside its guarantee room can be made for it."""
        if self.open(place, tier):
            return True
        is_claim = tier is GUARANTEED and self.claims
        return is_claim and self.need <= self.stock.could_have(place) and self.could_be_returned()


class Ladder:
    """Gangs of one flavor by need: which of them a rule that leaves so much permits."""

    __slots__ = ("_masks", "_needs", "smallest")

    def __init__(self, gangs: Collection[Gang]) -> None:
        """gangs: at least one."""
        by_need: dict[int, int] = {}
        for gang in gangs:
            by_need[gang.need] = by_need.get(gang.need, 0) | gang.bit
        self._needs = sorted(by_need)
        self._masks: list[int] = [0, *accumulate((by_need[need] for need in self._needs), int.__or__)]
        self.smallest = min(gang.gpus for gang in gangs)
        """GPUs of the smallest worker."""

    def up_to(self, milli_gpus: int) -> int:
        """Mask of the gangs that need at most so much."""
        return self._masks[bisect_right(self._needs, milli_gpus)]


def is_lent(attempt: LiveAttempt) -> bool:
    """Whether the attempt holds what it may be asked to give back: not guaranteed, and not stopping already."""
    return attempt.tier is not GUARANTEED and attempt.state is not AttemptState.STOPPING


def stocks(snapshot: Snapshot, layout: Layout) -> dict[str, Stock]:
    """The stock of every flavor that the policy, a node or a live attempt names."""
    uses: dict[tuple[str, str], Use] = {}
    by_flavor: dict[str, list[Node]] = {name: [] for name in snapshot.flavors}
    for attempt in snapshot.live:
        by_flavor.setdefault(attempt.request.flavor, [])
        leaving, lent = snapshot.leaves_by_ms(attempt) is not None, is_lent(attempt)
        for rank in attempt.ranks:
            place = (attempt.cluster, rank.node)
            use = uses.get(place, UNUSED)
            gpus = rank.gpus
            firm = gpus * (attempt.tier is GUARANTEED)
            uses[place] = Use(
                use.held + gpus, use.guaranteed + firm, use.leaving + gpus * leaving, use.lent + gpus * lent
            )
    for node in sorted(snapshot.nodes, key=lambda node: (node.cluster, node.name)):
        by_flavor.setdefault(node.flavor, []).append(node)
    found = {flavor: _stock(snapshot, layout, flavor, nodes, uses) for flavor, nodes in by_flavor.items()}
    for attempt in snapshot.live:
        book, leaf = found[attempt.request.flavor].book, layout.numbers[attempt.leaf]
        milli_gpus = attempt.request.milli_gpus
        book.used[leaf] += milli_gpus
        book.leaving[leaf] += milli_gpus * (snapshot.leaves_by_ms(attempt) is not None)
        book.lent[leaf] += milli_gpus * is_lent(attempt)
        if attempt.tier is GUARANTEED:
            book.claimed[leaf] += milli_gpus
    for stock in found.values():
        stock.book.settle()
        stock.keeping = frozenset(node for node, kept in enumerate(stock.book.reserve_below) if kept)
    return found


def _stock(snapshot: Snapshot, layout: Layout, flavor: str, nodes: list[Node], uses: Uses) -> Stock:
    machines = Machines(nodes, uses)
    known = snapshot.flavors.get(flavor)
    return Stock(
        flavor,
        known.exchange_ppm if known else int(PPM_ONE),
        Book(layout, flavor, machines.capacity_gpus * MILLI_PER_GPU),
        machines,
    )


def unknown_stock(layout: Layout, flavor: str) -> Stock:
    """The stock of a flavor that only a queued job names: no machines, whatever the tree promises of it."""
    stock = Stock(flavor, int(PPM_ONE), Book(layout, flavor, 0), Machines((), {}))
    stock.book.settle()
    return stock
