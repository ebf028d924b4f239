"""Why a job waits: the reasons its last cycle stored, explained for one job when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from scheduler.core.allocator.explain import Explanation, FreeGpus, JobFacts, explain
from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.records import AttemptRecord, JobRecord, NodeRecord, WaitingRecord
from scheduler.schema.arrays import parse_array
from scheduler.schema.bodies import WhyBody
from scheduler.schema.times import local_text
from scheduler.services.actors import Actor
from scheduler.services.arrays import first_waiting
from scheduler.services.job_bodies import instant
from scheduler.services.jobs import find_members, newest_attempt
from scheduler.services.look import blocker_body
from scheduler.services.pictures import leaf_of, live_attempts, newest_reasons, pending_of, plan_of, request_of
from scheduler.services.ports import Reader, Where
from scheduler.services.registry import NODES_MAX


def reasons(view: Reader) -> Callable[[JobRecord], str]:
    """A function from a queued job to its first reason, by the newest recorded cycle; "" when none has seen it."""
    plan = plan_of(newest_reasons(view))

    def first(job: JobRecord) -> str:
        found = plan.reasons(pending_of(job))
        return str(found[0].reason) if found else ""

    return first


def why(view: Reader, actor: Actor, name: str, now_ms: int) -> WhyBody:
    """Every reason with numbers, who can act, and what would help; other tenants appear as class names only."""
    members = find_members(view, actor, name)
    job = first_waiting(members) or members[0]
    waiting = newest_reasons(view)
    attempt = newest_attempt(view, job)
    own = (Where("user", "=", job.user), Where("org", "=", job.org), Where("project", "=", job.project))
    plan, pending = plan_of(waiting), pending_of(job)
    live = tuple(live_attempts(view, *own, Where("flavor", "=", job.flavor)))
    waiting_in_pool = _waiting(view, job)
    is_alone = waiting_in_pool <= 1
    facts = JobFacts(
        job=job.id,
        state=job.state,
        leaf=leaf_of(job),
        request=request_of(job),
        held_by=job.held_by,
        at_once=parse_array(job.array_text).at_once if job.array else 0,
        attempt_state=attempt.state if attempt else None,
        tier=attempt.tier if attempt else None,
        stop_reason=attempt.stop_reason if attempt else None,
        message=job.message,
        own_live=live,
        open_tiers=plan.open_tiers(pending),
        is_alone=is_alone,
        free=_free(view, job.flavor) if is_alone and live else (),
        room_by_ms=plan.awaited[job.id].by_ms if job.id in plan.awaited else 0,
    )
    found = explain(facts, plan.reasons(pending), now_ms)
    found = replace(found, summary=_of_array(members, job) + (_failed_and_held(job, attempt) or found.summary))
    return _body(view, job, waiting, found, waiting_in_pool)


def _failed_and_held(job: JobRecord, attempt: AttemptRecord | None) -> str:
    """What a job does whose attempt is kept after its failure; "" for any other."""
    if attempt is None or attempt.state is not AttemptState.RUNNING or not attempt.hold_until_ms:
        return ""
    until = local_text(attempt.hold_until_ms)
    return f"{job.id} is not waiting: {attempt.message}, and it is held until {until} so that you can look at it."


def _of_array(members: Sequence[JobRecord], job: JobRecord) -> str:
    """Of how many jobs the one that is explained is the first; "" for a job that was named alone."""
    if len(members) == 1:
        return ""
    waiting = sum(member.state in (JobState.QUEUED, JobState.HELD) for member in members)
    place = f"{job.name}[{job.array_index}]"
    if not waiting:
        return f"None of the array's {len(members)} jobs waits. Of {place}: "
    return f"{waiting} of the array's {len(members)} jobs wait; the first is {place}. "


def _waiting(view: Reader, job: JobRecord) -> int:
    """Jobs of the pool that wait for the job's flavor, itself included."""
    return view.count(JobRecord, Where("state", "=", JobState.QUEUED), Where("flavor", "=", job.flavor))


def _free(view: Reader, flavor: str) -> tuple[FreeGpus, ...]:
    """Free GPUs of the flavor's nodes that take new work."""
    nodes = view.select(NodeRecord, Where("flavor", "=", flavor), Where("schedulable", "=", True), limit=NODES_MAX)
    return tuple((node.cluster, node.name, node.healthy - node.held) for node in nodes)


def _body(
    view: Reader, job: JobRecord, waiting: WaitingRecord | None, found: Explanation, waiting_in_pool: int
) -> WhyBody:
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
        blockers=[blocker_body(line) for line in found.reasons],
        would_help=list(found.would_help),
        ahead_in_project=view.count(JobRecord, queued, *ahead) if job.state is JobState.QUEUED else 0,
        pending_in_pool=waiting_in_pool,
        cycle=waiting.cycle if waiting else 0,
        decided_at=instant(waiting.at_ms) if waiting else "",
        policy_version=waiting.policy_version if waiting else 0,
    )
