"""Which gangs wait where: the lines of a cycle by leaf, and the places whose rules decide about them.

Sets of gangs are bit masks: a leaf, or a whole subtree, that has nothing for a phase costs one operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.core.allocator.layout import Layout
from scheduler.core.allocator.lines import LeafLines, Shape
from scheduler.core.allocator.stock import Gang, Size, Stock, unknown_stock
from scheduler.core.model import PendingJob, Tier
from scheduler.core.units import MILLI_PER_GPU


class Lineup:
    """Lines by leaf, how far each has got, and by place what waits below it.

    A place is the nearest tree node, at or above a leaf, where the rules can differ from its parent's.
    """

    def __init__(self, lines: Mapping[str, LeafLines], layout: Layout, stocks: dict[str, Stock]) -> None:
        self._layout, self._stocks = layout, stocks
        self._shapes: dict[Shape, Gang] = {}
        self._bits: dict[Shape, int] = {}
        self._sizes: dict[Size, int] = {}
        """Size -> mask of its gangs, which differ in their tiers."""
        self._lines: dict[int, LeafLines] = {}
        self._masks: dict[int, int] = {}
        """Leaf -> the gangs that wait there; a gang is taken out when its line's last job starts."""
        self._started: dict[int, list[int]] = {}
        """Leaf -> jobs started by line; only leaves that started any."""
        self._odd: dict[tuple[int, int], int] = {}
        """(leaf, line) whose tiers are not in the order of the phases -> index of its present tier."""
        numbers = layout.numbers
        for path, found in lines.items():
            leaf = numbers[path]
            self._lines[leaf] = found
            self._masks[leaf] = self._mask_of(found)
        self._find_odd()
        self.places = _places(layout, stocks.values())
        self.below: dict[int, int] = {}
        """Place -> the gangs that waited there when the cycle began."""
        for leaf, mask in self._masks.items():
            place = self.places[leaf]
            self.below[place] = self.below.get(place, 0) | mask
        self.whole = self._whole(layout.parent)
        """Places without another place below: what closes one closes its whole subtree."""
        self.oldest = self._oldest(layout.parent)

    def gang(self, shape: Shape) -> Gang:
        """The gang of a shape; a new one gets the next bit."""
        gang = self._shapes.get(shape)
        if gang is None:
            workers, gpus = shape.nodes, shape.gpus_per_node
            stock = self._stocks.get(shape.flavor)
            if stock is None:
                stock = self._stocks[shape.flavor] = unknown_stock(self._layout, shape.flavor)
            size = Size(stock, workers, gpus, workers * gpus * MILLI_PER_GPU)
            gang = self._shapes[shape] = Gang(size, shape.tiers, 1 << len(self._shapes))
            self._bits[shape] = gang.bit
            self._sizes[size] = self._sizes.get(size, 0) | gang.bit
        return gang

    def accepting(self, tier: Tier, *, late: bool) -> list[Gang]:
        """Gangs that list the tier; ``late``: only those whose tiers are not in the order of the phases."""
        return [gang for gang in self._shapes.values() if tier in gang.tiers and not (late and gang.in_order)]

    def leaves(self, permitted: Mapping[int, int]) -> list[int]:
        """Leaves where a gang waits that the mask of its place permits."""
        places = self.places
        return [leaf for leaf, mask in self._masks.items() if mask & permitted[places[leaf]]]

    def mask(self, leaf: int) -> int:
        """The gangs that wait at a leaf now."""
        return self._masks[leaf]

    def first(self, leaf: int, tier: Tier | None, mask: int) -> int | None:
        """The line of the oldest job of a leaf whose gang is in ``mask`` and waits for this tier (None: for any)."""
        started = self._started.get(leaf)
        best, best_seq = None, 0
        mask &= self._masks[leaf]
        for number, line in enumerate(self._lines[leaf]):
            if not self._bits[line.shape] & mask or (tier and self._odd_elsewhere(leaf, number, tier)):
                continue
            if started is None:
                return number  # lines are sorted by their first job
            seq = line.jobs[started[number]].seq
            if best is None or seq < best_seq:
                best, best_seq = number, seq
        return best

    def gang_at(self, leaf: int, number: int) -> Gang:
        """The gang of a line."""
        return self._shapes[self._lines[leaf][number].shape]

    def start(self, leaf: int, number: int) -> PendingJob:
        """Take the first job of a line."""
        line = self._lines[leaf][number]
        started = self._started.get(leaf)
        if started is None:
            started = self._started[leaf] = [0] * len(self._lines[leaf])
        index = started[number]
        started[number] = index + 1
        if index + 1 == len(line.jobs):
            self._masks[leaf] &= ~self._bits[line.shape]
        return line.jobs[index]

    def waiting(self) -> set[tuple[int, Size]]:
        """(place, size) of everything that is left."""
        masks: dict[int, int] = {}
        for leaf, mask in self._masks.items():
            place = self.places[leaf]
            masks[place] = masks.get(place, 0) | mask
        sizes = self._sizes.items()
        return {(place, size) for place, mask in masks.items() for size, gangs in sizes if mask & gangs}

    def odd_turns(self, stock: Stock) -> dict[Tier, dict[int, int]]:
        """Of lines with an order of tiers of their own: the first tier that the rules permit -> leaf -> gangs."""
        found: dict[Tier, dict[int, int]] = {}
        for leaf, number in self._odd:
            gang, place = self.gang_at(leaf, number), self.places[leaf]
            if gang.stock is stock and gang.bit & self._masks[leaf] and gang.could_fit():
                first = next((tier for tier in gang.tiers if gang.need <= stock.due(place, tier)), None)
                if first is not None:
                    leaves = found.setdefault(first, {})
                    leaves[leaf] = leaves.get(leaf, 0) | gang.bit
        return found

    def move_on(self) -> set[Tier]:
        """Send lines that prefer a later phase to their next tier while the present one is closed to them.

        Returns the tiers that such lines wait for now.
        """
        wait_for: set[Tier] = set()
        for leaf, number in self._odd:
            gang = self.gang_at(leaf, number)
            if gang.bit & self._masks[leaf]:
                while (tier := self._present(leaf, number)) and not gang.attainable(self.places[leaf], tier):
                    self._odd[leaf, number] += 1
                if tier:
                    wait_for.add(tier)
        return wait_for

    def _mask_of(self, lines: LeafLines) -> int:
        """Mask of a leaf's gangs: the shapes of its lines differ, so their bits add up."""
        bits = self._bits
        try:
            return sum([bits[line.shape] for line in lines])
        except KeyError:  # a shape for the first time
            return sum(self.gang(line.shape).bit for line in lines)

    def _find_odd(self) -> None:
        odd = sum(gang.bit for gang in self._shapes.values() if not gang.in_order)
        for leaf, mask in self._masks.items():
            if mask & odd:
                for number, line in enumerate(self._lines[leaf]):
                    if self._bits[line.shape] & odd:
                        self._odd[leaf, number] = 0

    def _odd_elsewhere(self, leaf: int, number: int, tier: Tier) -> bool:
        """The line takes its tiers in an order of its own and does not wait for this one now."""
        return (leaf, number) in self._odd and self._present(leaf, number) is not tier

    def _present(self, leaf: int, number: int) -> Tier | None:
        tiers, index = self.gang_at(leaf, number).tiers, self._odd[leaf, number]
        return tiers[index] if index < len(tiers) else None

    def _whole(self, parent: list[int]) -> set[int]:
        above = set()
        for place in self.below:
            node = place
            while node:
                node = self.places[parent[node]]
                above.add(node)
        return self.below.keys() - above

    def _oldest(self, parent: list[int]) -> list[int]:
        """Sequence of the oldest job at or below each tree node; a number above all where none waits."""
        nobody = 1 << 62
        oldest = [nobody] * len(parent)
        for leaf, lines in self._lines.items():
            oldest[leaf] = lines[0].jobs[0].seq
        for node in range(len(parent) - 1, 0, -1):
            oldest[parent[node]] = min(oldest[parent[node]], oldest[node])
        return oldest


def _places(layout: Layout, stocks: Iterable[Stock]) -> list[int]:
    """The place of each tree node: one with a guarantee or a cap of any flavor, or whose siblings keep something."""
    apart = {
        number
        for entitlements in layout.entitlements.values()
        for number, _ in (*entitlements.guarantees, *entitlements.borrowing)
    }
    keeping = frozenset({0}).union(*(stock.keeping for stock in stocks))
    places = [0] * len(layout.paths)
    for node, above in enumerate(layout.parent):
        places[node] = node if node in apart or above in keeping else places[above]
    places[0] = 0
    return places
