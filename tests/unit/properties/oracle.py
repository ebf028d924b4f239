"""The order of a cycle by brute force: decisions 0001 and 0009 word by word, all computed anew before every step."""

from __future__ import annotations

from fractions import Fraction

from scheduler.core.allocator.plan import Admit, Reclaim, Release, Step
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.model import GangRequest, LiveAttempt, PendingJob, Rank, Tier
from scheduler.core.tree import ROOT, lineage, parent_of
from scheduler.core.units import PPM_ONE
from scheduler.sim.rules import Estate

PHASES = (Tier.GUARANTEED, Tier.BORROW, Tier.SCAVENGE)


class Oracle:
    """A slow cycle: ``steps`` has what it starts, in its order."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.estate = Estate(snapshot)
        kept = {item.job for item in self.estate.holdings if item.kept}
        earmarks = sorted(snapshot.earmarks, key=lambda item: item.seq)
        fallen = [item.job for item in earmarks if item.job.job not in kept]
        self.steps: list[Step] = [Release(job.job, job.attempt) for job in fallen]
        aside = {job.job for job in snapshot.delayed} | kept
        self.waiting = {job.job: job for job in snapshot.pending if job.job not in aside}
        self.present: dict[str, int] = dict.fromkeys(self.waiting, 0)
        """For jobs with an order of their own: index of the tier that they wait for."""
        self.oldest: dict[str, int] = {}
        for job in self.waiting.values():
            for path in lineage(job.leaf):
                self.oldest[path] = min(job.seq, self.oldest.get(path, job.seq))

    def run(self) -> list[Step]:
        """Who was waited for, then all phases; after each, again those before it that a job moved on to."""
        self.awaited()
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
            while self.present[job.job] < len(tiers) and not self.attainable(job, tiers[self.present[job.job]]):
                self.present[job.job] += 1

    def awaited(self) -> None:
        """Gangs that room is kept for start, in the order it was made: in their places, else elsewhere; and again."""
        started = len(self.steps)
        self.in_their_places()
        self.awaited_once()
        if len(self.steps) > started:
            self.awaited()

    def in_their_places(self) -> None:
        """Those whose places are free, whatever is kept for later ones."""
        jobs = {job.job: job for job in self.snapshot.pending}
        for item in [item for item in self.estate.holdings if item.kept]:
            job = jobs[item.job]
            if self.estate.can_start_in_its_places(job):
                self.take(job, Admit(job.job, job.attempt, Tier.GUARANTEED, item.cluster, item.ranks))

    def awaited_once(self) -> None:
        """Ask each of them once."""
        jobs = {job.job: job for job in self.snapshot.pending}
        for item in [item for item in self.estate.holdings if item.kept]:
            job, place = jobs[item.job], self.estate.holdings.index(item)
            self.estate.set_aside(job.job)
            if self.estate.open(job, Tier.GUARANTEED):
                cluster, ranks = self.place(self.estate, job.request)
                self.take(job, Admit(job.job, job.attempt, Tier.GUARANTEED, cluster, ranks))
            else:
                self.estate.holdings.insert(place, item)

    def take(self, job: PendingJob, step: Step) -> None:
        """Take a step."""
        self.estate.take(job, step)
        self.steps.append(step)
        self.waiting.pop(job.job, None)

    def attainable(self, job: PendingJob, tier: Tier) -> bool:
        """Whether a job can start in a tier, or inside its guarantee room can be made for it."""
        return self.estate.open(job, tier) or (tier is Tier.GUARANTEED and self.estate.could_be_made(job))

    def phase(self, tier: Tier, *, late: bool) -> None:
        """Start the next job that can start in this tier until there is none."""
        while True:
            odd = {job.job for job in self.odd()}
            able = [
                job
                for job in self.waiting.values()
                if (self.odd_waits_for(job, tier) if job.job in odd else tier in job.request.tiers and not late)
                and self.attainable(job, tier)
            ]
            if not able:
                return
            job = self.winner(able)
            if self.estate.open(job, tier):
                cluster, ranks = self.place(self.estate, job.request)
                self.take(job, Admit(job.job, job.attempt, tier, cluster, ranks))
            else:
                self.take(job, self.reclaim(job))

    def reclaim(self, job: PendingJob) -> Reclaim:
        """The cheapest set of victims in the cluster where it is cheapest, and the places of the gang without them."""
        _, cluster, victims = min(
            (self.cost(victims, job, cluster), cluster, victims)
            for cluster in {node.cluster for node in self.snapshot.nodes}
            if (victims := self.victims(job, cluster)) is not None
        )
        _, ranks = self.place(self.gone(set(victims)), job.request, cluster)
        return Reclaim(job.job, job.attempt, cluster, ranks, tuple((name, self.live(name).attempt) for name in victims))

    def victims(self, job: PendingJob, cluster: str) -> list[str] | None:
        """Lent gangs, cheapest first, until it fits; then the dearest first let go, where it fits without."""
        chosen: list[str] = []
        lent = sorted((item.job for item in self.estate.holdings if item.lent), key=self.order)
        lent = [name for name in lent if self.live(name).request.flavor == job.request.flavor]
        for name in lent:
            if self.fits(job, cluster, chosen):
                break
            chosen.append(name)
        if not self.fits(job, cluster, chosen):
            return None
        for name in reversed(tuple(chosen)):
            if self.fits(job, cluster, [other for other in chosen if other != name]):
                chosen.remove(name)
        return chosen

    def fits(self, job: PendingJob, cluster: str, victims: list[str]) -> bool:
        """Whether a gang would have room in a cluster, and no cap in its way, without these and all that leaves."""
        then = self.gone(set(victims))
        return then.within_caps(job.leaf, job.request) and cluster in then.clusters_with_room(job.request)

    def gone(self, victims: set[str]) -> Estate:
        """The estate without these and all that leaves."""
        return self.estate.without(lambda item: item.leaves or (item.lent and item.job in victims))

    def live(self, name: str) -> LiveAttempt:
        """The live attempt of a job."""
        return next(attempt for attempt in self.snapshot.live if attempt.job == name)

    def loss(self, name: str) -> int:
        """GPU-milliseconds since it last saved its work, or began; nothing where it has not begun."""
        attempt, now_ms = self.live(name), self.snapshot.at_ms
        worked_ms = now_ms - max(attempt.running_at_ms or now_ms, attempt.checkpoint_at_ms or 0)
        return attempt.request.gpus * min(max(worked_ms, 0), self.snapshot.loss_max_ms)

    def order(self, name: str) -> tuple[bool, int, int, str]:
        """Scavengers, then who loses least, the newest, by name."""
        attempt = self.live(name)
        return (attempt.tier is Tier.BORROW, self.loss(name), -attempt.admitted_at_ms, name)

    def cost(self, victims: list[str], job: PendingJob, cluster: str) -> tuple[bool, int, int, int]:
        """No borrower, least lost, fewest GPUs, fewest that would be free anyway; then the cluster's name decides."""
        free = self.gone(set()).free_on(job.request.flavor)
        return (
            any(self.live(name).tier is Tier.BORROW for name in victims),
            sum(map(self.loss, victims)),
            sum(self.live(name).request.gpus for name in victims),
            sum(gpus for (where, _), gpus in free.items() if where == cluster),
        )

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

    def place(self, estate: Estate, request: GangRequest, only: str = "") -> tuple[str, tuple[Rank, ...]]:
        """The cluster with the least free GPUs that has room; worker by worker the fullest node that fits."""
        free = estate.free_on(request.flavor)
        total = {cluster: sum(gpus for (where, _), gpus in free.items() if where == cluster) for cluster, _ in free}
        cluster = only or min(estate.clusters_with_room(request), key=lambda name: (total[name], name))
        chosen = []
        for _ in range(request.nodes):
            able = [spot for spot, gpus in free.items() if spot[0] == cluster and gpus >= request.gpus_per_node]
            spot = min(able, key=lambda spot: (free[spot], spot))
            free[spot] -= request.gpus_per_node
            chosen.append(spot[1])
        names = enumerate(sorted(chosen))
        return cluster, tuple(Rank(number, name, request.gpus_per_node) for number, name in names)
