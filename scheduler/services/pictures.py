"""Records as the allocator's words: a job that waits, an attempt that holds, the picture of now for display."""

from __future__ import annotations

import json
from collections.abc import Iterable

from scheduler.core.allocator.lines import lines_of
from scheduler.core.allocator.plan import Plan
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.codec import from_json
from scheduler.core.effective import EffectivePolicy
from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.model import Earmark, GangRequest, LiveAttempt, Node, PendingJob, Rank, Tier
from scheduler.core.records import AttemptRecord, JobRecord, NodeRecord, WaitingRecord
from scheduler.services.cycle import NEWEST
from scheduler.services.ports import Reader, Where

ROWS_MAX = 1_000_000


def leaf_of(job: JobRecord) -> str:
    """Path of the user's tree node under which the job waits and runs."""
    return f"/{job.class_name}/{job.org}/{job.project}/{job.user}"


def request_of(job: JobRecord) -> GangRequest:
    """What the job asks for."""
    tiers = tuple(Tier(tier) for tier in job.tiers.split(","))
    return GangRequest(job.flavor, job.nodes, job.gpus_per_node, tiers, job.time_limit_ms)


def pending_of(job: JobRecord) -> PendingJob:
    """The job as the allocator sees it while it waits."""
    return PendingJob(
        job=job.id,
        leaf=leaf_of(job),
        request=request_of(job),
        seq=job.submitted_seq,
        submitted_at_ms=job.submitted_at_ms,
        attempt=job.attempt + 1,
        not_before_ms=job.not_before_ms,
    )


def live_of(job: JobRecord, attempt: AttemptRecord) -> LiveAttempt:
    """The attempt as the allocator sees it while it holds GPUs."""
    ranks: tuple[Rank, ...] = from_json(tuple[Rank, ...], json.loads(attempt.ranks_json))
    return LiveAttempt(
        job=job.id,
        attempt=attempt.number,
        leaf=leaf_of(job),
        request=request_of(job),
        tier=attempt.tier,
        cluster=attempt.cluster,
        ranks=ranks,
        admitted_at_ms=attempt.admitted_at_ms,
        state=attempt.state,
        stop_reason=attempt.stop_reason,
        running_at_ms=attempt.running_at_ms or None,
        stopping_at_ms=attempt.stop_at_ms or None,
        checkpoint_at_ms=attempt.checkpoint_at_ms or None,
    )


def live_attempts(view: Reader, *where: Where) -> list[LiveAttempt]:
    """Attempts that hold GPUs, sorted by job."""
    live = (Where("state", "!=", AttemptState.GONE), *where)
    rows = view.select(AttemptRecord, *live, order=("job",), limit=ROWS_MAX)
    pairs = ((view.get(JobRecord, row.job), row) for row in rows)
    return [live_of(job, row) for job, row in pairs if job is not None]


def earmarks_of(plan: Plan, queued: Iterable[JobRecord]) -> tuple[Earmark, ...]:
    """The room that is being made by the newest reasons, for jobs that still wait."""
    found: list[Earmark] = []
    for job in queued:
        room = plan.awaited.get(job.id)
        if room is not None:
            ranks = tuple(Rank(number, node, job.gpus_per_node) for number, node in enumerate(room.nodes))
            found.append(Earmark(pending_of(job), room.cluster, ranks, seq=len(found)))
    return tuple(found)


def plan_of(waiting: WaitingRecord | None) -> Plan:
    """The newest reasons as a plan without steps; an empty one before the first cycle."""
    return Plan.from_json(json.loads(waiting.reasons_json)) if waiting else Plan()


def newest_reasons(view: Reader) -> WaitingRecord | None:
    """Why jobs wait, as the newest cycle found it."""
    return view.get(WaitingRecord, NEWEST)


def picture(view: Reader, policy: EffectivePolicy, now_ms: int) -> Snapshot:
    """The pool now, from records and without usage history: for display, never to decide on.

    For whom room is being made is what the newest cycle said.
    """
    plan = plan_of(newest_reasons(view))
    nodes = view.select(NodeRecord, order=("cluster", "name"), limit=ROWS_MAX)
    queued = view.select(JobRecord, Where("state", "=", JobState.QUEUED), order=("submitted_seq",), limit=ROWS_MAX)
    return Snapshot(
        at_ms=now_ms,
        fact_seq=0,
        chain="",
        policy_version=policy.policy_version,
        registry_seq=policy.registry_seq,
        flavors=policy.flavors,
        tree=policy.tree,
        nodes=tuple(Node(node.cluster, node.name, node.flavor, node.healthy, node.schedulable) for node in nodes),
        live=tuple(live_attempts(view)),
        lines=lines_of(pending_of(job) for job in queued if job.id not in plan.awaited),
        delayed=(),
        usage={},
        earmarks=earmarks_of(plan, queued),
        leave_ms=policy.leave_ms,
        loss_max_ms=policy.limits.checkpoint_interval_max_ms,
    )
