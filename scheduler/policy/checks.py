"""Rules of a policy file that need more than one field; capacity and the registry are checked in ``capacity``."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from scheduler.core.errors import Finding
from scheduler.core.units import format_duration
from scheduler.policy.capacity import ABOVE_CAPACITY, ABOVE_PARENT, class_sums, project_sums
from scheduler.policy.model import Amounts, Policy, RateCard, Share
from scheduler.schema.quantities import gpus_text
from scheduler.schema.report import POLICY_CODES, Report, listed, shown

UNKNOWN_FLAVOR = "DURE-1204"
NO_WEIGHT = "DURE-1222"
SELECTORS_OVERLAP = "DURE-1223"
LENDS_TOO_MUCH = "DURE-1225"
TIMES_CROSSED = "DURE-1226"
UNKNOWN_CARD = "DURE-1227"
NO_PRICE = "DURE-1228"
UNKNOWN_ZONE = "DURE-1230"
BAD_OVERRIDE = "DURE-1231"

_AMOUNT_FIELDS = ("guarantee", "borrowing_limit", "lending_limit")


def check_policy(report: Report, policy: Policy, capacity: Mapping[str, int] | None = None) -> None:
    """Report what is wrong between fields of one policy; ``capacity`` in whole GPUs adds the classes' sums."""
    _check_zone(report, policy.timezone)
    _check_times(report, policy)
    _check_selectors(report, policy)
    for path, share in _shares(policy):
        _check_amounts(report, policy, path, share)
    _check_weights(report, policy)
    _check_overrides(report, policy)
    _check_children(report, policy)
    if capacity is not None:
        for path, message, fix in class_sums(policy, capacity):
            report.add_at(path, ABOVE_CAPACITY, message, fix)


def check_cards(
    report: Report, policy: Policy, cards: Sequence[tuple[RateCard, Report]], known: Collection[str] | None
) -> None:
    """Report rate cards that are unknown, given twice, without a price for a flavor, or with one for none."""
    by_name: dict[str, RateCard] = {}
    for card, own in cards:
        if card.name in by_name and card.name:
            place = own.place_of("metadata.name")
            report.add(place, POLICY_CODES.twice, f"rate card {card.name} is given twice", "keep one of them")
        by_name.setdefault(card.name, card)
        for flavor in card.prices if policy.flavors else ():
            if flavor not in policy.flavors:
                place = own.place_of(f"won_per_gpu_hour.{flavor}")
                report.add(
                    place, UNKNOWN_FLAVOR, f"unknown flavor {shown(flavor)}", _flavor_fix(report, flavor, policy)
                )
    if not policy.rate_card:
        return
    used = by_name.get(policy.rate_card)
    if used is None:
        if known is not None and policy.rate_card not in known:
            guess = report.guess(policy.rate_card, [*by_name, *known])
            fix = f"did you mean {guess}?" if guess else "add a document with kind: RateCard and this name"
            report.add_at("rate_card", UNKNOWN_CARD, f"unknown rate card {shown(policy.rate_card)}", fix)
        return
    for flavor in _unpriced(policy, used.prices):
        own = next(own for card, own in cards if card is used)
        message = f"rate card {used.name} has no price for flavor {flavor}"
        report.add(own.place_of("won_per_gpu_hour"), NO_PRICE, message, f"add {flavor}: WON")


def missing_prices(policy: Policy, prices: Mapping[str, int]) -> list[Finding]:
    """Flavors of the policy that a rate card outside its text has no price for."""
    where = policy.where("rate_card")
    return [
        Finding(where, NO_PRICE, f"rate card {policy.rate_card} has no price for flavor {flavor}", "name another card")
        for flavor in _unpriced(policy, prices)
    ]


def _unpriced(policy: Policy, prices: Mapping[str, int]) -> list[str]:
    return [flavor for flavor in policy.flavors if flavor not in prices] if prices else []


