"""Policy files: YAML documents in, a validated policy and its rate cards out, or every mistake at its place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from scheduler.core.accounting.rounding import Rounding, RoundingMode
from scheduler.core.effective import ClassPrice, Limits, TierRule
from scheduler.core.errors import Finding
from scheduler.core.model import Flavor, Tier
from scheduler.core.units import MS_PER_HOUR, PPM_ONE
from scheduler.policy import fields
from scheduler.policy.checks import check_cards, check_policy
from scheduler.policy.fields import DAY_MS
from scheduler.policy.model import ClassRule, Override, Policy, RateCard, Share
from scheduler.schema.report import POLICY_CODES, Report, shown
from scheduler.schema.validate import Field, Values
from scheduler.schema.yamlpos import Broken, Node, Scalar, Table, read_yaml

DOCUMENTS_MAX = 20
DOCUMENTS_CODE = "DURE-1216"
MINUTE_MS = 60_000
GRACE_DEFAULT_MS = 2 * MINUTE_MS
KINDS = {"Policy": fields.POLICY, "RateCard": fields.RATE_CARD_DOCUMENT}


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy text that holds: its one policy, and the rate cards that stand beside it, by name."""

    policy: Policy
    rate_cards: tuple[RateCard, ...]


def load(
    content: bytes | str,
    file: str,
    known_rate_cards: Collection[str] | None = None,
    capacity: Mapping[str, int] | None = None,
) -> LoadedPolicy | list[Finding]:
    """Read and check a policy text of one Policy and any number of RateCards, in any order.

    known_rate_cards: names that the server has; None when that is not known, so that a card outside the text
    is no finding. capacity: registered whole GPUs by flavor; None checks sums inside the file only.
    """
    report = Report(file, POLICY_CODES)
    documents = read_yaml(content, report, documents_max=DOCUMENTS_MAX)
    roots = [root for root in documents if not isinstance(root, Broken)]
    if report.cut_short or len(roots) < len(documents):
        known_rate_cards = None  # what is missed may stand where nothing could be read
    policies: list[tuple[Policy, Report]] = []
    cards: list[tuple[RateCard, Report]] = []
    reports: list[Report] = []
    for root in roots:
        own = Report(file, POLICY_CODES)
        own.places[""] = root.place
        reports.append(own)
        kind, document = _kind(root, own)
        values = KINDS[kind].read(document, "", own) if kind else None
        if values is None:
            known_rate_cards = None
        elif kind == "RateCard":
            cards.append((_rate_card(values, own), own))
        else:
            policies.append((_policy(values, own), own))
    if policies:
        policy, own = policies[0]
        check_policy(own, policy, capacity)
        check_cards(own, policy, cards, known_rate_cards)
    for own in reports:
        report.absorb(own)
    _refuse_second(report, [own for _, own in policies])
    if roots and report.clean and not policies:
        report.add_at("", DOCUMENTS_CODE, "the file has no policy", "add a document with kind: Policy")
    if not report.clean or not policies:
        return report.findings()
    return LoadedPolicy(policies[0][0], tuple(card for card, _ in cards))


def lint(
    content: bytes | str,
    file: str,
    capacity: Mapping[str, int] | None = None,
    known_rate_cards: Collection[str] | None = None,
) -> list[Finding]:
    """Every mistake of a policy text; empty when it could be loaded."""
    loaded = load(content, file, known_rate_cards, capacity)
    return loaded if isinstance(loaded, list) else []


def _kind(root: Node, report: Report) -> tuple[str, Node]:
    """What the document is to be read as, and the document with a kind that can be read.

    A misspelt kind is reported here, and what was meant is read all the same. "" after reporting that it cannot be
    told. A document that is no mapping passes as a policy, which reports it.
    """
    if not isinstance(root, Table):
        return "Policy", root
    given = {key.text: value for key, value in root.entries}.get("kind")
    if isinstance(given, Scalar) and given.text in KINDS:
        return given.text, root
    likely = _likely_kind(root)
    if isinstance(given, Scalar) and not given.empty:
        guess = report.guess(given.text, KINDS)
        fix = f"did you mean {guess}?" if guess else "write kind: Policy or kind: RateCard"
        report.add(given.place, DOCUMENTS_CODE, f"unknown kind {shown(given.text)}", fix)
        meant = guess or likely
        entries = ((key, Scalar(given.place, meant) if value is given else value) for key, value in root.entries)
        return meant, replace(root, entries=tuple(entries))
    if not likely:
        report.add(root.place, DOCUMENTS_CODE, "the document has no kind", "add kind: Policy or kind: RateCard")
    return likely, root


def _likely_kind(root: Table) -> str:
    """The kind with more of whose own fields the document has; "" when it has none of either."""
    names = {key.text for key, _ in root.entries}
    own = {kind: {item.name for item in known.fields} for kind, known in KINDS.items()}
    shared = set.intersection(*own.values())
    hits = {kind: len(names & (fields_of - shared)) for kind, fields_of in own.items()}
    best = max(hits, key=lambda kind: hits[kind])
    return best if hits[best] else ""


def _refuse_second(report: Report, found: list[Report]) -> None:
    for extra in found[1:]:
        first = found[0].place_of("")
        message = f"the file has a second policy; the first begins at line {first.line}"
        report.add(extra.place_of(""), DOCUMENTS_CODE, message, "keep one of them")


