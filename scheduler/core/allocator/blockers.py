"""All reasons why gangs of one flavor wait, with numbers, as they stand when a cycle has ended (S13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scheduler.core.allocator.layout import NOWHERE
from scheduler.core.allocator.limits import Book
from scheduler.core.allocator.placement import most_free, most_workers, workers_if_empty
from scheduler.core.allocator.stock import Size, Stock
from scheduler.core.allocator.tiers import BORROW, GUARANTEED, PHASES, SCAVENGE
from scheduler.core.reasons import Actor, Blocker, Reason
from scheduler.core.tree import ROOT, level_of
from scheduler.core.units import MILLI_PER_GPU

Numbers = tuple[int, int, int]
"""(need, have, limit) of a blocker."""

IN_USE = (Reason.NO_CAPACITY, Reason.NO_GANG_FIT)
"""The machines are there, and others have them."""
ELSEWHERE = (*IN_USE, Reason.RESERVED_FOR_OTHER)
"""The same, or they are kept for others."""


class Turn(NamedTuple):
    """Who is next when GPUs of a flavor are freed: the phase, the place, and the milli-GPUs that its gang needs."""

    phase: int
    place: int
    need: int


class _Place:
    """What the rules leave at one place, and whom to name when it is not enough."""

    __slots__ = ("cap_left", "keeper", "kept", "left", "nearest", "over")

    def __init__(self, stock: Stock, place: int) -> None:
        book = stock.book
        self.cap_left = book.cap_left(place)
        self.kept = book.reserved_beside(place)
        self.keeper = ""
        borrow = stock.free_milli_gpus - self.kept
        self.left = {GUARANTEED: book.guarantee_left(place), BORROW: borrow, SCAVENGE: borrow}
        """By rules 1 and 3 alone; rule 2 is cap_left."""
        self.over = book.over_claimed(place)
        self.nearest = _nearest_guarantee(book, place)


class Reasons:
    """Reasons of one flavor; call after the last start of the cycle."""

    def __init__(
        self, paths: Sequence[str], stock: Stock, turn: Turn | None, kept_for: str, *, nodes_known: bool
    ) -> None:
        """turn: who is next. kept_for: the leaf that most room is being made for, "" when none is.

        nodes_known: some cluster has reported a node of any flavor.
        """
        self._kept_for = kept_for
        self._paths, self._stock, self._book = paths, stock, stock.book
        self._nodes_known = nodes_known
        self._free = stock.free_milli_gpus
        self._counts = [cluster.counts() for cluster in stock.machines.clusters]
        self._keepers = [node for node, kept in enumerate(stock.book.reserve) if kept]
        self._place_of: dict[int, int] = {}
        self._places: dict[int, _Place] = {}
        self._room: dict[Size, list[Blocker]] = {}
        self._turn = turn._replace(place=self.place_of(turn.place)) if turn else None

    def place_of(self, node: int) -> int:
        """The nearest tree node, here or above, with a guarantee or cap of the flavor or a sibling that keeps some."""
        found = self._place_of.get(node)
        if found is None:
            book, found = self._book, node
            parent, keeping = book.parent, self._stock.keeping
            while parent[found] and not (
                book.configured[found] or book.capped[found] == found or parent[found] in keeping
            ):
                found = parent[found]
            self._place_of[node] = found
        return found

    def find(self, place: int, size: Size) -> tuple[Blocker, ...]:
        """Every reason why a gang at this place cannot start, of every tier; what closes all tiers comes first."""
        rules = self._places.get(place)
        if rules is None:
            rules = self._places[place] = _Place(self._stock, place)
        machines = self._room.get(size)
        if machines is None:
            machines = self._room[size] = self._machines(size)
        need = size.need
        if need > rules.cap_left:
            found = self._capped(place, size) + machines
        elif machines and machines[0].reason in ELSEWHERE:
            found = machines + self._behind(rules, place, need)
        else:
            found = list(machines)
        if rules.kept and need > rules.left[BORROW]:
            found += self._kept(rules, place, size)
        if need > rules.left[GUARANTEED]:
            found += self._share(rules, place, size)
        return tuple(found)

    def _make(  # a blocker has as many parts
        self, reason: Reason, node: str, numbers: Numbers, actor: Actor, tier: str = "", left: int = 0, over: int = 0
    ) -> Blocker:
        return Blocker(reason, node, self._stock.flavor, *numbers, actor, tier, left, over)

    def _capped(self, place: int, size: Size) -> list[Blocker]:
        """Rule 2: every tree node of the path that is at its cap, the lowest first."""
        book, found, need = self._book, [], size.need
        node = book.capped[place]
        while node != NOWHERE:
            used, cap = book.used[node], book.cap[node]
            if used + need > cap:
                low = level_of(self._paths[node]) in {"project", "user"}
                reason = Reason.PROJECT_CAP_REACHED if low else Reason.ORG_CAP_REACHED
                actor = Actor.ORG_ADMIN if low else Actor.ADMIN
                found.append(self._make(reason, self._paths[node], (need, used, cap), actor, left=cap - used))
            node = book.capped[book.parent[node]] if node else NOWHERE
        return found

    def _machines(self, size: Size) -> list[Blocker]:
        """Rule 6: nothing where the gang has room; else what is missing, in the cluster that comes nearest."""
        stock, workers, gpus, need = size
        machines = stock.machines
        if machines.find(workers, gpus):
            return []
        could, fits = workers_if_empty(machines.sizes, gpus), most_workers(self._counts, gpus)
        left = fits * gpus * MILLI_PER_GPU
        if could < workers:
            return [self._never(size, could, left)]
        if self._kept_for and most_workers([found.unkept_counts() for found in machines.clusters], gpus) >= workers:
            numbers = (need, self._free, machines.kept_total * MILLI_PER_GPU)
            return [self._make(Reason.RESERVED_FOR_OTHER, self._kept_for, numbers, Actor.TIME, left=left)]
        free = most_free(self._counts) * MILLI_PER_GPU
        if free < need:
            total = sum(sum(sizes) for sizes in machines.sizes.values()) * MILLI_PER_GPU
            return [self._make(Reason.NO_CAPACITY, "", (need, free, total), Actor.TIME, left=left)]
        return [self._make(Reason.NO_GANG_FIT, "", (workers, fits, could), Actor.TIME, left=left)]

    def _never(self, size: Size, could: int, left: int) -> Blocker:
        """The gang would not fit if nothing ran: its nodes are not there, closed for new work, or not seen yet."""
        machines = size.stock.machines
        numbers = (size.need, could * size.gpus * MILLI_PER_GPU, self._book.capacity)
        if not self._nodes_known:
            return self._make(Reason.CLUSTER_STARTING, "", numbers, Actor.TIME)
        together = {
            name: machines.sizes.get(name, []) + machines.cordoned.get(name, [])
            for name in machines.sizes.keys() | machines.cordoned.keys()
        }
        if workers_if_empty(together, size.gpus) >= size.workers:
            return self._make(Reason.MAINTENANCE_WINDOW, "", numbers, Actor.PLATFORM, left=left)
        return self._make(Reason.MODEL_UNAVAILABLE, "", numbers, Actor.ADMIN, left=left)

    def _behind(self, rules: _Place, place: int, need: int) -> list[Blocker]:
        """Where only machines are in the way, somebody else's gang may be before it: in phase, or by share."""
        turn = self._turn
        if turn is None:
            return []
        numbers = (need, self._free, turn.need)
        return [
            self._make(Reason.BEHIND_HIGHER_PRIORITY, "", numbers, Actor.TIME, tier)
            for phase, tier in enumerate(PHASES)
            if (need <= rules.left[tier] or (not rules.kept and tier is not GUARANTEED))
            and phase >= turn.phase
            and (phase, place) != (turn.phase, turn.place)
        ]

    def _kept(self, rules: _Place, place: int, size: Size) -> list[Blocker]:
        """Rule 3: what siblings of the path never lend closes borrow and scavenge; the one that keeps most is named."""
        if not rules.keeper:
            book, path, node = self._book, set(), place
            while node != NOWHERE:
                path.add(node)
                node = book.parent[node]
            beside = (node for node in self._keepers if node not in path and book.parent[node] in path)
            rules.keeper = min((-book.reserve[node], self._paths[node]) for node in beside)[1]
        reason, numbers = Reason.RESERVED_FOR_OTHER, (size.need, self._free, rules.kept)
        left = rules.left[BORROW]
        return [self._make(reason, rules.keeper, numbers, Actor.TIME, tier, left) for tier in (BORROW, SCAVENGE)]

    def _share(self, rules: _Place, place: int, size: Size) -> list[Blocker]:
        """Rule 1, at the tree node whose guarantee comes nearest; that all guarantees are shrunk is said beside it."""
        book, tier, nearest = self._book, GUARANTEED, rules.nearest
        reason, need = Reason.SHARE_BUSY, size.need
        if nearest == NOWHERE:  # no guarantee on the whole path: waiting does not help, a person has to give one
            return [self._make(reason, self._paths[place], (need, 0, 0), Actor.ADMIN, tier)]
        left, over = rules.left[GUARANTEED], rules.over
        numbers = (need, book.claimed[nearest], book.guarantee[nearest])
        busy = [self._make(reason, self._paths[nearest], numbers, Actor.TIME, tier, left, over)]
        if book.shrunk:
            numbers = (book.promised, book.capacity, book.configured[nearest])
            busy.append(self._make(Reason.NO_CAPACITY, ROOT, numbers, Actor.PLATFORM, tier, left))
        return busy


def _nearest_guarantee(book: Book, place: int) -> int:
    """The tree node of the path where the least is missing to be inside its guarantee; NOWHERE if none has one."""
    best, most, below, node = NOWHERE, 0, 0, place
    while node != NOWHERE:
        gap = book.guarantee[node] - book.claimed[node]
        if book.configured[node] and (best == NOWHERE or below + gap > most):
            best, most = node, below + gap
        below += max(0, gap)
        node = book.parent[node]
    return best
