"""Routes of shares and usage: quota, usage, GPUs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from scheduler.api.deps import Caller, D
from scheduler.api.docs import reads
from scheduler.api.params import Filter, Instant, instant_ms
from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.bodies import GpuLine, Listing, QuotaLine, UsageList
from scheduler.services import quota, usage_views
from scheduler.services.usage_groups import DEFAULT_ZONE, groups_of

router = APIRouter(prefix="/api/v1", tags=["shares"])

Groups = Annotated[str, Query(max_length=64, description="Any of project, user, flavor, tier, day, with commas.")]
USAGE_DEFAULT_MS = 31 * 24 * MS_PER_HOUR


@router.get("/quota", responses=reads())
def list_quota(deps: D, actor: Caller, org: Filter = "", flavor: Filter = "") -> Listing[QuotaLine]:
    """Guarantees, limits and use of the tree nodes that the caller may see."""
    with deps.store.read() as view:
        lines = quota.quota(view, deps.policies, actor, org, flavor, deps.clock())
    return Listing[QuotaLine](kind="QuotaList", items=lines)


@router.get("/usage", responses=reads())
def list_usage(
    deps: D,
    actor: Caller,
    org: Filter = "",
    project: Filter = "",
    since: Instant = "",
    until: Instant = "",
    by: Groups = "",
) -> UsageList:
    """Usage of slices that start in [since, until); by default the last 31 days up to now.

    It is added up by each of the properties that `by` names, in their order; by project, user, flavor and tier
    without it. Days are those of the policy's time zone.
    """
    groups = groups_of(by)
    now_ms = deps.clock()
    until_ms = instant_ms("until", until, now_ms + 1)
    since_ms = instant_ms("since", since, max(0, until_ms - USAGE_DEFAULT_MS))
    scope = usage_views.UsageScope(since_ms, until_ms, org, project)
    with deps.store.read() as view:
        policy = deps.policies.current(view, now_ms)
        zone = policy.timezone if policy else DEFAULT_ZONE
        found = usage_views.usage_by(view, actor, scope, now_ms, groups, zone)
    return UsageList(kind="UsageList", items=found.lines, by=groups, totals=found.totals)


@router.get("/gpus", responses=reads())
def list_gpus(deps: D, actor: Caller) -> Listing[GpuLine]:
    """GPUs by cluster and flavor, and the largest gang that could start now."""
    with deps.store.read() as view:
        return Listing[GpuLine](kind="GpuList", items=usage_views.gpus(view))
