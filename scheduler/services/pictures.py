"""Records as the allocator's words: a job that waits, an attempt that holds, the picture of now for display."""

from __future__ import annotations

import json

from scheduler.core.allocator.lines import lines_of
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.codec import from_json
from scheduler.core.effective import EffectivePolicy
from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.model import GangRequest, LiveAttempt, Node, PendingJob, Rank, Tier
from scheduler.core.records import AttemptRecord, JobRecord, NodeRecord
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
    )


def live_attempts(view: Reader, *where: Where) -> list[LiveAttempt]:
    """Attempts that hold GPUs, sorted by job."""
    live = (Where("state", "!=", AttemptState.GONE), *where)
    rows = view.select(AttemptRecord, *live, order=("job",), limit=ROWS_MAX)
    pairs = ((view.get(JobRecord, row.job), row) for row in rows)
    return [live_of(job, row) for job, row in pairs if job is not None]


def picture(view: Reader, policy: EffectivePolicy, now_ms: int) -> Snapshot:
    """The pool now, from records and without usage history: for display, never to decide on."""
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
        lines=lines_of(pending_of(job) for job in queued),
        delayed=(),
        usage={},
    )