def _policy(values: Values, report: Report) -> Policy:
    """The policy as far as it could be read; defaults stand in for what is wrong, and the report says so."""
    metadata, billing = _inside(values, fields.METADATA), _inside(values, fields.BILLING)
    classes, flavors = values.get(fields.CLASSES) or {}, values.get(fields.FLAVORS) or {}
    overrides = values.get(fields.OVERRIDES) or []
    return Policy(
        name=metadata.get_or(fields.NAME, ""),
        timezone=values.get_or(fields.TIMEZONE, "Asia/Seoul"),
        flavors=MappingProxyType({name: _flavor(name, item) for name, item in flavors.items()}),
        tiers=MappingProxyType(_tiers(_inside(values, fields.TIERS))),
        half_life_ms=values.get_or(fields.HALF_LIFE, 7 * DAY_MS),
        limits=_limits(_inside(values, fields.LIMITS)),
        classes=MappingProxyType({name: _class(name, item) for name, item in classes.items()}),
        overrides=tuple(_overrides(overrides, report)),
        rate_card=values.get_or(fields.RATE_CARD, ""),
        calendar=billing.get_or(fields.CALENDAR, "month"),
        vat_ppm=billing.get_or(fields.VAT, PPM_ONE // 10),
        line_rounding=_rounding(_inside(billing, fields.LINE_ROUNDING)),
        vat_rounding=_rounding(_inside(billing, fields.VAT_ROUNDING)),
        places=MappingProxyType({path: report.where(place) for path, place in report.places.items()}),
    )


def _inside(values: Values, wanted: Field[Values]) -> Values:
    return values.get_or(wanted, Values(values.place))


def _rounding(values: Values) -> Rounding:
    return Rounding(RoundingMode(values.get_or(fields.MODE, "down")), values.get_or(fields.QUANTUM, 1))


def _flavor(name: str, values: Values) -> Flavor:
    selector = values.get(fields.SELECTOR) or {}
    exchange_ppm, resource = values.get_or(fields.EXCHANGE, PPM_ONE), values.get_or(fields.RESOURCE, "nvidia.com/gpu")
    return Flavor(name, exchange_ppm, resource, tuple(sorted(selector.items())))


def _tiers(values: Values) -> dict[Tier, TierRule]:
    given = {Tier.GUARANTEED: fields.GUARANTEED, Tier.BORROW: fields.BORROW, Tier.SCAVENGE: fields.SCAVENGE}
    tiers = {tier: _inside(values, wanted) for tier, wanted in given.items()}
    return {
        tier: TierRule(item.get_or(fields.PRICE_FACTOR, PPM_ONE), item.get_or(fields.GRACE, GRACE_DEFAULT_MS))
        for tier, item in tiers.items()
    }


def _limits(values: Values) -> Limits:
    return Limits(
        max_gpus_per_job=values.get_or(fields.MAX_GPUS, 1),
        default_time_ms=values.get_or(fields.DEFAULT_TIME, 0),
        max_time_ms=values.get_or(fields.MAX_TIME, fields.TIME_MAX_MS),
        max_pending_per_project=values.get_or(fields.MAX_PENDING, 200),
        checkpoint_interval_max_ms=values.get_or(fields.CHECKPOINT_INTERVAL, MS_PER_HOUR),
        max_losses=values.get_or(fields.MAX_LOSSES, 20),
    )


def _class(name: str, values: Values) -> ClassRule:
    price = _inside(values, fields.PRICE)
    return ClassRule(
        name=name,
        share=_share(values),
        org_default=_share(_inside(values, fields.ORG_DEFAULT)),
        price=ClassPrice(
            of_list_ppm=price.get_or(fields.OF_LIST, PPM_ONE),
            funder=price.get_or(fields.FUNDER, ""),
            in_supply_value=price.get_or(fields.IN_SUPPLY, False),
        ),
        isolation=values.get_or(fields.ISOLATION, "shared"),
    )


def _share(values: Values) -> Share:
    guarantee, borrowing, lending = (
        values.get(wanted) or {} for wanted in (fields.GUARANTEE, fields.BORROWING, fields.LENDING)
    )
    return Share(values.get_or(fields.WEIGHT, PPM_ONE), guarantee, borrowing, lending)


def _overrides(items: Iterable[Values], report: Report) -> Iterable[Override]:
    """Overrides with the path of the place each was read at."""
    paths = {place: path for path, place in report.places.items() if path.startswith("overrides[") and path[-1] == "]"}
    for values in items:
        org, _, project = values.get_or(fields.PROJECT, "").partition("/")
        yield Override(
            org=org or values.get_or(fields.ORG, ""),
            project=project,
            weight_ppm=values.get(fields.WEIGHT),
            guarantee=values.get(fields.GUARANTEE),
            borrowing_limit=values.get(fields.BORROWING),
            lending_limit=values.get(fields.LENDING),
            until_ms=values.get_or(fields.UNTIL, 0),
            reason=values.get_or(fields.REASON, ""),
            path=paths.get(values.place, "overrides"),
        )


def _rate_card(values: Values, report: Report) -> RateCard:
    metadata = _inside(values, fields.METADATA)
    prices = values.get(fields.WON)
    return RateCard(
        name=metadata.get_or(fields.NAME, ""),
        valid_from_ms=values.get_or(fields.VALID_FROM, 0),
        prices=MappingProxyType(prices or {}),
        where=report.where(report.place_of("metadata.name")),
    )
