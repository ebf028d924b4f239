"""Where a gang goes: whole GPUs on the nodes of one cluster, fullest node that fits first (decision 0001, rule 6).

Nodes lie in buckets by free GPUs, so a placement touches only the nodes it uses. What is kept for a gang that room
is being made for is not free; what leaves, and what is lent, says how much room there could be (decision 0009).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from scheduler.core.model import Node, Rank

_NEVER_REFUSED = 1 << 62


class Use(NamedTuple):
    """GPUs of a node in use: all that is held; of it what is guaranteed, leaving, lent and could be taken back."""

    held: int = 0
    guaranteed: int = 0
    leaving: int = 0
    lent: int = 0


UNUSED = Use()
"""Of a node on which nothing is held."""


class Cluster:
    """Nodes of one cluster and flavor that take new work, in buckets by free GPUs.

    Lists by node number: ``slack`` is healthy less held GPUs (below 0 where more is held), ``kept`` what is kept for
    gangs that room is made for; free is slack less kept, and never below 0.
    """

    __slots__ = ("buckets", "free_total", "kept", "leaving", "lent", "name", "node_names", "numbers", "slack")

    def __init__(self, name: str, nodes: list[tuple[Node, Use]]) -> None:
        """nodes: sorted by name."""
        self.name = name
        self.node_names = [node.name for node, _ in nodes]
        self.numbers = {node: number for number, node in enumerate(self.node_names)}
        self.slack = [node.gpus - use.held for node, use in nodes]
        self.leaving = [use.leaving for _, use in nodes]
        self.lent = [use.lent for _, use in nodes]
        self.kept = [0] * len(nodes)
        frees = [max(0, slack) for slack in self.slack]
        self.free_total = sum(frees)
        self.buckets: list[list[int]] = [[] for _ in range(max((node.gpus for node, _ in nodes), default=0) + 1)]
        for number, free in enumerate(frees):
            self.buckets[free].append(number)  # ascending numbers: already a heap

    def counts(self) -> list[int]:
        """How many nodes have 0, 1, 2, ... GPUs free."""
        return [len(bucket) for bucket in self.buckets]

    def fits(self, workers: int, gpus: int) -> bool:
        """Whether that many workers of ``gpus`` GPUs fit now; stops counting as soon as it is known."""
        buckets, found = self.buckets, 0
        for free in range(len(buckets) - 1, gpus - 1, -1):
            found += len(buckets[free]) * (free // gpus)
            if found >= workers:
                return True
        return False

    def take(self, workers: int, gpus: int) -> list[tuple[int, int]]:
        """Take GPUs for ``workers`` workers that are known to fit: (node number, workers on it), by node number.

        A node that has taken a worker is the fullest, so it takes the next one too as long as it fits.
        """
        taken, buckets, free = [], self.buckets, gpus
        self.free_total -= workers * gpus
        while workers:
            if not buckets[free]:
                free += 1
                continue
            node = heapq.heappop(buckets[free])
            here = min(workers, free // gpus)
            left = free - here * gpus
            self.slack[node] -= here * gpus
            heapq.heappush(buckets[left], node)
            taken.append((node, here))
            workers -= here
        taken.sort()
        return taken

    def keep(self, node: int, gpus: int) -> None:
        """Keep so many GPUs of a node from everybody (below 0: no longer), whether they are free already or not."""
        before = max(0, self.slack[node] - self.kept[node])
        self.kept[node] += gpus
        now = max(0, self.slack[node] - self.kept[node])
        if now != before:
            self.buckets[before].remove(node)
            heapq.heapify(self.buckets[before])
            heapq.heappush(self.buckets[now], node)
            self.free_total += now - before

    def take_at(self, node: int, gpus: int) -> None:
        """Take GPUs of a node that are free, wherever its bucket stands for what others keep of it."""
        self.keep(node, gpus)
        self.kept[node] -= gpus
        self.slack[node] -= gpus

    def soon(self, node: int) -> int:
        """Free GPUs of a node once all that leaves is gone; below 0 where more is held or kept."""
        return self.slack[node] + self.leaving[node] - self.kept[node]

    def workers_if_returned(self, gpus: int) -> int:
        """Workers of ``gpus`` GPUs that would fit if all that leaves were gone and all that is lent taken back."""
        sums = zip(self.slack, self.leaving, self.lent, self.kept, strict=True)
        return sum(max(0, slack + leaving + lent - kept) // gpus for slack, leaving, lent, kept in sums)

    def unkept_counts(self) -> list[int]:
        """How many nodes would have 0, 1, 2, ... GPUs free if nothing were kept."""
        counts = [0] * len(self.buckets)
        for slack in self.slack:
            counts[max(0, slack)] += 1
        return counts


def workers_in(counts: list[int], gpus: int) -> int:
    """Workers of ``gpus`` GPUs that fit on nodes of which ``counts[n]`` have n GPUs free."""
    return sum(count * (free // gpus) for free, count in enumerate(counts))


class Machines:
    """Everything of one flavor that can hold work, over all clusters."""

    __slots__ = ("capacity_gpus", "clusters", "cordoned", "free_total", "kept_total", "refused", "sizes", "unreturned")

    def __init__(self, nodes: Iterable[Node], uses: Mapping[tuple[str, str], Use]) -> None:
        """nodes: of this flavor, sorted by (cluster, name). uses: by (cluster, node), where something is held."""
        places: dict[str, list[tuple[Node, Use]]] = {}
        self.capacity_gpus = 0
        self.sizes: dict[str, list[int]] = {}
        """Cluster -> GPUs of its nodes that take new work: what a gang could have if nothing ran."""
        self.cordoned: dict[str, list[int]] = {}
        """Cluster -> GPUs of its nodes that take no new work."""
        for node in nodes:
            use = uses.get((node.cluster, node.name), UNUSED)
            if node.schedulable:
                self.capacity_gpus += node.gpus
                self.sizes.setdefault(node.cluster, []).append(node.gpus)
                places.setdefault(node.cluster, []).append((node, use))
            else:
                self.capacity_gpus += min(node.gpus, use.guaranteed)
                self.cordoned.setdefault(node.cluster, []).append(node.gpus)
        self.clusters = [Cluster(name, found) for name, found in sorted(places.items())]
        self.free_total = sum(cluster.free_total for cluster in self.clusters)
        self.kept_total = 0
        """GPUs kept for gangs that room is made for, free already or not."""
        self.refused: dict[int, int] = {}
        """GPUs per worker -> the smallest number of workers that no cluster could take in this cycle."""
        self.unreturned: dict[int, int] = {}
        """The same, had all that leaves and all that is lent been given back."""

    def find(self, workers: int, gpus: int) -> Cluster | None:
        """The cluster for the whole gang: of those with room the one with the least free GPUs, ties by name.

        A refusal is remembered, for it stays true while a cycle starts gangs.
        """
        if workers >= self.refused.get(gpus, _NEVER_REFUSED):
            return None
        best = self.room(workers, gpus)
        if best is None:
            self.refused[gpus] = workers
        return best

    def room(self, workers: int, gpus: int) -> Cluster | None:
        """The same, remembering nothing: for questions that are asked while something is set aside."""
        best = None
        for cluster in self.clusters:
            if (best is None or cluster.free_total < best.free_total) and cluster.fits(workers, gpus):
                best = cluster
        return best

    def could_be_returned(self, workers: int, gpus: int) -> bool:
        """Whether a cluster would have room for the gang if what leaves were gone and all that is lent taken back."""
        if workers >= self.unreturned.get(gpus, _NEVER_REFUSED):
            return False
        if any(cluster.workers_if_returned(gpus) >= workers for cluster in self.clusters):
            return True
        self.unreturned[gpus] = workers
        return False

    def ask_to_leave(self, cluster: str, ranks: Iterable[Rank]) -> None:
        """Book a lent gang as one that leaves."""
        place = self.cluster(cluster)
        for rank in ranks:
            node = place.numbers.get(rank.node) if place else None
            if place and node is not None:
                place.lent[node] -= rank.gpus
                place.leaving[node] += rank.gpus

    def cluster(self, name: str) -> Cluster | None:
        """The cluster of this name; None when no node of it takes new work."""
        return next((found for found in self.clusters if found.name == name), None)

    def keep(self, cluster: str, ranks: Iterable[Rank], sign: int = 1) -> None:
        """Keep the places of a gang from everybody, on nodes that take new work; sign -1: no longer."""
        place = self.cluster(cluster)
        if place is None:
            return
        before = place.free_total
        for rank in ranks:
            node = place.numbers.get(rank.node)
            if node is not None:
                place.keep(node, sign * rank.gpus)
                self.kept_total += sign * rank.gpus
        self.free_total += place.free_total - before

    def place_at(self, cluster: Cluster, ranks: tuple[Rank, ...]) -> tuple[Rank, ...]:
        """Take these places, which are free; they are returned."""
        before = cluster.free_total
        for rank in ranks:
            cluster.take_at(cluster.numbers[rank.node], rank.gpus)
        self.free_total += cluster.free_total - before
        return ranks

    def place(self, cluster: Cluster, workers: int, gpus: int) -> tuple[Rank, ...]:
        """Take the whole gang (known to fit) from a cluster; ranks are numbered in the order of node names."""
        self.free_total -= workers * gpus
        ranks: list[Rank] = []
        for node, here in cluster.take(workers, gpus):
            for _ in range(here):
                ranks.append(Rank(len(ranks), cluster.node_names[node], gpus))
        return tuple(ranks)


def most_free(clusters: Iterable[list[int]]) -> int:
    """Free GPUs of the cluster that has the most, each given by its free counts."""
    return max((sum(free * count for free, count in enumerate(counts)) for counts in clusters), default=0)


def most_workers(clusters: Iterable[list[int]], gpus: int) -> int:
    """Workers of ``gpus`` GPUs that fit in the cluster that takes the most of them."""
    return max((workers_in(counts, gpus) for counts in clusters), default=0)


def workers_if_empty(clusters: Mapping[str, Iterable[int]], gpus: int) -> int:
    """Workers that would fit in the best cluster if its nodes, given by their GPUs, were empty."""
    return max((sum(size // gpus for size in sizes) for sizes in clusters.values()), default=0)
