"""What differs between two policies: field by field in the policy's order, and what that means in GPUs and won.

Order, comments and ways of writing are no differences, nor is a guarantee of 0 that is written out. Amounts are
milli-GPUs, prices micro-won; both are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from scheduler.core.accounting.rating import Price, rate
from scheduler.core.model import Tier
from scheduler.core.units import MILLI_GPU_MS_PER_GPU_HOUR, format_duration, format_ppm
from scheduler.policy.capacity import guaranteed
from scheduler.policy.model import Amounts, Override, Policy, RateCard, Share
from scheduler.schema.quantities import gpus_text
from scheduler.schema.times import rfc3339

T = TypeVar("T")
Tree = Mapping[str, "str | Tree"]
_ABSENT = {"guarantee": "0", "borrowing_limit": "none", "lending_limit": "all"}
"""What an amount says by not being there."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field that differs. who: whom it is about. old, new: as a policy file says it, "" where there is none.

    change: ``added``, ``removed`` or ``changed``. org: the organisation that it names, "" for none.
    """

    path: str
    who: str
    change: str
    old: str
    new: str
    org: str = ""


@dataclass(frozen=True, slots=True)
class GuaranteeSum:
    """What the classes together guarantee of a flavor, in milli-GPUs."""

    flavor: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What an organisation of a class pays for a GPU-hour in a tier, in micro-won before tax; None: not offered."""

    class_name: str
    tier: Tier
    flavor: str
    before_microwon: int | None
    after_microwon: int | None


@dataclass(frozen=True, slots=True)
class Priced:
    """A policy with the rate card that it names."""

    policy: Policy
    card: RateCard


def changes(old: Priced | None, new: Priced) -> list[Change]:
    """Every field that differs, in the order of a policy file; everything is new where there is no old one."""
    return [_about(change) for change in _compare((), _tree(old) if old else None, _tree(new))]


def guarantee_sums(old: Priced | None, new: Priced) -> list[GuaranteeSum]:
    """The classes' guarantees before and after, for each flavor that has any."""
    before, after = ({} if side is None else _sums(side.policy) for side in (old, new))
    return [GuaranteeSum(name, before.get(name, 0), after.get(name, 0)) for name in _joined(after, before)]


def price_changes(old: Priced | None, new: Priced) -> list[PriceChange]:
    """Prices that differ, by class, tier and flavor."""
    before, after = ({} if side is None else dict(_prices(side)) for side in (old, new))
    return [
        PriceChange(*key, before.get(key), after.get(key))
        for key in _joined(after, before)
        if before.get(key) != after.get(key)
    ]


def _joined(first: Iterable[T], second: Iterable[T]) -> list[T]:
    """Each once: those of the first in order, then what only the second has."""
    return list(dict.fromkeys([*first, *second]))


def _sums(policy: Policy) -> dict[str, int]:
    return {flavor: amount for flavor, amount in guaranteed(policy).items() if amount}


def _prices(side: Priced) -> Iterator[tuple[tuple[str, Tier, str], int]]:
    policy = side.policy
    for name, rule in policy.classes.items():
        for tier, terms in policy.tiers.items():
            for flavor in policy.flavors:
                if flavor in side.card.prices:
                    price = Price(side.card.prices[flavor], terms.price_ppm, rule.price)
                    yield (name, tier, flavor), rate(MILLI_GPU_MS_PER_GPU_HOUR, price).tenant_microwon


