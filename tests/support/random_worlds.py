"""Random worlds for properties: small, crowded, and of every kind that a rule speaks about. A seed is a world."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.lines import lines_of
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.model import Flavor, GangRequest, LiveAttempt, Node, PendingJob, Rank, Tier
from scheduler.core.tree import TreeNode
from scheduler.core.units import MILLI_PER_GPU
from scheduler.sim.checkers import after
from tests.support.worlds import NOW_MS, snapshot_of

SECOND_MS, MINUTE_MS = 1_000, 60_000
G, B, S = Tier.GUARANTEED, Tier.BORROW, Tier.SCAVENGE
TIERS = ((G, B), (G, B), (G, B), (G,), (G,), (B,), (G, B, S), (S,), (B, S), (B, G), (S, G), (S, B), (B, S, G))
WEIGHTS = (0, 500_000, 1_000_000, 1_000_000, 2_000_000, 3_000_000)
EXCHANGE = {"h100": 1_000_000, "a100": 450_000}


class Draw:
    """One world being drawn."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.flavors = ["h100", "a100"][: self.rng.choice((1, 1, 2))]
        self.clusters = ["east", "west"][: self.rng.choice((1, 1, 2))]
        self.nodes = [node for flavor in self.flavors for node in self._nodes(flavor)]
        self.leaves: list[str] = []
        self.tree = list(self._tree())
        self.held: dict[tuple[str, str], int] = {}

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred draws."""
        return self.rng.randrange(100) < percent

    def request(self) -> GangRequest:
        """A gang, small more often than large."""
        nodes, gpus = self.rng.choice((1, 1, 1, 2, 2, 3, 4)), self.rng.choice((1, 1, 2, 2, 3, 4, 8))
        return GangRequest(self.rng.choice(self.flavors), nodes, gpus, self.rng.choice(TIERS), 3_600_000)

    def live(self, count: int) -> list[LiveAttempt]:
        """Attempts that hold GPUs, placed at random where they fit, whatever the rules say: policies change."""
        found = []
        for number in range(count):
            request = self.request()
            if self.chance(75):  # the pool is busy with what was lent
                request = replace(request, tiers=self.rng.choice(((G, B), (B,), (S,))))
            cluster = self.rng.choice(self.clusters)
            spots = [node for node in self.nodes if node.cluster == cluster and node.flavor == request.flavor]
            ranks = []
            for rank in range(request.nodes):
                free = [node for node in spots if node.gpus - self.held_on(node) >= request.gpus_per_node]
                if free:
                    node = self.rng.choice(free)
                    self.held[cluster, node.name] = self.held_on(node) + request.gpus_per_node
                    ranks.append(Rank(rank, node.name, request.gpus_per_node))
            if len(ranks) == request.nodes:
                found.append(self._attempt(f"r{number:02}", request, cluster, tuple(ranks)))
            else:
                for lost in ranks:
                    self.held[cluster, lost.node] -= lost.gpus
        return found

    def held_on(self, node: Node) -> int:
        """GPUs held on a node."""
        return self.held.get((node.cluster, node.name), 0)

    def pending(self, count: int) -> list[PendingJob]:
        """Queued jobs; some in back-off, some for a flavor that no node has."""
        jobs = []
        for number in range(count):
            request = self.request()
            if self.chance(3):
                request = GangRequest("b200", request.nodes, request.gpus_per_node, request.tiers, 3_600_000)
            until = NOW_MS + self.rng.randrange(1, 60_000) if self.chance(8) else 0
            leaf = self.rng.choice(self.leaves)
            jobs.append(PendingJob(f"p{number:02}", leaf, request, number + 1, NOW_MS - 1, 1, until))
        return jobs

    def _attempt(self, job: str, request: GangRequest, cluster: str, ranks: tuple[Rank, ...]) -> LiveAttempt:
        """Most run, some save their work, some are to stop, and a few of those should be gone by now."""
        tier, since_ms = (
            self.rng.choice(request.tiers[-1:] if self.chance(60) else request.tiers),
            NOW_MS - self.rng.randrange(1, 120) * MINUTE_MS,
        )
        live = LiveAttempt(job, 1, self.rng.choice(self.leaves), request, tier, cluster, ranks, since_ms)
        if self.chance(80):
            saved_ms = self.rng.randrange(since_ms, NOW_MS) if self.chance(40) else None
            live = replace(live, state=AttemptState.RUNNING, running_at_ms=since_ms, checkpoint_at_ms=saved_ms)
        if self.chance(20):
            at_ms = NOW_MS - self.rng.randrange(20) * MINUTE_MS
            reason = self.rng.choice(list(StopReason))
            live = replace(live, state=AttemptState.STOPPING, stop_reason=reason, stopping_at_ms=at_ms)
        return live

    def _nodes(self, flavor: str) -> Iterator[Node]:
        for number in range(self.rng.randint(1, 5)):
            gpus = self.rng.choice((2, 4, 8, 8, 8))
            cluster = self.rng.choice(self.clusters)
            yield Node(cluster, f"{flavor}-{number}", flavor, gpus, schedulable=not self.chance(8))

    def _tree(self) -> Iterator[TreeNode]:
        capacity = {
            flavor: sum(node.gpus for node in self.nodes if node.flavor == flavor) * MILLI_PER_GPU
            for flavor in self.flavors
        }
        if self.chance(15):  # more promised than there is: guarantees shrink
            capacity = {flavor: amount * 2 for flavor, amount in capacity.items()}
        names = [f"/class-{number}" for number in range(self.rng.randint(1, 3))]
        yield from self._level(names, capacity, depth=1)

    def _level(self, paths: list[str], budget: dict[str, int], depth: int) -> Iterator[TreeNode]:
        """Siblings whose guarantees fit the budget, and what is below them."""
        budget = dict(budget)
        for path in paths:
            share = {flavor: self._part(amount) for flavor, amount in budget.items()}
            guarantee = {flavor: amount for flavor, amount in share.items() if amount}
            for flavor, amount in guarantee.items():
                budget[flavor] -= amount
            yield TreeNode(
                path,
                self.rng.choice(WEIGHTS),
                guarantee,
                self._limits((0, 1, 2, 4, 8), 20),
                self._limits((0, 1, 2, 4), 20),
            )
            if depth == 4:
                self.leaves.append(path)
                continue
            children = [f"{path}/{'kopu'[depth]}{number}" for number in range(self.rng.randint(1, 2))]
            if depth == 3 and self.chance(60):  # users without rules of their own
                self.leaves += children
            else:
                yield from self._level(children, guarantee, depth + 1)

    def _part(self, amount: int) -> int:
        """A part of a budget: often whole GPUs, sometimes not, sometimes nothing."""
        if self.chance(22):
            return 0
        part = self.rng.randint(0, amount // MILLI_PER_GPU) * MILLI_PER_GPU
        return min(amount, part + 500) if self.chance(10) else part

    def _limits(self, choices: tuple[int, ...], percent: int) -> dict[str, int]:
        return {flavor: self.rng.choice(choices) * MILLI_PER_GPU for flavor in self.flavors if self.chance(percent)}


def random_world(seed: int) -> Snapshot:
    """The world of a seed: a few nodes, two to a dozen leaves, up to a dozen attempts and two dozen jobs."""
    draw = Draw(seed)
    live = draw.live(draw.rng.randrange(1, 13))
    nodes = draw.nodes
    if draw.chance(15) and live:  # GPUs fell ill under running work: held may now exceed healthy
        sick = draw.rng.randrange(len(nodes))
        node = nodes[sick]
        nodes[sick] = Node(node.cluster, node.name, node.flavor, node.gpus // 2, node.schedulable)
    usage = {leaf: draw.rng.randrange(8_000_000) for leaf in draw.leaves if draw.chance(70)}
    flavors = {name: Flavor(name, EXCHANGE[name]) for name in draw.flavors}
    world = snapshot_of(flavors, draw.tree, nodes, live, draw.pending(draw.rng.randint(3, 24)), usage)
    return _later(draw, world) if draw.chance(20) else world


def _later(draw: Draw, world: Snapshot) -> Snapshot:
    """The world a few minutes after a cycle, when some have left, and something else has happened perhaps."""
    then = after(world, decide(world))
    live = [item for item in then.live if item.state is not AttemptState.STOPPING or draw.chance(60)]
    nodes = list(then.nodes)
    if draw.chance(20):
        number = draw.rng.randrange(len(nodes))
        nodes[number] = replace(nodes[number], schedulable=not nodes[number].schedulable)
    jobs = [job for lines in then.lines.values() for line in lines for job in line.jobs]
    more = [replace(job, job=f"q{job.job}", seq=job.seq + 100) for job in draw.pending(4) if not job.not_before_ms]
    at_ms = then.at_ms + draw.rng.choice((1, 60, 600, 1_200)) * SECOND_MS
    delayed = tuple(replace(job, not_before_ms=job.not_before_ms + at_ms - then.at_ms) for job in then.delayed)
    lines = lines_of([*jobs, *more])
    return replace(then, at_ms=at_ms, live=tuple(live), nodes=tuple(nodes), lines=lines, delayed=delayed)
