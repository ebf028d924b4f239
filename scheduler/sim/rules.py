"""The rules of decisions 0001 and 0009 written a second time, as plainly as possible, to check the allocator against.

Nothing here is shared with ``scheduler.core.allocator`` but the snapshot: paths instead of numbers,
every sum made anew from the holdings, the words of the rule instead of its shortcuts. Slow on purpose.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from scheduler.core.allocator.plan import Admit, Release, Step
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.model import GangRequest, LiveAttempt, PendingJob, Rank, Tier
from scheduler.core.tree import ROOT, TreeNode, lineage, parent_of
from scheduler.core.units import MILLI_PER_GPU

Spot = tuple[str, str]
"""(cluster, node)."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A gang that holds GPUs, or that they are kept for; leaves: it is expected to be gone soon."""

    job: str
    leaf: str
    request: GangRequest
    tier: Tier
    cluster: str
    ranks: tuple[Rank, ...]
    leaves: bool = False
    lent: bool = False
    kept: bool = False


class Estate:
    """Holdings on the nodes of a snapshot: what is held or kept, what is free, and whether a job may start now."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.holdings = [_holding(snapshot, attempt) for attempt in snapshot.live]
        self._nodes = snapshot.tree.nodes
        self._children: dict[str, set[str]] = {}
        leaves = [holding.leaf for holding in self.holdings] + [job.leaf for job in snapshot.pending]
        for path in {step for leaf in (*leaves, *self._nodes) for step in lineage(leaf)}:
            if path != ROOT:
                self._children.setdefault(parent_of(path), set()).add(path)
        for earmark in sorted(snapshot.earmarks, key=lambda item: item.seq):
            if self.will_do(earmark.job, earmark.cluster, earmark.ranks):
                self._keep(earmark.job, earmark.cluster, earmark.ranks)

    def take(self, job: PendingJob, step: Step) -> None:
        """Let a job hold what a step gives it, or keep it for the job while the victims leave.

        What is released is not kept in the first place: it would not do.
        """
        if isinstance(step, Release):
            return
        if isinstance(step, Admit):
            self.set_aside(job.job)
            self.holdings.append(Holding(job.job, job.leaf, job.request, step.tier, step.cluster, step.ranks))
            return
        asked = {victim for victim, _ in step.victims}
        self.holdings = [
            replace(item, leaves=True, lent=False) if item.job in asked and not item.kept else item
            for item in self.holdings
        ]
        self._keep(job, step.cluster, step.ranks)

    def set_aside(self, job: str) -> Holding | None:
        """Keep nothing for a job any more; returns what was kept."""
        found = self.earmarked(job)
        if found:
            self.holdings.remove(found)
        return found

    def earmarked(self, job: str) -> Holding | None:
        """What is kept for a job."""
        return next((item for item in self.holdings if item.kept and item.job == job), None)

    def _keep(self, job: PendingJob, cluster: str, ranks: tuple[Rank, ...]) -> None:
        self.holdings.append(Holding(job.job, job.leaf, job.request, Tier.GUARANTEED, cluster, ranks, kept=True))

    # Decision 0009: room that is made.

    def will_do(self, job: PendingJob, cluster: str, ranks: Iterable[Rank]) -> bool:
        """Whether a gang inside its guarantee may start at these places once all that leaves is gone."""
        then = self.without(lambda item: item.leaves)
        free, wanted = then.free_on(job.request.flavor, clamp=False), _by_spot(cluster, ranks)
        return (
            job.request.tiers[0] is Tier.GUARANTEED
            and self.inside_guarantee(job.leaf, job.request)
            and then.within_caps(job.leaf, job.request)
            and all(spot in free and free[spot] >= gpus for spot, gpus in wanted.items())
        )

    def can_start_in_its_places(self, job: PendingJob) -> bool:
        """Whether all that is kept for a job is free, beside what is kept for those before it, and the rules permit it.

        What is kept for later ones is not in its way: part of theirs is still held by those who leave.
        """
        kept = [item for item in self.holdings if item.kept]
        own = next(number for number, item in enumerate(kept) if item.job == job.job)
        aside = {item.job for item in kept[own:]}
        then = self.without(lambda item: item.kept and item.job in aside)
        free = then.free_on(job.request.flavor, clamp=False)
        wanted = _by_spot(kept[own].cluster, kept[own].ranks)
        return (
            then.inside_guarantee(job.leaf, job.request)
            and then.within_caps(job.leaf, job.request)
            and all(free[spot] >= gpus for spot, gpus in wanted.items())
        )

    def could_be_made(self, job: PendingJob) -> bool:
        """Whether a gang is inside its guarantee and has room when all that leaves and all that is lent is gone."""
        then = self.without(lambda item: item.leaves or item.lent)
        return (
            job.request.tiers[0] is Tier.GUARANTEED
            and self.inside_guarantee(job.leaf, job.request)
            and then.within_caps(job.leaf, job.request)
            and bool(then.clusters_with_room(job.request))
        )

    def without(self, gone: Callable[[Holding], bool]) -> Estate:
        """This estate without some of its holdings. For rules 2 and 6: a guarantee does not rise when others leave."""
        then = copy.copy(self)
        then.holdings = [item for item in self.holdings if not gone(item)]
        return then

    def open(self, job: PendingJob, tier: Tier) -> bool:
        """Whether a job could start in a tier now: rules 1 to 3, and one cluster has room for all workers."""
        request = job.request
        if not self.within_caps(job.leaf, request) or not self.clusters_with_room(request):
            return False
        if tier is Tier.GUARANTEED:
            return self.inside_guarantee(job.leaf, request)
        return self.free(request.flavor) - request.milli_gpus >= self.kept_beside(job.leaf, request.flavor)

    def first_open(self, job: PendingJob) -> Tier | None:
        """The first tier of the job's list in which it could start now."""
        return next((tier for tier in job.request.tiers if self.open(job, tier)), None)

    # Rule 1: the guarantee.

    def inside_guarantee(self, leaf: str, request: GangRequest) -> bool:
        """At the leaf, or at an ancestor, all claims with the gang added fit the guarantee there."""
        gang = {leaf: request.milli_gpus}
        return any(
            self.claims_inside(path, request.flavor, gang) <= self.guarantee(path, request.flavor)
            for path in lineage(leaf)
        )

    def claim(self, path: str, flavor: str, added: dict[str, int] | None = None) -> int:
        """What a subtree claims of its parent's guarantee: its own guarantee, or what is claimed inside if more."""
        return max(self.guarantee(path, flavor), self.claims_inside(path, flavor, added or {}))

    def guarantee(self, path: str, flavor: str) -> int:
        """The guarantee after shrinking in proportion to what is healthy."""
        configured, capacity = self._node(path).guarantee.get(flavor, 0), self.capacity(flavor)
        if path == ROOT:
            return min(configured, capacity)
        promised = self.promised(flavor)
        return configured * capacity // promised if capacity < promised else configured

    def configured(self, path: str, flavor: str) -> int:
        """The guarantee as the policy says it."""
        return self._node(path).guarantee.get(flavor, 0)

    def children(self, path: str) -> set[str]:
        """The tree nodes below one."""
        return self._children.get(path, set())

    def promised(self, flavor: str) -> int:
        """Sum of the classes' guarantees as the policy says them."""
        return sum(self._node(path).guarantee.get(flavor, 0) for path in self._children.get(ROOT, ()))

    def claims_inside(self, path: str, flavor: str, added: dict[str, int] | None = None) -> int:
        """What is claimed at a tree node by its own guaranteed usage and its children; ``added``: milli-GPUs more."""
        added = added or {}
        own = added.get(path, 0) + sum(
            holding.request.milli_gpus
            for holding in self.holdings
            if holding.leaf == path and holding.tier is Tier.GUARANTEED and holding.request.flavor == flavor
        )
        return own + sum(self.claim(child, flavor, added) for child in self._children.get(path, ()))

    # Rule 2: the borrowing limit.

    def within_caps(self, leaf: str, request: GangRequest) -> bool:
        """On the whole path held + gang <= guarantee + borrowing limit, where there is one."""
        return all(
            self.held(path, request.flavor) + request.milli_gpus <= cap
            for path in lineage(leaf)
            if (cap := self.cap(path, request.flavor)) is not None
        )

    def cap(self, path: str, flavor: str) -> int | None:
        """Most milli-GPUs the subtree may hold; None without a borrowing limit."""
        node = self._node(path)
        limit = node.borrowing_limit.get(flavor)
        return None if limit is None else node.guarantee.get(flavor, 0) + limit

    def held(self, path: str, flavor: str) -> int:
        """Milli-GPUs held in the subtree, all tiers."""
        return sum(
            holding.request.milli_gpus
            for holding in self.holdings
            if holding.request.flavor == flavor and path in lineage(holding.leaf)
        )

    # Rule 3: the lending limit.

    def kept_beside(self, leaf: str, flavor: str) -> int:
        """Milli-GPUs that the siblings of the path keep."""
        return sum(
            self.kept(sibling, flavor)
            for path in lineage(leaf)
            if path != ROOT
            for sibling in self._children[parent_of(path)] - {path}
        )

    def kept(self, path: str, flavor: str) -> int:
        """What a subtree does not lend and does not use, or what its children keep together if that is more."""
        below = sum(self.kept(child, flavor) for child in self._children.get(path, ()))
        limit = self._node(path).lending_limit.get(flavor)
        keep = 0 if limit is None else max(0, self.guarantee(path, flavor) - limit)
        held = self.without(lambda item: item.kept).held(path, flavor)
        return max(0, keep - held, below)

    # Rule 6: the machines.

    def capacity(self, flavor: str) -> int:
        """Healthy milli-GPUs: of nodes that take new work, and of cordoned ones what guaranteed gangs still use."""
        on = self.without(lambda item: item.kept or item.tier is not Tier.GUARANTEED).held_on()
        return MILLI_PER_GPU * sum(
            node.gpus if node.schedulable else min(node.gpus, on.get((node.cluster, node.name), 0))
            for node in self.snapshot.nodes
            if node.flavor == flavor
        )

    def held_on(self, *, kept: bool = True) -> dict[Spot, int]:
        """GPUs held or kept by node; ``kept`` False: held alone."""
        held: dict[Spot, int] = {}
        for holding in self.holdings:
            for rank in holding.ranks if kept or not holding.kept else ():
                spot = (holding.cluster, rank.node)
                held[spot] = held.get(spot, 0) + rank.gpus
        return held

    def kept_milli_gpus(self, flavor: str) -> int:
        """What is kept of a flavor, free already or not."""
        return sum(item.request.milli_gpus for item in self.holdings if item.kept and item.request.flavor == flavor)

    def free_on(self, flavor: str, *, kept: bool = True, clamp: bool = True) -> dict[Spot, int]:
        """Free GPUs of the flavor's nodes that take new work; ``kept`` False: as if nothing were kept."""
        on = self.held_on(kept=kept)
        least = 0 if clamp else -(1 << 60)
        return {
            (node.cluster, node.name): max(least, node.gpus - on.get((node.cluster, node.name), 0))
            for node in self.snapshot.nodes
            if node.flavor == flavor and node.schedulable
        }

    def free(self, flavor: str) -> int:
        """Free milli-GPUs over all clusters."""
        return MILLI_PER_GPU * sum(self.free_on(flavor).values())

    def clusters_with_room(self, request: GangRequest, *, kept: bool = True) -> list[str]:
        """Clusters that could hold all workers now, by name; ``kept`` False: as if nothing were kept."""
        workers: dict[str, int] = {}
        for (cluster, _), free in self.free_on(request.flavor, kept=kept).items():
            workers[cluster] = workers.get(cluster, 0) + free // request.gpus_per_node
        return sorted(cluster for cluster, count in workers.items() if count >= request.nodes)

    def _node(self, path: str) -> TreeNode:
        return self.snapshot.tree.node(path)


def _by_spot(cluster: str, ranks: Iterable[Rank]) -> dict[Spot, int]:
    """GPUs of a gang's workers by node."""
    found: dict[Spot, int] = {}
    for rank in ranks:
        found[cluster, rank.node] = found.get((cluster, rank.node), 0) + rank.gpus
    return found


def _holding(snapshot: Snapshot, attempt: LiveAttempt) -> Holding:
    """A live attempt; it leaves soon if it was asked to and is neither lost nor overdue."""
    stopping = attempt.state is AttemptState.STOPPING
    due_ms = (attempt.stopping_at_ms or 0) + snapshot.leave_ms.get(attempt.tier, 0)
    return Holding(
        attempt.job,
        attempt.leaf,
        attempt.request,
        attempt.tier,
        attempt.cluster,
        attempt.ranks,
        leaves=stopping and attempt.stop_reason is not StopReason.LOST and snapshot.at_ms < due_ms,
        lent=not stopping and attempt.tier is not Tier.GUARANTEED,
    )


def jobs_of(jobs: Iterable[PendingJob]) -> dict[str, PendingJob]:
    """Jobs by id."""
    return {job.job: job for job in jobs}
