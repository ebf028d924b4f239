"""Checks of what is taken back: S3 and S9 of DESIGN section 4, by decision 0009 read slowly."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.core.allocator.plan import Plan, Reclaim
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.errors import Finding
from scheduler.core.model import PendingJob, Tier
from scheduler.core.reasons import Reason
from scheduler.sim.expected import expected_free, told
from scheduler.sim.rules import Estate, Holding, jobs_of


def guaranteed_first(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S3: no gang inside its guarantee is left waiting, without room being made for it, while lent GPUs would do.

    Nor is one that room was made for, when all of it is there.
    """
    estate, jobs = Estate(snapshot), jobs_of(snapshot.pending)
    for step in plan.steps:
        estate.take(jobs[step.job], step)
    aside = {step.job for step in plan.placed} | {job.job for job in snapshot.delayed}
    kept = [job for job in snapshot.pending if estate.earmarked(job.job)]
    idle = [job for job in kept if estate.can_start_in_its_places(job)]
    return [Finding(job.job, "S3", "waits, and all that is kept for it is free") for job in idle] + [
        Finding(job.job, "S3", "is inside its guarantee, and nobody is asked to give back what it needs")
        for job in snapshot.pending
        if job.job not in aside and not estate.earmarked(job.job) and estate.could_be_made(job)
    ]


def reclaimed_well(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S9: who is asked to leave holds lent GPUs, is needed, and is of the cheapest kind; then less is lent than before.

    The potential is the sum of GPUs that are lent and not asked back: a reclaim with victims lowers it, and only a
    start on GPUs that nobody holds and that are kept for nobody raises it again.
    """
    estate, jobs = Estate(snapshot), jobs_of(snapshot.pending)
    findings: list[Finding] = []
    for step in plan.steps:
        job = jobs[step.job]
        if isinstance(step, Reclaim):
            findings += (Finding(job.job, "S9", message) for message in _faults(estate, job, step))
            before = _lent(estate)
            estate.take(job, step)
            if step.victims and _lent(estate) >= before:
                findings.append(Finding(job.job, "S9", "takes GPUs back, and no fewer are lent"))
        else:
            estate.take(job, step)
    return findings


def room_told(plan: Plan, job: PendingJob, estate: Estate) -> Iterator[Finding]:
    """A gang that room is made for is told what of it is free already, and nothing else."""
    found = [told(blocker) for blocker in plan.reasons(job)]
    free, need = expected_free(estate, job.job), job.request.milli_gpus
    wanted = (Reason.NO_CAPACITY, "", need, free, need, "", 0, 0)
    if found != [wanted]:
        yield Finding(job.job, "S13", f"room is made for it, and it is told {found} and not {wanted}")


def _faults(estate: Estate, job: PendingJob, step: Reclaim) -> Iterator[str]:
    request, victims = job.request, {victim for victim, _ in step.victims}
    lent = {item.job for item in estate.holdings if item.lent}
    if not victims <= lent or len(victims) < len(step.victims):
        yield f"asks {sorted(victims - lent)}, who hold nothing that is lent"
    if not estate.could_be_made(job):
        yield "is not inside its guarantee, or has no room even if all is given back"
    if estate.open(job, Tier.GUARANTEED):
        yield "could start as it is"

    def fits_without(gone: set[str], cluster: str) -> bool:
        then = estate.without(lambda item: item.leaves or (item.lent and item.job in gone))
        return then.within_caps(job.leaf, request) and cluster in then.clusters_with_room(request)

    if not fits_without(victims, step.cluster):
        yield "does not fit when its victims are gone"
    for victim in sorted(victims):
        if fits_without(victims - {victim}, step.cluster):
            yield f"asks {victim} for nothing"
    scavengers = {item.job for item in estate.holdings if item.lent and item.tier is Tier.SCAVENGE}
    clusters = {node.cluster for node in estate.snapshot.nodes}
    if victims - scavengers and any(fits_without(scavengers, cluster) for cluster in clusters):
        yield "asks a borrower, though what scavengers hold is enough"
    if not _places_free(estate, job, step, victims):
        yield "its places are not free when its victims are gone"


def _places_free(estate: Estate, job: PendingJob, step: Reclaim, victims: set[str]) -> bool:
    then = estate.without(lambda item: item.lent and item.job in victims)
    return then.will_do(job, step.cluster, step.ranks)


def _lent(estate: Estate) -> int:
    return sum(_gpus(item) for item in estate.holdings if item.lent)


def _gpus(holding: Holding) -> int:
    return sum(rank.gpus for rank in holding.ranks)