def _compare(path: tuple[str, ...], old: Tree | None, new: Tree | None) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Paths of what differs with both texts; what is nowhere to be seen is "", or what its absence says."""
    absent = _ABSENT.get(path[-1], "") if path and old is not None and new is not None else ""
    for name in _joined(new or (), old or ()):
        before, after = (old or {}).get(name), (new or {}).get(name)
        here = (*path, name)
        if isinstance(before, Mapping) or isinstance(after, Mapping):
            assert not isinstance(before, str)
            assert not isinstance(after, str)
            yield from _compare(here, before, after)
        elif before != after:
            yield here, absent if before is None else before, absent if after is None else after


def _about(found: tuple[tuple[str, ...], str, str]) -> Change:
    path, old, new = found
    change = "added" if not old else "removed" if not new else "changed"
    who, org = "everyone", ""
    match path:
        case ("classes", name, *_):
            who = f"class {name}"
        case ("overrides", target, *_):
            kind, _, name = target.partition(":")
            org = name.partition("/")[0]
            who = f"{'organisation' if kind == 'org' else kind} {name}"
        case ("flavors" | "won_per_gpu_hour", name, *_):
            who = f"flavor {name}"
        case ("tiers", name, *_):
            who = f"tier {name}"
    return Change(".".join(path), who, change, old, new, org)


def _tree(side: Priced) -> Tree:
    """The policy as texts by field, in the order of a policy file; every field that has a default has its value."""
    policy = side.policy
    return {
        "metadata": {"name": policy.name},
        "timezone": policy.timezone,
        "flavors": {
            name: {
                "exchange": format_ppm(item.exchange_ppm),
                "resource": item.resource,
                "selector": dict(item.selector),
            }
            for name, item in policy.flavors.items()
        },
        "tiers": {
            tier.value: {"price": format_ppm(rule.price_ppm), "grace": format_duration(rule.grace_ms)}
            for tier, rule in policy.tiers.items()
        },
        "half_life": format_duration(policy.half_life_ms),
        "limits": _limits(policy),
        "classes": {name: _class(policy, name) for name in policy.classes},
        "overrides": _overrides(policy.overrides),
        "rate_card": policy.rate_card,
        "won_per_gpu_hour": {flavor: str(won) for flavor, won in side.card.prices.items()},
        "billing": {"calendar": policy.calendar, "vat": format_ppm(policy.vat_ppm)},
    }


def _limits(policy: Policy) -> Tree:
    limits = policy.limits
    return {
        "max_gpus_per_job": str(limits.max_gpus_per_job),
        "default_time": format_duration(limits.default_time_ms),
        "max_time": format_duration(limits.max_time_ms),
        "max_pending_per_project": str(limits.max_pending_per_project),
        "checkpoint_interval_max": format_duration(limits.checkpoint_interval_max_ms),
        "max_losses": str(limits.max_losses),
    }


def _class(policy: Policy, name: str) -> Tree:
    rule = policy.classes[name]
    funder = {"funder": rule.price.funder} if rule.price.funder else {}
    supply = {"in_supply_value": str(rule.price.in_supply_value).lower()}
    return {
        **_share(rule.share),
        "org_default": _share(rule.org_default),
        "isolation": rule.isolation,
        "price": {"of_list": format_ppm(rule.price.of_list_ppm), **funder, **supply},
    }


def _share(share: Share) -> dict[str, str | Tree]:
    return {
        "weight": format_ppm(share.weight_ppm),
        "guarantee": {flavor: _gpus(amount) for flavor, amount in share.guarantee.items() if amount},
        "borrowing_limit": {flavor: _gpus(amount) for flavor, amount in share.borrowing_limit.items()},
        "lending_limit": {flavor: _gpus(amount) for flavor, amount in share.lending_limit.items()},
    }


def _overrides(overrides: Iterable[Override]) -> Tree:
    """What each target's lasting override gives, and its lease; an amount replaces the default's as a whole."""
    found: dict[str, dict[str, str | Tree]] = {}
    for item in overrides:
        given: dict[str, str] = {}
        if item.weight_ppm is not None:
            given["weight"] = format_ppm(item.weight_ppm)
        for name, amounts in (
            ("guarantee", item.guarantee),
            ("borrowing_limit", item.borrowing_limit),
            ("lending_limit", item.lending_limit),
        ):
            if amounts is not None:
                given[name] = _amounts(amounts)
        if item.until_ms:
            given["until"] = rfc3339(item.until_ms)
        if item.reason:
            given["reason"] = item.reason
        target = found.setdefault(item.target, {})
        target.update({"lease": given} if item.until_ms else given)
    return found


def _amounts(amounts: Amounts) -> str:
    return "{" + ", ".join(f"{flavor}: {_gpus(amount)}" for flavor, amount in sorted(amounts.items())) + "}"


def _gpus(milli_gpus: int) -> str:
    """As a policy file says it."""
    return gpus_text(milli_gpus).replace(",", "")
