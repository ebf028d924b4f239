"""Bodies about how a task would stand in the pool at this moment: a look at it, and no promise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scheduler.schema.body_base import Body, TierName
from scheduler.schema.body_jobs import BlockerBody


class PlanShareBody(Body):
    """The nearest guarantee above the job, in milli-GPUs of its flavor."""

    tree_node: str
    level: str
    """Of the tree node whose guarantee it is: project, organisation or class."""
    guarantee: int
    """As it counts now: less than the policy says where machines are missing."""
    in_use: int
    """Held by guaranteed attempts at and below the tree node."""
    with_this_job: int
    """In use if the job were guaranteed and started."""


class PlanNowBody(Body):
    """What would become of the job if the allocator decided on it now, and on nobody else."""

    tier: TierName | Literal[""]
    """The tier in which it could start; "" when something is in its way in each of its tiers."""
    blockers: list[BlockerBody] = Field(default=[])
    """Everything that is in its way; empty when it could start."""
    options: list[str] = Field(default=[])
    """Changes that would let it start now, each of them alone."""
