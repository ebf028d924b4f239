"""Rules of a policy file that need more than one field; capacity and the registry are checked in ``capacity``."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from scheduler.core.errors import Finding
from scheduler.core.units import MILLI_PER_GPU, format_duration
from scheduler.policy.capacity import ABOVE_CAPACITY, ABOVE_PARENT, class_sums, project_sums
from scheduler.policy.model import Amounts, Policy, RateCard, Share
from scheduler.schema.quantities import gpus_text
from scheduler.schema.report import POLICY_CODES, Report, listed, nearest, shown

UNKNOWN_FLAVOR = "DURE-1204"
NO_WEIGHT = "DURE-1222"
SELECTORS_OVERLAP = "DURE-1223"
LENDS_TOO_MUCH = "DURE-1225"
TIMES_CROSSED = "DURE-1226"
UNKNOWN_CARD = "DURE-1227"
NO_PRICE = "DURE-1228"
UNKNOWN_ZONE = "DURE-1230"
BAD_OVERRIDE = "DURE-1231"
STARVING = "DURE-1270"

_AMOUNT_FIELDS = ("guarantee", "borrowing_limit", "lending_limit")


def check_policy(report: Report, policy: Policy, capacity: Mapping[str, int] | None = None) -> None:
    """Report what is wrong between fields of one policy; ``capacity`` in whole GPUs adds the classes' sums."""
    _check_zone(report, policy.timezone)
    _check_times(report, policy)
    _check_selectors(report, policy)
    for path, share in _shares(policy):
        _check_amounts(report, policy, path, share)
    _check_weights(report, policy)
    _check_starving(report, policy)
    _check_overrides(report, policy)
    _check_children(report, policy)
    if capacity is not None:
        for path, message, fix in class_sums(policy, capacity):
            report.add_at(path, ABOVE_CAPACITY, message, fix)


def check_cards(
    report: Report, policy: Policy, cards: Sequence[tuple[RateCard, Report]], known: Collection[str] | None
) -> None:
    """Report rate cards that are unknown, given twice, without a price for a flavor, or with one for none."""
    by_name: dict[str, tuple[RateCard, Report]] = {}
    for card, own in cards:
        if card.name in by_name and card.name:
            place = own.place_of("metadata.name")
            own.add(place, POLICY_CODES.twice, f"rate card {card.name} is given twice", "keep one of them")
        by_name.setdefault(card.name, (card, own))
        for flavor in card.prices:
            if _unknown_flavor(report, policy, flavor):
                path, message = f"won_per_gpu_hour.{flavor}", f"unknown flavor {shown(flavor)}"
                own.add_at_name(path, UNKNOWN_FLAVOR, message, _flavor_fix(report, flavor, policy))
    if not policy.rate_card:
        return
    used = by_name.get(policy.rate_card)
    if used is None:
        nameless = "" in by_name  # what was named wrongly may be the one
        if known is not None and policy.rate_card not in known and not nameless:
            guess = report.guess(policy.rate_card, [*by_name, *known])
            fix = f"did you mean {guess}?" if guess else "add a document with kind: RateCard and this name"
            report.add_at("rate_card", UNKNOWN_CARD, f"unknown rate card {shown(policy.rate_card)}", fix)
        return
    card, own = used
    # A price whose flavor is misspelt, or whose value is wrong, was reported there.
    others = [*own.left_out.get("won_per_gpu_hour", ()), *(name for name in card.prices if name not in policy.flavors)]
    for flavor in _unpriced(policy, card.prices) if own.sure("won_per_gpu_hour") or card.prices else ():
        if flavor not in others and not nearest(flavor, others):
            message = f"rate card {card.name} has no price for flavor {flavor}"
            own.add_at("won_per_gpu_hour", NO_PRICE, message, f"add {flavor}: WON")


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
    sure = [item for item in policy.flavors.values() if report.sure(f"flavors.{item.name}.selector")]
    for one, other in combinations(sure, 2):
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


def _unknown_flavor(report: Report, policy: Policy, flavor: str) -> bool:
    """The policy does not have it, nor a flavor that is wrong itself and has this name, or one like it."""
    if flavor in policy.flavors or not (policy.flavors or report.sure("flavors")):
        return False
    wrong = report.left_out.get("flavors", set())
    return not nearest(flavor, wrong)


def _check_amounts(report: Report, policy: Policy, path: str, share: Share) -> None:
    for name in _AMOUNT_FIELDS:
        for flavor in getattr(share, name):
            if _unknown_flavor(report, policy, flavor):
                message = f"unknown flavor {shown(flavor)} in {path}.{name}"
                fix = _flavor_fix(report, flavor, policy)
                report.add_at_name(f"{path}.{name}.{flavor}", UNKNOWN_FLAVOR, message, fix)
                report.doubt(f"{path}.{name}")
    for flavor, lent in share.lending_limit.items() if report.sure(f"{path}.guarantee") else ():
        guaranteed = share.guarantee.get(flavor, 0)
        # An override may leave the guarantee to its default: only what stands beside it is compared.
        if flavor in policy.flavors and lent > guaranteed and (share.guarantee or not path.startswith("overrides")):
            message = f"{path} may lend {gpus_text(lent)} {flavor} but its guarantee is {gpus_text(guaranteed)}"
            fix = f"write at most {gpus_text(guaranteed)}, or remove it: all may be lent then"
            report.add_at(f"{path}.lending_limit.{flavor}", LENDS_TOO_MUCH, message, fix)


def _flavor_fix(report: Report, flavor: str, policy: Policy) -> str:
    guess = report.guess(flavor, policy.flavors)
    return f"did you mean {guess}?" if guess else f"use one of: {listed(policy.flavors)}"


