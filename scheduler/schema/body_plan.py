"""Bodies about a plan: what a task would become, and what it could cost at most; nothing is submitted."""

from __future__ import annotations

from typing import Literal

from scheduler.schema.body_base import Answer, Body, TierName
from scheduler.schema.body_look import PlanNowBody, PlanShareBody


class PlanTierBody(Body):
    """What a job costs in one tier, before VAT, at the prices that are in force now."""

    tier: TierName
    list_won_per_gpu_hour: int
    """The rate card's list price of the flavor."""
    tier_factor_ppm: int
    """The tier's factor of the list price, in parts per million."""
    tenant_part_ppm: int
    """The tenant's part of the product of list price and factor, in parts per million; the class decides it."""
    tenant_microwon_per_gpu_hour: int
    """What the tenant pays for a GPU-hour, in micro-won."""
    most_microwon: int
    """For one attempt that uses its whole time limit and the grace that follows it."""
    all_jobs_microwon: int
    """For one such attempt of every job of the array; of a single job ``most_microwon``."""


class PlanBody(Answer):
    """A task as a submission would take it: flavor and time limit resolved, and the price of each tier."""

    kind: Literal["Plan"] = "Plan"
    project: str
    """ORG/PROJECT."""
    class_name: str
    flavor: str
    nodes: int
    gpus_per_node: int
    gpus: int
    time_seconds: int
    """Time limit of one attempt; the policy's default where the task names none."""
    jobs: int = 1
    """Jobs that it becomes: more than one for an array."""
    at_once: int = 1
    """How many of them may wait or run at once."""
    tiers: list[PlanTierBody]
    """In the order in which the job accepts them."""
    share: PlanShareBody | None = None
    """None where nobody above the job has a guarantee of the flavor."""
    now: PlanNowBody | None = None
    policy_version: int
    rate_card: str
