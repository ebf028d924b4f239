"""Entitlement and use of every tree node that the asker may see, by flavor."""

from __future__ import annotations

from scheduler.core.allocator.fairshare import Standing, standings
from scheduler.core.tree import level_of
from scheduler.schema.bodies import QuotaLine
from scheduler.services.actors import Actor
from scheduler.services.effective import EffectivePolicies
from scheduler.services.pictures import picture
from scheduler.services.ports import Reader


def quota(
    view: Reader, policies: EffectivePolicies, actor: Actor, org: str, flavor: str, now_ms: int
) -> list[QuotaLine]:
    """Pool and classes for whoever has a role, organisations and below for who belongs to them; "" filters nothing."""
    policy = policies.current(view, now_ms)
    if policy is None or not actor.grants:
        return []
    found = standings(picture(view, policy, now_ms))
    return [
        _line(standing)
        for standing in found
        if (not flavor or flavor == standing.flavor) and _visible(standing.tree_node, actor, org)
    ]


def _visible(path: str, actor: Actor, org: str) -> bool:
    if level_of(path) in ("pool", "class"):
        return not org
    owner = path.split("/")[2]
    return (not org or owner == org) and actor.sees_org(owner)


def _line(standing: Standing) -> QuotaLine:
    return QuotaLine(
        tree_node=standing.tree_node,
        level=level_of(standing.tree_node),
        name=standing.tree_node.rsplit("/", 1)[1] or "pool",
        flavor=standing.flavor,
        weight_ppm=standing.weight_ppm,
        guarantee=standing.guarantee,
        effective_guarantee=standing.effective_guarantee,
        borrowing_limit=standing.borrowing_limit,
        lending_limit=standing.lending_limit,
        held_guaranteed=standing.held_guaranteed,
        held_borrow=standing.held_borrow,
        held_scavenge=standing.held_scavenge,
        pending=standing.pending,
        fair_share=standing.fair_share,
    )
