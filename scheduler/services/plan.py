"""Plan: what a submission would become and what it could cost at most; the same checks, and nothing changes."""

from __future__ import annotations

import json

from scheduler.core.accounting.rating import Price, rate
from scheduler.core.model import Tier
from scheduler.core.records import RateCardRecord
from scheduler.core.units import MILLI_GPU_MS_PER_GPU_HOUR, MS_PER_SECOND
from scheduler.schema.bodies import PlanBody, PlanTierBody, TaskBody
from scheduler.services.actors import Actor
from scheduler.services.assignments import grace_of
from scheduler.services.effective import EffectivePolicies
from scheduler.services.look import look
from scheduler.services.ports import Reader
from scheduler.services.submit import Accepted, accept, require_room_in_line

MILLI = 1_000


def plan(view: Reader, policies: EffectivePolicies, task: TaskBody, actor: Actor, now_ms: int) -> PlanBody:
    """The task with everything resolved, the price of each of its tiers, and how it would stand in the pool now.

    Raises what submitting it would raise about registry, policy and limits: Forbidden, NotFound, Invalid or Refused.
    """
    accepted = accept(view, policies.current(view, now_ms), task, actor)
    require_room_in_line(view, accepted)
    request, policy = accepted.request, accepted.policy
    list_won = _list_won(view, policy.rate_card, request.flavor)
    share, now = look(view, accepted, actor.user, now_ms)
    return PlanBody(
        project=f"{accepted.org.name}/{accepted.project}",
        class_name=accepted.org.class_name,
        flavor=request.flavor,
        nodes=request.nodes,
        gpus_per_node=request.gpus_per_node,
        gpus=request.gpus,
        time_seconds=request.time_limit_ms // MS_PER_SECOND,
        tiers=[_tier(accepted, tier, list_won) for tier in request.tiers],
        jobs=accepted.jobs,
        at_once=task.range.at_once if task.range else 1,
        share=share,
        now=now,
        policy_version=policy.policy_version,
        rate_card=policy.rate_card,
    )


def _list_won(view: Reader, rate_card: str, flavor: str) -> int:
    """The list price in won per GPU-hour; a policy is only put in force with a card that prices all its flavors."""
    card = view.get(RateCardRecord, rate_card)
    if card is None:
        raise ValueError(f"rate card {rate_card} of the policy in force is not stored")
    return int(json.loads(card.prices_json)[flavor])


def _tier(accepted: Accepted, tier: Tier, list_won: int) -> PlanTierBody:
    request, policy = accepted.request, accepted.policy
    # A job that is timed out may use its grace, at its own expense (decision 0002).
    longest_ms = request.time_limit_ms + grace_of(policy, tier)
    price = Price(list_won, policy.tiers[tier].price_ppm, policy.class_prices[accepted.org.class_name])
    most_microwon = rate(request.gpus * MILLI * longest_ms, price).tenant_microwon
    return PlanTierBody(
        tier=tier.value,
        list_won_per_gpu_hour=list_won,
        tier_factor_ppm=price.tier_ppm,
        tenant_part_ppm=price.class_price.of_list_ppm,
        tenant_microwon_per_gpu_hour=rate(MILLI_GPU_MS_PER_GPU_HOUR, price).tenant_microwon,
        most_microwon=most_microwon,
        all_jobs_microwon=most_microwon * accepted.jobs,
    )