def _check_zone(report: Report, name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        guess = report.guess(name, zoneinfo.available_timezones())
        fix = f"did you mean {guess}?" if guess else "write a name such as Asia/Seoul"
        report.add_at("timezone", UNKNOWN_ZONE, f"unknown time zone {shown(name)}", fix)


def _check_times(report: Report, policy: Policy) -> None:
    limits = policy.limits
    if limits.default_time_ms > limits.max_time_ms:
        default, most = format_duration(limits.default_time_ms), format_duration(limits.max_time_ms)
        message = f"limits.default_time {default} is above limits.max_time {most}"
        report.add_at("limits.default_time", TIMES_CROSSED, message, f"write at most {most}")


def _check_selectors(report: Report, policy: Policy) -> None:
    """A node must be of one flavor: no selector may hold all labels of another."""
    for one, other in combinations(policy.flavors.values(), 2):
        if not one.selector or not other.selector or one.resource != other.resource:
            continue
        narrow, wide = sorted((set(one.selector), set(other.selector)), key=len)
        if narrow <= wide:
            message = f"a node could be of flavor {one.name} and of flavor {other.name}: their selectors overlap"
            fix = "give each a label value of its own"
            report.add_at(f"flavors.{other.name}.selector", SELECTORS_OVERLAP, message, fix)


def _shares(policy: Policy) -> Iterator[tuple[str, Share]]:
    """Every share in the file with its path; fields that an override does not give are empty."""
    for name, rule in policy.classes.items():
        yield f"classes.{name}", rule.share
        yield f"classes.{name}.org_default", rule.org_default
    for item in policy.overrides:
        yield item.path, item.over(Share())


def _check_amounts(report: Report, policy: Policy, path: str, share: Share) -> None:
    for name in _AMOUNT_FIELDS:
        for flavor in getattr(share, name) if policy.flavors else ():
            if flavor not in policy.flavors:
                message = f"unknown flavor {shown(flavor)} in {path}.{name}"
                report.add_at(f"{path}.{name}.{flavor}", UNKNOWN_FLAVOR, message, _flavor_fix(report, flavor, policy))
    for flavor, lent in share.lending_limit.items():
        guaranteed = share.guarantee.get(flavor, 0)
        # An override may leave the guarantee to its default: only what stands beside it can be compared.
        if lent > guaranteed and (share.guarantee or not path.startswith("overrides")):
            message = f"{path} may lend {gpus_text(lent)} {flavor} but its guarantee is {gpus_text(guaranteed)}"
            fix = f"write at most {gpus_text(guaranteed)}, or remove it: all may be lent then"
            report.add_at(f"{path}.lending_limit.{flavor}", LENDS_TOO_MUCH, message, fix)


def _flavor_fix(report: Report, flavor: str, policy: Policy) -> str:
    guess = report.guess(flavor, policy.flavors)
    return f"did you mean {guess}?" if guess else f"use one of: {listed(policy.flavors)}"


def _check_weights(report: Report, policy: Policy) -> None:
    if policy.classes and not any(rule.share.weight_ppm for rule in policy.classes.values()):
        message = "every class has weight 0, so nothing says how the pool is shared"
        report.add_at("classes", NO_WEIGHT, message, "give at least one class a weight above 0")


def _check_overrides(report: Report, policy: Policy) -> None:
    """One target each, something to change, and at most one lasting override and one lease for a target."""
    seen: dict[tuple[str, bool], str] = {}
    for item in policy.overrides:
        gives_org, gives_project = (f"{item.path}.{name}" in report.places for name in ("org", "project"))
        if gives_org == gives_project:
            message = f"{item.path} names {'both an organisation and a project' if gives_org else 'nobody'}"
            report.add_at(item.path, BAD_OVERRIDE, message, "name one: org: NAME or project: ORG/NAME")
            continue
        if not any(f"{item.path}.{name}" in report.places for name in ("weight", *_AMOUNT_FIELDS)):
            message = f"{item.path} changes nothing"
            fix = "give weight, guarantee, borrowing_limit or lending_limit, or remove it"
            report.add_at(item.path, BAD_OVERRIDE, message, fix)
        key = (item.target, item.until_ms != 0)
        if item.org and key in seen:
            kind = "lease" if item.until_ms else "lasting override"
            message = f"{item.target} has a second {kind}; the first is {seen[key]}"
            report.add_at(item.path, BAD_OVERRIDE, message, "join them into one")
        seen.setdefault(key, item.path)


def _check_children(report: Report, policy: Policy) -> None:
    """Guarantees that cannot fit whatever the registry holds."""
    for name, rule in policy.classes.items():
        for flavor, amount in _above(policy, rule.org_default.guarantee, rule.share.guarantee):
            limit = gpus_text(rule.share.guarantee.get(flavor, 0))
            message = f"classes.{name}.org_default guarantees {gpus_text(amount)} {flavor} but the class has {limit}"
            path = f"classes.{name}.org_default.guarantee.{flavor}"
            report.add_at(path, ABOVE_PARENT, message, f"write at most {limit}, or raise the class's guarantee")
    largest = _largest(rule.share.guarantee for rule in policy.classes.values())
    for item in policy.overrides:
        for flavor, amount in _above(policy, item.guarantee or {}, largest):
            limit = gpus_text(largest.get(flavor, 0))
            message = f"{item.path} guarantees {gpus_text(amount)} {flavor} but no class has more than {limit}"
            path = f"{item.path}.guarantee.{flavor}"
            report.add_at(path, ABOVE_PARENT, message, f"write at most {limit}, or raise a class's guarantee")
    defaults = _largest(rule.org_default.guarantee for rule in policy.classes.values())
    for org in {item.org: None for item in policy.overrides if item.project and item.guarantee}:
        # The registry says of which class it is; here the most generous default stands in for it.
        for path, message, fix in project_sums(policy, org, Share(guarantee=defaults), 0):
            report.add_at(path, ABOVE_PARENT, message, fix)


def _above(policy: Policy, amounts: Amounts, limits: Amounts) -> list[tuple[str, int]]:
    """Amounts above their limit; a flavor that the policy does not have is reported elsewhere."""
    known = ((flavor, amount) for flavor, amount in amounts.items() if flavor in policy.flavors)
    return [(flavor, amount) for flavor, amount in known if amount > limits.get(flavor, 0)]


def _largest(all_amounts: Iterable[Amounts]) -> dict[str, int]:
    largest: dict[str, int] = {}
    for amounts in all_amounts:
        for flavor, amount in amounts.items():
            largest[flavor] = max(largest.get(flavor, 0), amount)
    return largest
