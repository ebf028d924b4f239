"""Do the guarantees fit: classes into the registered capacity, organisations into their class, projects into theirs.

Checked now and at the end of every lease, because a lease may hide for a while what will not fit after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC

from scheduler.core.errors import Finding
from scheduler.core.records import OrgRecord
from scheduler.core.units import MILLI_PER_GPU
from scheduler.policy.model import Amounts, OverrideIndex, Policy, Share
from scheduler.schema.quantities import gpus_text
from scheduler.schema.times import local_text

ABOVE_PARENT = "DURE-1220"
ABOVE_CAPACITY = "DURE-1221"
NO_CLASS = "DURE-1232"
ENTITLED_STATES = frozenset({"verified"})
"""States of an organisation in which its guarantees hold; a suspended one starts nothing new."""

Sum = tuple[str, str, str]
"""Path, message and fix of guarantees that do not fit."""


def fits_capacity(
    policy: Policy, orgs: Sequence[OrgRecord], capacity: Mapping[str, int] | None, at_ms: int = 0
) -> list[Finding]:
    """Every sum of guarantees that is above its parent's, at ``at_ms`` and at each later end of a lease.

    capacity: registered whole GPUs by flavor; None leaves classes unchecked. Findings stand at the policy's places.
    An organisation whose class the policy lacks is a finding too.
    """
    found: dict[Finding, None] = {}
    if capacity is not None:
        for path, message, fix in class_sums(policy, capacity):
            found[Finding(policy.where(path), ABOVE_CAPACITY, message, fix)] = None
    entitled = [org for org in orgs if org.state in ENTITLED_STATES]
    for org in entitled:
        if org.class_name not in policy.classes:
            message = f"organisation {org.name} is in class {org.class_name}, which the policy does not have"
            fix = "keep the class, or move the organisation to another one first"
            found[Finding(policy.where("classes"), NO_CLASS, message, fix)] = None
    placed = [org for org in entitled if org.class_name in policy.classes]
    for path, message, fix in [*_org_sums(policy, placed, at_ms), *_all_project_sums(policy, placed, at_ms)]:
        found[Finding(policy.where(path), ABOVE_PARENT, message, fix)] = None
    return list(found)


def joins(policy: Policy, org: OrgRecord, orgs: Sequence[OrgRecord], at_ms: int) -> list[Finding]:
    """What no longer fits when ``org`` joins the verified ``orgs``: its class's sum, or the sum of its own projects.

    One that is guaranteed nothing changes no sum. Classes above the registered capacity are nobody's hindrance: their
    guarantees shrink in proportion, whoever joins (decision 0007).
    """
    index = OverrideIndex(item for item in policy.overrides if item.org == org.name and not item.project)
    target, default = f"org:{org.name}", policy.classes[org.class_name].org_default
    instants = (at_ms, *index.ends_after(target, at_ms))
    if not any(any(index.share(target, default, instant).guarantee.values()) for instant in instants):
        return fits_capacity(policy, [org], None, at_ms)
    return fits_capacity(policy, [*(item for item in orgs if item.class_name == org.class_name), org], None, at_ms)


def guaranteed(policy: Policy) -> dict[str, int]:
    """What the classes together guarantee of each flavor that one of them names, in milli-GPUs."""
    total: dict[str, int] = {}
    for rule in policy.classes.values():
        _add(total, rule.share.guarantee, 1)
    return total


def class_sums(policy: Policy, capacity: Mapping[str, int]) -> list[Sum]:
    """Flavors of which the classes together guarantee more than the registered whole GPUs of ``capacity``.

    Each stands at the class that guarantees most of it, the first in the file of several.
    """
    sums = []
    for flavor, amount in guaranteed(policy).items():
        registered = capacity.get(flavor, 0)
        if amount > registered * MILLI_PER_GPU:
            message = f"the classes guarantee {gpus_text(amount)} {flavor} but {registered} are registered"
            most = max(policy.classes, key=lambda name: policy.classes[name].share.guarantee.get(flavor, 0))
            path = f"classes.{most}.guarantee.{flavor}"
            sums.append((path, message, "lower the classes' guarantees, or register more nodes"))
    return sums


def project_sums(policy: Policy, org: str, default: Share, at_ms: int) -> Iterator[Sum]:
    """Guarantees of an organisation's projects above its own, at ``at_ms`` or at a later end of a lease, once a flavor.

    default: the share of an organisation of its class.
    """
    index = OverrideIndex(item for item in policy.overrides if item.org == org)
    items = {item.target: item for item in policy.overrides if item.org == org and item.project}
    target = f"org:{org}"
    reported: set[str] = set()
    for instant_ms, total in _totals(index, dict.fromkeys(items, Share()), {}, (target,), at_ms):
        guarantee = index.share(target, default, instant_ms).guarantee
        for flavor, amount in total.items():
            if amount > guarantee.get(flavor, 0) and flavor not in reported:
                reported.add(flavor)
                has = gpus_text(guarantee.get(flavor, 0))
                message = f"projects of {org} are guaranteed {gpus_text(amount)} {flavor} but it has {has}"
                path = next((item.path for item in items.values() if flavor in (item.guarantee or {})), "overrides")
                fix = "raise the organisation's guarantee, or lower the projects'"
                yield f"{path}.guarantee.{flavor}", message + _when(instant_ms, at_ms), fix


def _all_project_sums(policy: Policy, orgs: Sequence[OrgRecord], at_ms: int) -> Iterator[Sum]:
    with_projects = {item.org for item in policy.overrides if item.project}
    for org in orgs:
        if org.name in with_projects:
            yield from project_sums(policy, org.name, policy.classes[org.class_name].org_default, at_ms)


def _org_sums(policy: Policy, orgs: Sequence[OrgRecord], at_ms: int) -> Iterator[Sum]:
    """Classes that guarantee their organisations more than they have, once a class and flavor."""
    index = OverrideIndex(item for item in policy.overrides if not item.project)
    members: dict[str, list[str]] = {}
    for org in orgs:
        members.setdefault(org.class_name, []).append(org.name)
    for class_name, names in members.items():
        rule = policy.classes[class_name]
        named = {f"org:{name}": rule.org_default for name in names if f"org:{name}" in index}
        plain = {flavor: amount * (len(names) - len(named)) for flavor, amount in rule.org_default.guarantee.items()}
        who = f"its {len(names)} organisations" if len(names) > 1 else f"its organisation {names[0]}"
        reported: set[str] = set()
        for instant_ms, total in _totals(index, named, plain, (), at_ms):
            for flavor, amount in total.items():
                has = rule.share.guarantee.get(flavor, 0)
                if amount > has and flavor not in reported:
                    reported.add(flavor)
                    message = (
                        f"class {class_name} guarantees {who} {gpus_text(amount)} {flavor} but has {gpus_text(has)}"
                    )
                    fix = "raise the class's guarantee, lower org_default's, or give an organisation an override"
                    yield f"classes.{class_name}.guarantee.{flavor}", message + _when(instant_ms, at_ms), fix


def _totals(
    index: OverrideIndex, defaults: Mapping[str, Share], others: Amounts, also: Sequence[str], at_ms: int
) -> Iterator[tuple[int, dict[str, int]]]:
    """The sum of the targets' guarantees and ``others``, now and after each end of a lease of theirs or of ``also``.

    Only what ends is added anew, so that thousands of leases are no thousands of sums.
    """
    total = dict(others)
    ends: dict[int, list[str]] = {}
    for target, default in defaults.items():
        _add(total, index.share(target, default, at_ms).guarantee, 1)
        for end_ms in index.ends_after(target, at_ms):
            ends.setdefault(end_ms, []).append(target)
    for target in also:
        for end_ms in index.ends_after(target, at_ms):
            ends.setdefault(end_ms, [])
    yield at_ms, total
    for end_ms in sorted(ends):
        for target in ends[end_ms]:
            _add(total, index.share(target, defaults[target], end_ms - 1).guarantee, -1)
            _add(total, index.share(target, defaults[target], end_ms).guarantee, 1)
        yield end_ms, total


def _add(total: dict[str, int], amounts: Amounts, sign: int) -> None:
    for flavor, amount in amounts.items():
        total[flavor] = total.get(flavor, 0) + sign * amount


def _when(instant_ms: int, at_ms: int) -> str:
    return "" if instant_ms == at_ms else f" from {local_text(instant_ms, UTC)} on"
