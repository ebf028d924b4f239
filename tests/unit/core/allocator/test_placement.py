"""Where gangs go: whole, in one cluster, the fullest node that fits first, never above what is healthy."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.placement import Machines, Use, most_free, most_workers, workers_in
from scheduler.core.model import Node
from tests.support.worlds import plan_text, world

LEAF = "/sme/a/p/u"


class Row(NamedTuple):
    """Nodes as ``name gpus [held by r...]`` lines of a world, the gang's shape, and where it must go."""

    text: str
    shape: str
    wanted: str


CASES = {
    "the fullest node that fits: n2 has 2 free, n1 4, n3 1": Row(
        """node n1 h100 4
        node n2 h100 4
        node n3 h100 4
        run r2 /x/a/p/u h100 1x2 borrow on n2
        run r3 /x/a/p/u h100 1x3 borrow on n3""",
        "1x2",
        "c: n2:2",
    ),
    "equal nodes by name": Row("node n2 h100 4\nnode n1 h100 4", "1x1", "c: n1:1"),
    "workers share a node while they fit: 3 x 2 on 6 of 8": Row(
        "node n1 h100 8\nnode n2 h100 8", "3x2", "c: n1:2 n1:2 n1:2"
    ),
    "and go on to the next fullest": Row(
        """node n1 h100 4
        node n2 h100 8
        run r1 /x/a/p/u h100 1x1 borrow on n1""",
        "3x2",
        "c: n1:2 n2:2 n2:2",
    ),
    "whole nodes take empty ones": Row(
        """node n1 h100 4
        node n2 h100 4
        node n3 h100 4
        run r2 /x/a/p/u h100 1x1 borrow on n2""",
        "2x4",
        "c: n1:4 n3:4",
    ),
    "a gang stays in one cluster: 2 + 1 workers in two clusters are not 3": Row(
        "node east/n1 h100 8\nnode west/n1 h100 4", "3x4", "ModelUnavailable 12 of 8/12"
    ),
    "of clusters with room the one with the least free": Row(
        "node east/n1 h100 8\nnode west/n1 h100 4", "1x4", "west: n1:4"
    ),
    "of equal clusters the first by name": Row("node west/n1 h100 4\nnode east/n1 h100 4", "1x4", "east: n1:4"),
    "enough GPUs, but spread: 3 + 3 free": Row(
        """node n1 h100 4
        node n2 h100 4
        run r1 /x/a/p/u h100 1x1 borrow on n1
        run r2 /x/a/p/u h100 1x1 borrow on n2""",
        "1x4",
        "NoGangFit 1 of 0/2",
    ),
    "not enough: 2 free of 4": Row(
        "node n1 h100 4\nrun r1 /x/a/p/u h100 1x2 borrow on n1", "1x4", "NoCapacity 4 of 2/4"
    ),
    "nothing new where more is held than healthy: 4 on 3": Row(
        """node n1 h100 3
        node n2 h100 1
        run r1 /x/a/p/u h100 1x4 borrow on n1""",
        "1x2",
        "NoCapacity 2 of 1/4",
    ),
    "nothing new on a cordoned node": Row(
        "node n1 h100 8 cordoned\nnode n2 h100 2", "1x4", "MaintenanceWindow 4 of 0/2"
    ),
    "larger than any node": Row("node n1 h100 8\nnode n2 h100 8", "1x9", "ModelUnavailable 9 of 0/16"),
    "larger than any cluster: 2 of 3 workers": Row(
        "node n1 h100 8\nnode n2 h100 8", "3x8", "ModelUnavailable 24 of 16/16"
    ),
    "no node of the flavor": Row("node n1 a100 8", "1x1", "ModelUnavailable 1 of 0/0"),
    "no node at all": Row("flavor h100 1", "1x1", "ClusterStarting 1 of 0/0"),
}


@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
def test_place(row: Row) -> None:
    snapshot = world(f"{row.text}\npend j1 {LEAF} h100 {row.shape} borrow")
    found = plan_text(snapshot, decide(snapshot))
    assert found in {f"j1 borrow {row.wanted}", f"j1 waits: {row.wanted}"}


def test_ranks_are_numbered_by_node_name() -> None:
    snapshot = world(
        """node n1 h100 8
        node n2 h100 8
        run r2 /x/a/p/u h100 1x5 borrow on n2
        pend j1 /sme/a/p/u h100 3x2 borrow"""
    )
    [step] = decide(snapshot).starts
    assert [(rank.rank, rank.node) for rank in step.ranks] == [(0, "n1"), (1, "n1"), (2, "n2")]  # n2 was filled first


def test_counts_of_free_gpus() -> None:
    counts = [3, 1, 0, 2]  # three full nodes, one with 1 free, two with 3
    assert [workers_in(counts, gpus) for gpus in (1, 2, 3, 4)] == [1 + 2 * 3, 2, 2, 0]
    assert most_free([counts, [0, 8]]) == 8
    assert most_workers([counts, [0, 8]], 2) == 2
    assert (most_free([]), most_workers([], 1)) == (0, 0)


def machines(rng: random.Random) -> tuple[Machines, dict[str, int]]:
    """A random cluster, and its free GPUs by node."""
    nodes = [Node("c", f"n{number}", "h100", rng.randint(1, 8)) for number in range(rng.randint(1, 8))]
    held = {("c", node.name): rng.randint(0, node.gpus) for node in nodes}
    free = {node.name: node.gpus - held["c", node.name] for node in nodes}
    return Machines(nodes, {spot: Use(gpus) for spot, gpus in held.items()}), free


def test_a_gang_is_refused_only_when_it_does_not_fit(rng: random.Random) -> None:
    """Against plain counting, over many gangs into one pool until it is full; refusals are remembered rightly."""
    refused = placed = 0
    for _ in range(200):
        pool, free = machines(rng)
        for _ in range(12):
            workers, gpus = rng.randint(1, 4), rng.randint(1, 8)
            cluster = pool.find(workers, gpus)
            assert (cluster is not None) == (sum(left // gpus for left in free.values()) >= workers)
            if cluster is None:
                refused += 1
                continue
            placed += 1
            for rank in pool.place(cluster, workers, gpus):
                free[rank.node] -= gpus
            assert min(free.values()) >= 0
            assert pool.free_total == cluster.free_total == sum(free.values())
    assert refused > 200 and placed > 200
