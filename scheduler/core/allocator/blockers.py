"""All reasons why gangs of one flavor wait, with numbers, as they stand when a cycle has ended (S13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.core.allocator.layout import NOWHERE
from scheduler.core.allocator.limits import Book
from scheduler.core.allocator.placement import most_free, most_workers
from scheduler.core.allocator.stock import Size, Stock
from scheduler.core.allocator.tiers import BORROW, GUARANTEED, SCAVENGE
from scheduler.core.model import Tier
from scheduler.core.reasons import Actor, Blocker, Reason
from scheduler.core.tree import ROOT, level_of
from scheduler.core.units import MILLI_PER_GPU

Numbers = tuple[int, int, int]
"""(need, have, limit) of a blocker."""


class _Place:
    """What the rules leave at one place, now and when the cycle began, and whom to name when it is not enough."""

    __slots__ = ("cap_left", "keeper", "kept", "left", "nearest", "opening_left")

    def __init__(self, stock: Stock, place: int, opening_free: int) -> None:
        book = stock.book
        self.cap_left = book.cap_left(place)
        self.kept = book.reserved_beside(place)
        self.keeper = ""
        borrow = stock.free_milli_gpus - self.kept
        self.left = {GUARANTEED: book.guarantee_left(place), BORROW: borrow, SCAVENGE: borrow}
        """By rules 1 and 3 alone; rule 2 is cap_left."""
        borrow = stock.opening.left(place, BORROW, opening_free)
        guaranteed = stock.opening.left(place, GUARANTEED, opening_free)
        self.opening_left = {GUARANTEED: guaranteed, BORROW: borrow, SCAVENGE: borrow}
        self.nearest = _nearest_guarantee(book, place)


class Reasons:
    """Reasons of one flavor; call after the last start of the cycle. Equal reasons are one object."""

    def __init__(self, paths: Sequence[str], stock: Stock, *, nodes_known: bool) -> None:
        """nodes_known: some cluster has reported a node of any flavor."""
        self._paths, self._stock, self._book = paths, stock, stock.book
        self._nodes_known = nodes_known
        self._free = stock.free_milli_gpus
        opening = stock.machines.opening
        self._opening_free = sum(free * n for counts in opening for free, n in enumerate(counts)) * MILLI_PER_GPU
        self._keepers = [node for node, kept in enumerate(stock.book.reserve) if kept]
        self._place_of: dict[int, int] = {}
        self._places: dict[int, _Place] = {}
        self._room: dict[Size, tuple[list[Blocker], bool]] = {}
        self._behind: dict[tuple[int, Tier], Blocker] = {}
        self._busy: dict[tuple[int, int], list[Blocker]] = {}

    def place_of(self, node: int) -> int:
        """The nearest tree node, here or above, with a guarantee or cap of the flavor or a sibling that keeps some."""
        found = self._place_of.get(node)
        if found is None:
            book, found = self._book, node
            parent, kept = book.parent, self._stock.opening.reserve_below
            while parent[found] and not (book.configured[found] or book.capped[found] == found or kept[parent[found]]):
                found = parent[found]
            self._place_of[node] = found
        return found

    def find(self, place: int, size: Size, tiers: Sequence[Tier]) -> tuple[Blocker, ...]:
        """Every reason why a gang at this place cannot start in these tiers; what closes all tiers comes first."""
        rules = self._places.get(place)
        if rules is None:
            rules = self._places[place] = _Place(self._stock, place, self._opening_free)
        room = self._room.get(size)
        if room is None:
            fitted = (
                self._free < self._opening_free
                and most_workers(self._stock.machines.opening, size.gpus) >= size.workers
            )
            room = self._room[size] = (self._machines(size), fitted)
        machines, fitted = room
        need = size.need
        found = self._capped(place, need) + machines if need > rules.cap_left else list(machines)
        closed = bool(found)
        if fitted:
            for tier in tiers:
                if need <= rules.opening_left[tier] and (closed or need > rules.left[tier]):
                    found.append(self._behind.get((need, tier)) or self._lost(need, tier))
        if rules.kept and need > rules.left[BORROW]:
            found += self._kept(rules, place, need, tiers)
        if need > rules.left[GUARANTEED] and GUARANTEED in tiers:
            busy = self._busy.get((rules.nearest, need))
            found += self._share(rules.nearest, place, need) if busy is None else busy
        return tuple(found)

    def _make(self, reason: Reason, node: str, numbers: Numbers, actor: Actor, tier: str = "") -> Blocker:
        return Blocker(reason, node, self._stock.flavor, *numbers, actor, tier)

    def _capped(self, place: int, need: int) -> list[Blocker]:
        """Rule 2: every tree node of the path that is at its cap, the lowest first."""
        book, found = self._book, []
        node = book.capped[place]
        while node != NOWHERE:
            if book.used[node] + need > book.cap[node]:
                low = level_of(self._paths[node]) in {"project", "user"}
                reason = Reason.PROJECT_CAP_REACHED if low else Reason.ORG_CAP_REACHED
                actor = Actor.ORG_ADMIN if low else Actor.ADMIN
                found.append(self._make(reason, self._paths[node], (need, book.used[node], book.cap[node]), actor))
            node = book.capped[book.parent[node]] if node else NOWHERE
        return found

    def _machines(self, size: Size) -> list[Blocker]:
        """Rule 6: nothing where the gang has room; else what is missing, in the cluster that comes nearest."""
        stock, workers, gpus, need = size
        machines = stock.machines
        if machines.find(workers, gpus):
            return []
        could = _workers(machines.sizes, gpus)
        if could < workers:
            return [self._never(size, could)]
        now = [cluster.counts() for cluster in machines.clusters]
        free = most_free(now) * MILLI_PER_GPU
        if free < need:
            total = sum(sum(sizes) for sizes in machines.sizes.values()) * MILLI_PER_GPU
            return [self._make(Reason.NO_CAPACITY, "", (need, free, total), Actor.TIME)]
        return [self._make(Reason.NO_GANG_FIT, "", (workers, most_workers(now, gpus), could), Actor.TIME)]

    def _never(self, size: Size, could: int) -> Blocker:
        """The gang would not fit if nothing ran: its nodes are not there, closed for new work, or not seen yet."""
        machines = size.stock.machines
        numbers = (size.need, could * size.gpus * MILLI_PER_GPU, self._book.capacity)
        if not self._nodes_known:
            return self._make(Reason.CLUSTER_STARTING, "", numbers, Actor.TIME)
        together = {
            name: machines.sizes.get(name, []) + machines.cordoned.get(name, [])
            for name in machines.sizes.keys() | machines.cordoned.keys()
        }
        if _workers(together, size.gpus) >= size.workers:
            return self._make(Reason.MAINTENANCE_WINDOW, "", numbers, Actor.PLATFORM)
        return self._make(Reason.MODEL_UNAVAILABLE, "", numbers, Actor.ADMIN)

    def _lost(self, need: int, tier: Tier) -> Blocker:
        """The gang could have started in this tier when the cycle began: what it needed went to jobs before it."""
        numbers = (need, self._free, self._opening_free)
        lost = self._behind[need, tier] = self._make(Reason.BEHIND_HIGHER_PRIORITY, "", numbers, Actor.TIME, tier)
        return lost

    def _kept(self, rules: _Place, place: int, need: int, tiers: Sequence[Tier]) -> list[Blocker]:
        """Rule 3: what siblings of the path never lend closes borrow and scavenge; the one that keeps most is named."""
        if not rules.keeper:
            book, path, node = self._book, set(), place
            while node != NOWHERE:
                path.add(node)
                node = book.parent[node]
            beside = (node for node in self._keepers if node not in path and book.parent[node] in path)
            rules.keeper = min((-book.reserve[node], self._paths[node]) for node in beside)[1]
        reason, numbers = Reason.RESERVED_FOR_OTHER, (need, self._free, rules.kept)
        closed = [tier for tier in tiers if tier is not GUARANTEED]
        return [self._make(reason, rules.keeper, numbers, Actor.TIME, tier) for tier in closed]

    def _share(self, nearest: int, place: int, need: int) -> list[Blocker]:
        """Rule 1 at the tree node whose guarantee comes nearest; that all guarantees are shrunk is said beside it."""
        book, tier = self._book, GUARANTEED
        if nearest == NOWHERE:  # no guarantee on the whole path: waiting does not help, a person has to give one
            return [self._make(Reason.SHARE_BUSY, self._paths[place], (need, 0, 0), Actor.ADMIN, tier)]
        numbers = (need, book.claimed[nearest], book.guarantee[nearest])
        busy = [self._make(Reason.SHARE_BUSY, self._paths[nearest], numbers, Actor.YOU, tier)]
        if book.shrunk:
            numbers = (book.promised, book.capacity, book.configured[nearest])
            busy.append(self._make(Reason.NO_CAPACITY, ROOT, numbers, Actor.PLATFORM, tier))
        self._busy[nearest, need] = busy
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


def _workers(clusters: Mapping[str, Sequence[int]], gpus: int) -> int:
    """Workers that fit in the best cluster if its nodes, given by their GPUs, were empty."""
    return max((sum(size // gpus for size in sizes) for sizes in clusters.values()), default=0)
