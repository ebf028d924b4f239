"""What a cluster's operator should run now: every attempt of it that is not proven gone."""

from __future__ import annotations

import json

from scheduler.core.codec import from_json
from scheduler.core.effective import GRACE_DEFAULT_MS, EffectivePolicy
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.model import Rank, Tier
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.core.units import MS_PER_SECOND
from scheduler.schema.arrays import parse_array
from scheduler.schema.bodies import AssignmentBody, PullBody, PullRequest, RankBody, StopBody, TaskBody
from scheduler.services.actors import Actor, require
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import Reader, Store, Where

ATTEMPTS_MAX = 100_000
ORDERED = frozenset({StopReason.CANCEL, StopReason.EVICT, StopReason.TIMEOUT})
"""Reasons that the control plane orders; the others are what the cluster itself has seen."""


def pull(
    store: Store,
    policies: EffectivePolicies,
    tokens: AttemptTokens,
    actor: Actor,
    cluster: str,
    request: PullRequest,
    now_ms: int,
) -> PullBody:
    """Live attempts of the cluster with their tokens and stop orders, and which of ``existing`` may be forgotten."""
    require(actor.operates(cluster), f"pull for cluster {cluster}", "an administrator for that cluster's token")
    with store.read() as view:
        policy = policies.current(view, now_ms)
        live = view.select(
            AttemptRecord,
            Where("cluster", "=", cluster),
            Where("state", "!=", AttemptState.GONE),
            order=("admitted_at_ms",),
            limit=ATTEMPTS_MAX,
        )
        wanted = [_assignment(view, attempt, policy, tokens) for attempt in live]
        forget = [name for name in request.existing if _forgettable(view, cluster, name)]
    return PullBody(assignments=wanted, forget=forget)


def grace_of(policy: EffectivePolicy | None, tier: Tier) -> int:
    """Milliseconds that an attempt of a tier has after its notice, also after that of its time limit."""
    rule = policy.tiers.get(tier) if policy else None
    return (rule.grace_ms if rule else 0) or GRACE_DEFAULT_MS


def _assignment(
    view: Reader, attempt: AttemptRecord, policy: EffectivePolicy | None, tokens: AttemptTokens
) -> AssignmentBody:
    job = view.get(JobRecord, attempt.job)
    if job is None:
        raise LookupError(f"attempt {attempt.job}-a{attempt.number} has no job")
    task = TaskBody.model_validate_json(job.task_json)
    grace_ms = grace_of(policy, attempt.tier)
    ranks: tuple[Rank, ...] = from_json(tuple[Rank, ...], json.loads(attempt.ranks_json))
    stop = None
    # Its owner releases what is held after a failure; of other failures the cluster itself has told.
    is_released = attempt.stop_reason is StopReason.FAIL and attempt.hold_until_ms > 0
    if attempt.stop_reason is StopReason.CANCEL or is_released:
        grace_ms = min(grace_ms, GRACE_DEFAULT_MS)
    if attempt.stop_reason in ORDERED or is_released:
        stop = StopBody(reason=str(attempt.stop_reason), grace_ms=grace_ms)
    return AssignmentBody(
        job=attempt.job,
        attempt=attempt.number,
        org=attempt.org,
        project=attempt.project,
        user=attempt.user,
        tier=str(attempt.tier),
        flavor=attempt.flavor,
        ranks=[RankBody(rank=rank.rank, node=rank.node, gpus=rank.gpus) for rank in ranks],
        entrypoint=task.entrypoint,
        run=task.run,
        setup=task.setup,
        env=task.env | _array_env(job),
        package_sha256=job.package_sha256,
        time_limit_ms=job.time_limit_ms,
        grace_ms=grace_ms,
        checkpoint_key=job.id,
        hold_on_failure_ms=task.hold_on_failure_seconds * MS_PER_SECOND,
        begun=attempt.starting_at_ms > 0,
        token=tokens.token(attempt.job, attempt.number),
        stop=stop,
    )


def _array_env(job: JobRecord) -> dict[str, str]:
    """What a member of an array is told of its place; the names belong to Dure, so no task sets them."""
    if not job.array:
        return {}
    size = parse_array(job.array_text).size
    return {"DURE_ARRAY_ID": job.array, "DURE_ARRAY_INDEX": str(job.array_index), "DURE_ARRAY_COUNT": str(size)}


def _forgettable(view: Reader, cluster: str, name: str) -> bool:
    """An attempt whose end and usage the control plane has settled; an unknown name is kept as evidence."""
    job, _, number = name.removeprefix("d-").rpartition("-a")
    if not job or not number.isdigit():
        return False
    attempt = view.get(AttemptRecord, job, int(number))
    return attempt is not None and attempt.cluster == cluster and attempt.state is AttemptState.GONE and attempt.settled
