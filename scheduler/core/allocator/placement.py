"""Where a gang goes: whole GPUs on the nodes of one cluster, fullest node that fits first (decision 0001, rule 6).

Nodes lie in buckets by free GPUs, so a placement touches only the nodes it uses.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from scheduler.core.model import Node, Rank

_NEVER_REFUSED = 1 << 62


class Cluster:
    """Nodes of one cluster and flavor that take new work, in buckets by free GPUs."""

    __slots__ = ("buckets", "free_total", "name", "node_names")

    def __init__(self, name: str, nodes: list[tuple[str, int]]) -> None:
        """nodes: (name, free GPUs), sorted by name, free >= 0."""
        self.name = name
        self.node_names = [node for node, _ in nodes]
        self.free_total = sum(free for _, free in nodes)
        self.buckets: list[list[int]] = [[] for _ in range(max((free for _, free in nodes), default=0) + 1)]
        for number, (_, free) in enumerate(nodes):
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
            heapq.heappush(buckets[left], node)
            taken.append((node, here))
            workers -= here
        taken.sort()
        return taken


def workers_in(counts: list[int], gpus: int) -> int:
    """Workers of ``gpus`` GPUs that fit on nodes of which ``counts[n]`` have n GPUs free."""
    return sum(count * (free // gpus) for free, count in enumerate(counts))


class Machines:
    """Everything of one flavor that can hold work, over all clusters."""

    __slots__ = ("capacity_gpus", "clusters", "cordoned", "free_total", "refused", "sizes")

    def __init__(self, nodes: Iterable[Node], held: Mapping[tuple[str, str], int]) -> None:
        """nodes: of this flavor, sorted by (cluster, name). held: GPUs held by (cluster, node)."""
        places: dict[str, list[tuple[str, int]]] = {}
        self.capacity_gpus = 0
        self.sizes: dict[str, list[int]] = {}
        """Cluster -> GPUs of its nodes that take new work: what a gang could have if nothing ran."""
        self.cordoned: dict[str, list[int]] = {}
        """Cluster -> GPUs of its nodes that take no new work."""
        for node in nodes:
            used = held.get((node.cluster, node.name), 0)
            if node.schedulable:
                self.capacity_gpus += node.gpus
                self.sizes.setdefault(node.cluster, []).append(node.gpus)
                places.setdefault(node.cluster, []).append((node.name, max(0, node.gpus - used)))
            else:
                self.capacity_gpus += min(node.gpus, used)
                self.cordoned.setdefault(node.cluster, []).append(node.gpus)
        self.clusters = [Cluster(name, found) for name, found in sorted(places.items())]
        self.free_total = sum(cluster.free_total for cluster in self.clusters)
        self.refused: dict[int, int] = {}
        """GPUs per worker -> the smallest number of workers that no cluster could take in this cycle."""

    def find(self, workers: int, gpus: int) -> Cluster | None:
        """The cluster for the whole gang: of those with room the one with the least free GPUs, ties by name.

        A refusal is remembered, for it stays true while a cycle starts gangs.
        """
        if workers >= self.refused.get(gpus, _NEVER_REFUSED):
            return None
        best = None
        for cluster in self.clusters:
            if (best is None or cluster.free_total < best.free_total) and cluster.fits(workers, gpus):
                best = cluster
        if best is None:
            self.refused[gpus] = workers
        return best

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
