"""The effective policy at an instant: policy version x registry -> tree, limits and prices as the core reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from scheduler.core.effective import EffectivePolicy
from scheduler.core.records import MemberRecord, OrgRecord, ProjectRecord
from scheduler.core.tree import ROOT, Tree, TreeNode
from scheduler.policy.capacity import ENTITLED_STATES
from scheduler.policy.model import OverrideIndex, Policy, Share


@dataclass(frozen=True, slots=True)
class Registry:
    """What the registry holds; members give nobody a share and are here for the whole."""

    orgs: tuple[OrgRecord, ...] = ()
    projects: tuple[ProjectRecord, ...] = ()
    members: tuple[MemberRecord, ...] = ()


def effective(policy: Policy, version: int, registry: Registry, registry_seq: int, at_ms: int) -> EffectivePolicy:
    """A pure function of its arguments; ``until_ms`` of the result is the next end of a lease after ``at_ms``."""
    changes = policy.changes_after(at_ms)
    return EffectivePolicy(
        policy_version=version,
        registry_seq=registry_seq,
        policy_name=policy.name,
        timezone=policy.timezone,
        flavors=policy.flavors,
        tiers=policy.tiers,
        half_life_ms=policy.half_life_ms,
        limits=policy.limits,
        tree=Tree(_nodes(policy, registry, at_ms)),
        class_prices=MappingProxyType({name: rule.price for name, rule in policy.classes.items()}),
        rate_card=policy.rate_card,
        calendar=policy.calendar,
        vat_ppm=policy.vat_ppm,
        line_rounding=policy.line_rounding,
        vat_rounding=policy.vat_rounding,
        until_ms=changes[0] if changes else 0,
    )


def _nodes(policy: Policy, registry: Registry, at_ms: int) -> Iterator[TreeNode]:
    yield TreeNode(ROOT)
    for name, rule in policy.classes.items():
        yield _node(f"/{name}", rule.share)
    index = OverrideIndex(policy.overrides)
    closed = Share(weight_ppm=0, borrowing_limit=dict.fromkeys(policy.flavors, 0))
    paths: dict[str, str] = {}
    for org in registry.orgs:
        paths[org.name] = f"/{org.class_name}/{org.name}"
        if org.class_name not in policy.classes:
            # Apply refuses this; should registry and policy cross, the class gets nothing rather than no limits.
            yield _node(f"/{org.class_name}", closed)
            yield _node(paths[org.name], closed)
            continue
        share = index.share(f"org:{org.name}", policy.classes[org.class_name].org_default, at_ms)
        entitled = org.state in ENTITLED_STATES
        yield _node(paths[org.name], share if entitled else Share(share.weight_ppm))
    for project in registry.projects:
        if project.org in paths:
            share = index.share(f"project:{project.org}/{project.name}", Share(), at_ms)
            yield _node(f"{paths[project.org]}/{project.name}", share)


def _node(path: str, share: Share) -> TreeNode:
    return TreeNode(path, share.weight_ppm, share.guarantee, share.borrowing_limit, share.lending_limit)
