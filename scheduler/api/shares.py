"""Routes of shares and usage: quota, usage, GPUs."""

from __future__ import annotations

from fastapi import APIRouter

from scheduler.api.deps import Caller, D
from scheduler.api.docs import reads
from scheduler.api.params import Filter, Instant, instant_ms
from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.bodies import GpuLine, Listing, QuotaLine, UsageLine
from scheduler.services import quota, usage_views

router = APIRouter(prefix="/api/v1", tags=["shares"])

USAGE_DEFAULT_MS = 31 * 24 * MS_PER_HOUR


@router.get("/quota", responses=reads())
def list_quota(deps: D, actor: Caller, org: Filter = "", flavor: Filter = "") -> Listing[QuotaLine]:
    """Guarantees, limits and use of the tree nodes that the caller may see."""
    with deps.store.read() as view:
        lines = quota.quota(view, deps.policies, actor, org, flavor, deps.clock())
    return Listing[QuotaLine](kind="QuotaList", items=lines)


@router.get("/usage", responses=reads())
def list_usage(
    deps: D, actor: Caller, org: Filter = "", project: Filter = "", since: Instant = "", until: Instant = ""
) -> Listing[UsageLine]:
    """Usage of slices that start in [since, until); by default the last 31 days up to now."""
    now_ms = deps.clock()
    until_ms = instant_ms("until", until, now_ms + 1)
    since_ms = instant_ms("since", since, max(0, until_ms - USAGE_DEFAULT_MS))
    scope = usage_views.UsageScope(since_ms, until_ms, org, project)
    with deps.store.read() as view:
        lines = usage_views.usage(view, actor, scope, now_ms)
    return Listing[UsageLine](kind="UsageList", items=lines)


@router.get("/gpus", responses=reads())
def list_gpus(deps: D, actor: Caller) -> Listing[GpuLine]:
    """GPUs by cluster and flavor, and the largest gang that could start now."""
    with deps.store.read() as view:
        return Listing[GpuLine](kind="GpuList", items=usage_views.gpus(view))
