"""The order of a cycle by brute force: decision 0001 word by word, everything computed anew before every start."""

from __future__ import annotations

from fractions import Fraction

from scheduler.core.allocator.plan import Admit
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.model import GangRequest, PendingJob, Rank, Tier
from scheduler.core.tree import ROOT, lineage, parent_of
from scheduler.core.units import PPM_ONE
from scheduler.sim.rules import Estate

PHASES = (Tier.GUARANTEED, Tier.BORROW, Tier.SCAVENGE)


class Oracle:
    """A slow cycle: ``steps`` has what it starts, in its order."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.estate = Estate(snapshot)
        self.steps: list[Admit] = []
        delayed = {job.job for job in snapshot.delayed}
        self.waiting = {job.job: job for job in snapshot.pending if job.job not in delayed}
        self.present: dict[str, int] = dict.fromkeys(self.waiting, 0)
        """For jobs with an order of their own: index of the tier that they wait for."""
        self.oldest: dict[str, int] = {}
        for job in self.waiting.values():
            for path in lineage(job.leaf):
                self.oldest[path] = min(job.seq, self.oldest.get(path, job.seq))

    def run(self) -> list[Admit]:
        """All phases; after each, again those before it that a job moved on to."""
        self.move_on()
        served: list[Tier] = []
        for tier in PHASES:
            self.phase(tier, late=False)
            served.append(tier)
            self.move_on()
            while again := [tier for tier in served if any(self.odd_waits_for(job, tier) for job in self.odd())]:
                self.phase(again[0], late=True)
                self.move_on()
        return self.steps

    def odd(self) -> list[PendingJob]:
        """Jobs whose tiers are not in the order of the phases."""
        return [
            job for job in self.waiting.values() if [*job.request.tiers] != sorted(job.request.tiers, key=PHASES.index)
        ]

    def odd_waits_for(self, job: PendingJob, tier: Tier) -> bool:
        """Whether this is the tier such a job waits for now."""
        index = self.present[job.job]
        return index < len(job.request.tiers) and job.request.tiers[index] is tier

    def move_on(self) -> None:
        """Such a job goes on to its next tier while the present one is closed to it."""
        for job in self.odd():
            tiers = job.request.tiers
            while self.present[job.job] < len(tiers) and not self.estate.open(job, tiers[self.present[job.job]]):
                self.present[job.job] += 1

    def phase(self, tier: Tier, *, late: bool) -> None:
        """Start the next job that can start in this tier until there is none."""
        while True:
            odd = {job.job for job in self.odd()}
            able = [
                job
                for job in self.waiting.values()
                if (self.odd_waits_for(job, tier) if job.job in odd else tier in job.request.tiers and not late)
                and self.estate.open(job, tier)
            ]
            if not able:
                return
            job = self.winner(able)
            cluster, ranks = self.place(job.request)
            step = Admit(job.job, job.attempt, tier, cluster, ranks)
            self.estate.start(job, step)
            self.steps.append(step)
            del self.waiting[job.job]

    def winner(self, able: list[PendingJob]) -> PendingJob:
        """Down from the root: of the children with a job that can start, the smallest share, then the oldest job."""
        path = ROOT
        while True:
            below = [job for job in able if path in lineage(job.leaf) and job.leaf != path]
            if not below:
                return min((job for job in able if job.leaf == path), key=lambda job: job.seq)
            children = {step for job in below for step in lineage(job.leaf) if step != ROOT and parent_of(step) == path}
            path = min(children, key=lambda child: (*self.share(child), self.oldest[child]))

    def share(self, path: str) -> tuple[bool, Fraction]:
        """(has no weight, (h + 2.4 u) / weight) with h and u in millionths of a GPU of exchange rate 1."""
        past = sum(micro for leaf, micro in self.snapshot.usage.items() if path in lineage(leaf))
        present = sum(
            holding.request.gpus * self.exchange(holding.request.flavor)
            for holding in self.estate.holdings
            if path in lineage(holding.leaf)
        )
        score = past + Fraction(24, 10) * present
        weight = self.snapshot.tree.node(path).weight_ppm
        return (weight == 0, score / weight if weight else score)

    def exchange(self, flavor: str) -> int:
        """Exchange rate of a flavor in ppm; 1 for one that the policy does not name."""
        known = self.snapshot.flavors.get(flavor)
        return known.exchange_ppm if known else PPM_ONE

    def place(self, request: GangRequest) -> tuple[str, tuple[Rank, ...]]:
        """The cluster with the least free GPUs that has room; worker by worker the fullest node that fits."""
        free = self.estate.free_on(request.flavor)
        total = {cluster: sum(gpus for (where, _), gpus in free.items() if where == cluster) for cluster, _ in free}
        cluster = min(self.estate.clusters_with_room(request), key=lambda name: (total[name], name))
        chosen = []
        for _ in range(request.nodes):
            able = [spot for spot, gpus in free.items() if spot[0] == cluster and gpus >= request.gpus_per_node]
            spot = min(able, key=lambda spot: (free[spot], spot))
            free[spot] -= request.gpus_per_node
            chosen.append(spot[1])
        names = enumerate(sorted(chosen))
        return cluster, tuple(Rank(number, name, request.gpus_per_node) for number, name in names)
