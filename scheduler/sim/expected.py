"""The reasons that decision 0001, rule 7, asks for, from the slow reading of its rules: what S13 is checked against.

Nothing is shared with ``scheduler.core.allocator.blockers``: every number is summed anew from the holdings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scheduler.core.model import GangRequest, PendingJob, Tier
from scheduler.core.reasons import Blocker, Reason
from scheduler.core.tree import ROOT, level_of, lineage, parent_of
from scheduler.core.units import MILLI_PER_GPU
from scheduler.sim.rules import Estate

Told = tuple[Reason, str, int, int, int, str, int, int]
"""(reason, tree node, need, have, limit, tier, left, over) of a blocker."""
TIERS = (Tier.GUARANTEED, Tier.BORROW, Tier.SCAVENGE)


def told(blocker: Blocker) -> Told:
    """A blocker without who can act."""
    numbers = (blocker.need, blocker.have, blocker.limit)
    return (blocker.reason, blocker.tree_node, *numbers, blocker.tier, blocker.left, blocker.over)


def expected(estate: Estate, job: PendingJob) -> set[Told]:
    """Every reason why a job cannot start now, but for a back-off and who comes before it."""
    found = {*_caps(estate, job), *_machines(estate, job.request)}
    if any(tier is not Tier.GUARANTEED for tier in job.request.tiers):
        found |= {*_kept(estate, job)}
    if Tier.GUARANTEED in job.request.tiers:
        found |= {*_share(estate, job)}
    return found


def expected_free(estate: Estate, job: str) -> int | None:
    """Milli-GPUs free already of what is kept for a job, those before it first; None when nothing is kept for it."""
    free: dict[tuple[str, str], int] = {}
    on = estate.held_on(kept=False)
    for node in estate.snapshot.nodes:
        free[node.cluster, node.name] = node.gpus - on.get((node.cluster, node.name), 0)
    for item in estate.holdings:
        if item.kept:
            found = 0
            for rank in item.ranks:
                spot = (item.cluster, rank.node)
                found += min(rank.gpus, max(0, free[spot]))
                free[spot] -= rank.gpus
            if item.job == job:
                return found * MILLI_PER_GPU
    return None


def rules_permit(estate: Estate, job: PendingJob, tier: Tier) -> bool:
    """Whether the job could start in a tier if only enough machines were free."""
    request = job.request
    if not estate.within_caps(job.leaf, request):
        return False
    if tier is Tier.GUARANTEED:
        return estate.inside_guarantee(job.leaf, request)
    kept = estate.kept_beside(job.leaf, request.flavor)
    return kept == 0 or estate.free(request.flavor) - request.milli_gpus >= kept


def phase_of(estate: Estate, job: PendingJob) -> int | None:
    """The phase of the first of its tiers in which only machines in use stop a job; None when there is no such tier."""
    request = job.request
    if _workers(_sizes(estate, request.flavor), request.gpus_per_node) < request.nodes:
        return None
    return next((TIERS.index(tier) for tier in request.tiers if rules_permit(estate, job, tier)), None)


def _caps(estate: Estate, job: PendingJob) -> Iterator[Told]:
    need, flavor = job.request.milli_gpus, job.request.flavor
    for path in lineage(job.leaf):
        cap, held = estate.cap(path, flavor), estate.held(path, flavor)
        if cap is not None and held + need > cap:
            low = level_of(path) in ("project", "user")
            yield (
                Reason.PROJECT_CAP_REACHED if low else Reason.ORG_CAP_REACHED,
                path,
                need,
                held,
                cap,
                "",
                cap - held,
                0,
            )


def _machines(estate: Estate, request: GangRequest) -> Iterator[Told]:
    if estate.clusters_with_room(request):
        return
    flavor, per_worker, need = request.flavor, request.gpus_per_node, request.milli_gpus
    free: dict[str, list[int]] = {}
    for (cluster, _), gpus in estate.free_on(flavor).items():
        free.setdefault(cluster, []).append(gpus)
    kept = estate.kept_milli_gpus(flavor)
    now, could = _workers(free, per_worker), _workers(_sizes(estate, flavor), per_worker)
    left = now * per_worker * MILLI_PER_GPU
    most = max((sum(gpus) for gpus in free.values()), default=0) * MILLI_PER_GPU
    if could < request.nodes:
        numbers = (need, could * per_worker * MILLI_PER_GPU, estate.capacity(flavor))
        together = _workers(_sizes(estate, flavor, cordoned=True), per_worker)
        if not estate.snapshot.nodes:
            yield Reason.CLUSTER_STARTING, "", *numbers, "", 0, 0
        else:
            reason = Reason.MAINTENANCE_WINDOW if together >= request.nodes else Reason.MODEL_UNAVAILABLE
            yield reason, "", *numbers, "", left, 0
    elif kept and estate.clusters_with_room(request, kept=False):
        awaited = [item for item in estate.holdings if item.kept and item.request.flavor == flavor]
        largest = min(awaited, key=lambda item: (-item.request.milli_gpus, item.leaf))
        yield Reason.RESERVED_FOR_OTHER, largest.leaf, need, estate.free(flavor), kept, "", left, 0
    elif most < need:
        total = sum(sum(sizes) for sizes in _sizes(estate, flavor).values()) * MILLI_PER_GPU
        yield Reason.NO_CAPACITY, "", need, most, total, "", left, 0
    else:
        yield Reason.NO_GANG_FIT, "", request.nodes, now, could, "", left, 0


def _kept(estate: Estate, job: PendingJob) -> Iterator[Told]:
    need, flavor = job.request.milli_gpus, job.request.flavor
    free, kept = estate.free(flavor), estate.kept_beside(job.leaf, flavor)
    if kept and free - need < kept:
        beside = {
            sibling: estate.kept(sibling, flavor)
            for path in lineage(job.leaf)
            if path != ROOT
            for sibling in estate.children(parent_of(path)) - {path}
        }
        keeper = min(beside, key=lambda path: (-beside[path], path))
        for tier in job.request.tiers:
            if tier is not Tier.GUARANTEED:
                yield Reason.RESERVED_FOR_OTHER, keeper, need, free, kept, str(tier), free - kept, 0


def _share(estate: Estate, job: PendingJob) -> Iterator[Told]:
    request, flavor, tier = job.request, job.request.flavor, str(Tier.GUARANTEED)
    if estate.inside_guarantee(job.leaf, request):
        return
    need, path = request.milli_gpus, lineage(job.leaf)
    promised, capacity = estate.promised(flavor), estate.capacity(flavor)
    with_rights = [node for node in path if estate.configured(node, flavor)]
    if not with_rights:
        yield Reason.SHARE_BUSY, "", need, 0, 0, tier, 0, 0
        return
    gang = {job.leaf: need}
    missing = {node: estate.claims_inside(node, flavor, gang) - estate.guarantee(node, flavor) for node in with_rights}
    nearest = min(with_rights, key=lambda node: (missing[node], path.index(node)))
    free = {node: estate.guarantee(node, flavor) - estate.claims_inside(node, flavor) for node in path}
    top = [node for node in path if estate.guarantee(node, flavor)][-1:]
    left, over = sum(max(0, amount) for amount in free.values()), -sum(min(0, free[node]) for node in top)
    numbers = (need, estate.claims_inside(nearest, flavor), estate.guarantee(nearest, flavor))
    yield Reason.SHARE_BUSY, nearest, *numbers, tier, left, over
    if capacity < promised:
        yield Reason.NO_CAPACITY, ROOT, promised, capacity, estate.configured(nearest, flavor), tier, left, 0


def _sizes(estate: Estate, flavor: str, *, cordoned: bool = False) -> dict[str, list[int]]:
    """Cluster -> healthy GPUs of its nodes that take new work (cordoned: of all)."""
    sizes: dict[str, list[int]] = {}
    for node in estate.snapshot.nodes:
        if node.flavor == flavor and (node.schedulable or cordoned):
            sizes.setdefault(node.cluster, []).append(node.gpus)
    return sizes


def _workers(clusters: dict[str, list[int]], gpus: int) -> int:
    """Workers that the best cluster takes, its nodes given by their GPUs."""
    return max((_count(nodes, gpus) for nodes in clusters.values()), default=0)


def _count(nodes: Sequence[int], gpus: int) -> int:
    return sum(count // gpus for count in nodes)
