"""How a task would stand in the pool now: its guarantee, whether it could start, and what is in its way."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.explain import Explained, FreeGpus, JobFacts, explain
from scheduler.core.allocator.fairshare import Standing, standings
from scheduler.core.allocator.lines import lines_of
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.lifecycle import JobState
from scheduler.core.model import PendingJob
from scheduler.core.tree import ROOT, level_of, lineage
from scheduler.schema.bodies import BlockerBody, PlanNowBody, PlanShareBody
from scheduler.services.pictures import picture
from scheduler.services.ports import Reader
from scheduler.services.submit import Accepted

NEW_JOB = "new"
"""Stands for the job that is not there yet; real ids are longer."""


def look(view: Reader, accepted: Accepted, user: str, now_ms: int) -> tuple[PlanShareBody | None, PlanNowBody]:
    """The nearest guarantee of the task (None without one), and what the allocator would decide on it alone.

    In a settled pool nobody who waits can start, so what the rules and the machines leave open is open to this job.
    The picture has no usage history: that only orders those who wait.
    """
    snapshot = picture(view, accepted.policy, now_ms)
    job = PendingJob(NEW_JOB, f"{accepted.leaf}/{user}", accepted.request, seq=1, submitted_at_ms=now_ms, attempt=1)
    return _share(standings(snapshot), job), _now(snapshot, job, now_ms)


def blocker_body(line: Explained) -> BlockerBody:
    """One reason with its sentence."""
    blocker = line.blocker
    return BlockerBody(
        reason=str(blocker.reason),
        tier=blocker.tier,
        tree_node=blocker.tree_node,
        flavor=blocker.flavor,
        need=blocker.need,
        have=blocker.have,
        limit=blocker.limit,
        actor=str(blocker.actor),
        sentence=line.sentence,
        remedies=list(line.remedies),
    )


def _share(found: list[Standing], job: PendingJob) -> PlanShareBody | None:
    """The guarantee that is nearest to the job on its way up; the pool has none of its own."""
    by_path = {standing.tree_node: standing for standing in found if standing.flavor == job.request.flavor}
    for path in lineage(job.leaf):
        standing = by_path.get(path)
        if standing is not None and standing.effective_guarantee > 0 and path != ROOT:
            in_use = standing.held_guaranteed
            return PlanShareBody(
                tree_node=path,
                level=level_of(path),
                guarantee=standing.effective_guarantee,
                in_use=in_use,
                with_this_job=in_use + job.request.milli_gpus,
            )
    return None


def _now(snapshot: Snapshot, job: PendingJob, now_ms: int) -> PlanNowBody:
    plan = decide(replace(snapshot, lines=lines_of([job]), delayed=()))
    tier = next((step.tier for step in plan.starts if step.job == job.job), None)
    if tier is not None:
        return PlanNowBody(tier=tier.value)
    flavor = job.request.flavor
    is_alone = not any(waiting.request.flavor == flavor for waiting in snapshot.pending)
    facts = JobFacts(
        job=job.job,
        state=JobState.QUEUED,
        leaf=job.leaf,
        request=job.request,
        own_live=tuple(
            attempt for attempt in snapshot.live if attempt.leaf == job.leaf and attempt.request.flavor == flavor
        ),
        open_tiers=plan.open_tiers(job),
        is_alone=is_alone,
        free=_free(snapshot, flavor) if is_alone else (),
        room_by_ms=plan.awaited[job.job].by_ms if job.job in plan.awaited else 0,
    )
    found = explain(facts, plan.reasons(job), now_ms)
    return PlanNowBody(tier="", blockers=[blocker_body(line) for line in found.reasons], options=list(found.would_help))


def _free(snapshot: Snapshot, flavor: str) -> tuple[FreeGpus, ...]:
    """Free GPUs of the flavor's nodes that take new work."""
    held: dict[tuple[str, str], int] = {}
    for attempt in snapshot.live:
        for rank in attempt.ranks:
            place = attempt.cluster, rank.node
            held[place] = held.get(place, 0) + rank.gpus
    return tuple(
        (node.cluster, node.name, node.gpus - held.get((node.cluster, node.name), 0))
        for node in snapshot.nodes
        if node.flavor == flavor and node.schedulable
    )
