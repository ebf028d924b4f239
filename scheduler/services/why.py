"""Why a job waits: the reasons its last cycle stored, explained for one job when somebody asks."""

from __future__ import annotations

import json
from collections.abc import Callable

from scheduler.core.allocator.explain import Explanation, JobFacts, explain
from scheduler.core.allocator.plan import Plan
from scheduler.core.lifecycle import JobState
from scheduler.core.records import CycleRecord, JobRecord
from scheduler.schema.bodies import BlockerBody, WhyBody
from scheduler.services.actors import Actor
from scheduler.services.job_bodies import instant
from scheduler.services.job_views import newest_cycle
from scheduler.services.jobs import find_job, newest_attempt
from scheduler.services.pictures import leaf_of, live_attempts, pending_of, request_of
from scheduler.services.ports import Reader, Where


def plan_of(cycle: CycleRecord | None) -> Plan:
    """The recorded plan; an empty one before the first cycle."""
    return Plan.from_json(json.loads(cycle.plan_json)) if cycle else Plan()


def reasons(view: Reader) -> Callable[[JobRecord], str]:
    """A function from a queued job to its first reason, by the newest recorded cycle; "" when none has seen it."""
    plan = plan_of(newest_cycle(view))

    def first(job: JobRecord) -> str:
        found = plan.reasons(pending_of(job))
        return str(found[0].reason) if found else ""

    return first


def why(view: Reader, actor: Actor, name: str, now_ms: int) -> WhyBody:
    """Every reason with numbers, who can act, and what would help; other tenants appear as class names only."""
    job = find_job(view, actor, name)
    cycle = newest_cycle(view)
    attempt = newest_attempt(view, job)
    own = (Where("user", "=", job.user), Where("org", "=", job.org), Where("project", "=", job.project))
    facts = JobFacts(
        job=job.id,
        state=job.state,
        leaf=leaf_of(job),
        request=request_of(job),
        held_by=job.held_by,
        attempt_state=attempt.state if attempt else None,
        tier=attempt.tier if attempt else None,
        stop_reason=attempt.stop_reason if attempt else None,
        message=job.message,
        own_live=tuple(live_attempts(view, *own, Where("flavor", "=", job.flavor))),
    )
    return _body(view, job, cycle, explain(facts, plan_of(cycle).reasons(pending_of(job)), now_ms))


def _body(view: Reader, job: JobRecord, cycle: CycleRecord | None, found: Explanation) -> WhyBody:
    queued = Where("state", "=", JobState.QUEUED)
    ahead = (
        Where("org", "=", job.org),
        Where("project", "=", job.project),
        Where("submitted_seq", "<", job.submitted_seq),
    )
    return WhyBody(
        job=job.id,
        state=str(job.state),
        summary=found.summary,
        blockers=[
            BlockerBody(
                reason=str(line.blocker.reason),
                tier=line.blocker.tier,
                tree_node=line.blocker.tree_node,
                flavor=line.blocker.flavor,
                need=line.blocker.need,
                have=line.blocker.have,
                limit=line.blocker.limit,
                actor=str(line.blocker.actor),
                sentence=line.sentence,
                remedies=list(line.remedies),
            )
            for line in found.reasons
        ],
        would_help=list(found.would_help),
        ahead_in_project=view.count(JobRecord, queued, *ahead) if job.state is JobState.QUEUED else 0,
        pending_in_pool=view.count(JobRecord, queued, Where("flavor", "=", job.flavor)),
        cycle=cycle.number if cycle else 0,
        decided_at=instant(cycle.at_ms) if cycle else "",
        policy_version=cycle.policy_version if cycle else 0,
    )