def _check_weights(report: Report, policy: Policy) -> None:
    """Siblings that all have weight 0: classes, and organisations where no override gives one of them another."""
    weights = [rule.share.weight_ppm for rule in policy.classes.values()]
    if weights and not any(weights) and "classes" not in report.left_out:
        message = "every class has weight 0, so nothing says how the pool is shared"
        report.add_at("classes", NO_WEIGHT, message, "give at least one class a weight above 0")
    if any(item.weight_ppm and not item.project for item in policy.overrides) or not report.known("overrides"):
        return
    if "overrides" in report.left_out or not all(report.sure(f"{item.path}.weight") for item in policy.overrides):
        return
    for name, rule in policy.classes.items():
        if not rule.org_default.weight_ppm:
            message = f"every organisation of class {name} has weight 0, so nothing says how they share"
            fix = "write a weight above 0, or give an organisation one in an override"
            report.add_at(f"classes.{name}.org_default.weight", NO_WEIGHT, message, fix)


def _check_starving(report: Report, policy: Policy) -> None:
    """Classes that can never hold one whole GPU: every flavor has a borrowing limit and too little of a guarantee."""
    for name, rule in policy.classes.items():
        share, path = rule.share, f"classes.{name}"
        limited = all(flavor in share.borrowing_limit for flavor in policy.flavors)
        if not limited or not policy.flavors or not report.sure(f"{path}.guarantee") or "flavors" in report.left_out:
            continue
        most = max(share.guarantee.get(flavor, 0) + share.borrowing_limit[flavor] for flavor in policy.flavors)
        if most < MILLI_PER_GPU:
            message = f"class {name} can hold at most {gpus_text(most)} GPUs of any flavor, so none of its jobs starts"
            fix = "give it a guarantee, raise its borrowing_limit or remove it: without one it may borrow what is free"
            report.add_at(f"{path}.borrowing_limit", STARVING, message, fix)


def _check_overrides(report: Report, policy: Policy) -> None:
    """One target each, something to change, and at most one lasting override and one lease for a target."""
    seen: dict[tuple[str, bool], str] = {}
    for item in policy.overrides:
        gives_org, gives_project = (f"{item.path}.{name}" in report.places for name in ("org", "project"))
        sure = {
            name: report.sure(f"{item.path}.{name}") for name in ("org", "project", "until", "weight", *_AMOUNT_FIELDS)
        }
        if not (sure["org"] and sure["project"]):
            continue
        if gives_org == gives_project:
            message = f"{item.path} names {'both an organisation and a project' if gives_org else 'nobody'}"
            report.add_at(item.path, BAD_OVERRIDE, message, "name one: org: NAME or project: ORG/NAME")
            continue
        changing = ("weight", *_AMOUNT_FIELDS)
        if not any(f"{item.path}.{name}" in report.places or not sure[name] for name in changing):
            message = f"{item.path} changes nothing"
            fix = "give weight, guarantee, borrowing_limit or lending_limit, or remove it"
            report.add_at(item.path, BAD_OVERRIDE, message, fix)
        key = (item.target, item.until_ms != 0)
        if not sure["until"]:
            continue
        if key in seen:
            kind = "lease" if item.until_ms else "lasting override"
            message = f"{item.target} has a second {kind}; the first is {seen[key]}"
            report.add_at(item.path, BAD_OVERRIDE, message, "join them into one")
        seen.setdefault(key, item.path)


def _check_children(report: Report, policy: Policy) -> None:
    """Guarantees that cannot fit whatever the registry holds; what was reported is not held against others."""
    for name, rule in policy.classes.items():
        above = _above(policy, rule.org_default.guarantee, rule.share.guarantee)
        for flavor, amount in above if report.sure(f"classes.{name}.guarantee") else ():
            limit = gpus_text(rule.share.guarantee.get(flavor, 0))
            message = f"classes.{name}.org_default guarantees {gpus_text(amount)} {flavor} but the class has {limit}"
            path = f"classes.{name}.org_default.guarantee.{flavor}"
            report.add_at(path, ABOVE_PARENT, message, f"write at most {limit}, or raise the class's guarantee")
    if "classes" in report.left_out or not report.known("classes"):
        return
    if all(report.sure(f"classes.{name}.guarantee") for name in policy.classes):
        _check_overridden(report, policy)
    if all(report.sure(f"classes.{name}.org_default.guarantee") for name in policy.classes):
        _check_projects(report, policy)


def _check_overridden(report: Report, policy: Policy) -> None:
    largest = _largest(rule.share.guarantee for rule in policy.classes.values())
    for item in policy.overrides:
        for flavor, amount in _above(policy, item.guarantee or {}, largest):
            limit = gpus_text(largest.get(flavor, 0))
            message = f"{item.path} guarantees {gpus_text(amount)} {flavor} but no class has more than {limit}"
            path = f"{item.path}.guarantee.{flavor}"
            report.add_at(path, ABOVE_PARENT, message, f"write at most {limit}, or raise a class's guarantee")


def _check_projects(report: Report, policy: Policy) -> None:
    decisive = ("org", "project", "guarantee", "until")
    if "overrides" in report.left_out or not report.known("overrides"):
        return  # the one that is missing may be the organisation's own
    unsure = {item.org for item in policy.overrides if not all(report.sure(f"{item.path}.{name}") for name in decisive)}
    if "" in unsure:
        return
    defaults = _largest(rule.org_default.guarantee for rule in policy.classes.values())
    for org in {item.org: None for item in policy.overrides if item.project and item.guarantee}:
        # The registry says of which class it is; here the most generous default stands in for it.
        for path, message, fix in project_sums(policy, org, Share(guarantee=defaults), 0) if org not in unsure else ():
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
