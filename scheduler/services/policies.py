"""Apply a policy: checked whole, versioned, refused where organisations or capacity would not fit."""

from __future__ import annotations

import json

from scheduler.core.codec import canonical, sha256_hex
from scheduler.core.errors import Fatal, Finding
from scheduler.core.facts import PolicyApplied
from scheduler.core.lifecycle import TERMINAL_JOB_STATES, JobState
from scheduler.core.records import JobRecord, OrgRecord, PolicyRecord, RateCardRecord
from scheduler.policy.capacity import fits_capacity
from scheduler.policy.checks import missing_prices
from scheduler.policy.loader import LoadedPolicy, load
from scheduler.schema.bodies import PolicyBody, PolicyRequest, PolicyText, RollbackRequest
from scheduler.services.actors import Actor, require
from scheduler.services.effective import ORGS_MAX, newest_policy
from scheduler.services.job_bodies import instant
from scheduler.services.periods import ensure_open_period
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.services.registry import capacity, hold_still
from scheduler.services.submit import Conflict, NotFound

RATE_CARDS_MAX = 10_000
JOBS_MAX = 10_000_000


class FileRefused(Fatal):
    """A file with mistakes: all of them, each at its place."""

    def __init__(self, findings: list[Finding]) -> None:
        first = findings[0]
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(first.code, f"{first.where}  {first.message}{more}", first.fix)
        self.findings = findings


def known_cards(view: Reader) -> dict[str, RateCardRecord]:
    """Every rate card that was ever applied, by name."""
    return {card.name: card for card in view.select(RateCardRecord, limit=RATE_CARDS_MAX)}


def lint_policy(view: Reader, request: PolicyText, now_ms: int) -> list[Finding]:
    """Every mistake of the file, capacity and registered organisations included; empty when it could be applied."""
    loaded = load(request.text, request.file, known_rate_cards=frozenset(known_cards(view)))
    return loaded if isinstance(loaded, list) else fits(view, loaded, now_ms)


def fits(view: Reader, loaded: LoadedPolicy, now_ms: int) -> list[Finding]:
    """Why a policy without a mistake in itself cannot be in force here: registry, machines, jobs and rate cards."""
    orgs = tuple(view.select(OrgRecord, order=("name",), limit=ORGS_MAX))
    findings = []
    for org in orgs:
        if org.class_name not in loaded.policy.classes:
            message = f"organisation {org.name} is of class {org.class_name}, which this policy does not have"
            findings.append(
                Finding(
                    loaded.policy.where("classes"),
                    "DURE-1260",
                    message,
                    "keep the class, or move the organisation first",
                )
            )
    if not findings:
        findings += fits_capacity(loaded.policy, orgs, capacity(view) or None, now_ms)
    findings += _flavors_in_use(view, loaded)
    known = known_cards(view)
    findings += _not_yet_valid(loaded, known, now_ms)
    if loaded.policy.rate_card not in {card.name for card in loaded.rate_cards}:
        prices = known[loaded.policy.rate_card].prices_json
        findings += missing_prices(loaded.policy, json.loads(prices))
    for card in loaded.rate_cards:
        stored = known.get(card.name)
        if stored and (stored.prices_json, stored.valid_from_ms) != (canonical(dict(card.prices)), card.valid_from_ms):
            message = f"rate card {card.name} is already in use with other prices or another date"
            findings.append(Finding(card.where, "DURE-1261", message, "give the new prices a new name"))
    return findings


def _not_yet_valid(loaded: LoadedPolicy, known: dict[str, RateCardRecord], now_ms: int) -> list[Finding]:
    """A policy charges by its rate card from the moment it is in force: the card must hold by then."""
    policy = loaded.policy
    beside = {card.name: card.valid_from_ms for card in loaded.rate_cards}
    from_ms = beside[policy.rate_card] if policy.rate_card in beside else known[policy.rate_card].valid_from_ms
    if from_ms <= now_ms:
        return []
    message = f"rate card {policy.rate_card} holds only from {instant(from_ms)}"
    fix = "name the card that holds now, and apply this policy when the new one does"
    return [Finding(policy.where("rate_card"), "DURE-1263", message, fix)]


def _flavors_in_use(view: Reader, loaded: LoadedPolicy) -> list[Finding]:
    """Flavors that the policy leaves out while jobs ask for them: nobody could say what they cost."""
    alive = Where("state", "in", tuple(sorted(set(JobState) - TERMINAL_JOB_STATES)))
    jobs: dict[str, int] = {}
    for job in view.select(JobRecord, alive, limit=JOBS_MAX):
        jobs[job.flavor] = jobs.get(job.flavor, 0) + 1
    return [
        Finding(
            loaded.policy.where("flavors"),
            "DURE-1262",
            f"{jobs[flavor]} jobs that have not ended ask for flavor {flavor}, which this policy does not have",
            "keep the flavor until they have ended, or cancel them",
        )
        for flavor in sorted(jobs)
        if flavor not in loaded.policy.flavors
    ]


def apply_policy(store: Store, actor: Actor, request: PolicyRequest, now_ms: int) -> tuple[PolicyBody, bool]:
    """Put the policy in force as the next version; the text in force again changes nothing.

    Returns it and whether it is a new version. Raises FileRefused with every finding, and Conflict where another
    version is in force than the one the request was decided against.
    """
    require(actor.is_admin, "apply a policy", "an administrator of the pool")
    with store.write() as tx:
        return _apply(tx, actor, request, now_ms)


def rollback_policy(store: Store, actor: Actor, request: RollbackRequest, now_ms: int) -> tuple[PolicyBody, bool]:
    """Put an earlier version's text in force again as the next version; that of the version in force changes nothing.

    It is checked again as any other policy. Returns it and whether it is a new version. Raises NotFound for a version
    that there is not, and what ``apply_policy`` raises.
    """
    require(actor.is_admin, "roll a policy back", "an administrator of the pool")
    with store.write() as tx:
        text = show_policy(tx, request.version).text
        # Made without validation: the reason is longer by who says that it is a rollback.
        again = PolicyRequest.model_construct(
            text=text,
            file=f"policy-{request.version}.yaml",
            reason=f"rollback to v{request.version}: {request.reason}",
            against=request.against,
        )
        return _apply(tx, actor, again, now_ms)


def _apply(tx: Writer, actor: Actor, request: PolicyRequest, now_ms: int) -> tuple[PolicyBody, bool]:
    digest = sha256_hex(request.text)
    current = newest_policy(tx)
    if current is None or current.sha256 != digest:
        hold_still(tx)  # what the policy is checked against; who was waited for may have applied the same text
        current = newest_policy(tx)
    if current is not None and current.sha256 == digest:
        return policy_body(current), False
    if request.against and (current is None or current.version != request.against):
        found = f"version {current.version} by {current.applied_by}" if current else "none"
        message = f"this was decided against version {request.against}, and in force is {found}"
        raise Conflict("DURE-2120", message, "look at the difference again: dure policy diff")
    loaded = load(request.text, request.file, known_rate_cards=frozenset(known_cards(tx)))
    if isinstance(loaded, list):
        raise FileRefused(loaded)
    findings = fits(tx, loaded, now_ms)
    if findings:
        raise FileRefused(findings)
    return _store(tx, loaded, request, actor, digest, now_ms), True


def _store(
    tx: Writer, loaded: LoadedPolicy, request: PolicyRequest, actor: Actor, digest: str, now_ms: int
) -> PolicyBody:
    version = tx.next_number("policy")
    for card in loaded.rate_cards:
        tx.add_new(
            RateCardRecord(
                name=card.name,
                valid_from_ms=card.valid_from_ms,
                prices_json=canonical(dict(card.prices)),
                policy_version=version,
            )
        )
    record = PolicyRecord(
        version=version,
        name=loaded.policy.name,
        text=request.text,
        sha256=digest,
        rate_card=loaded.policy.rate_card,
        applied_at_ms=now_ms,
        applied_by=actor.user,
        reason=request.reason,
    )
    tx.add(record)
    ensure_open_period(tx, loaded.policy.calendar, now_ms)
    tx.append(PolicyApplied(version), now_ms)
    return policy_body(record)


def show_policy(view: Reader, version: int = 0) -> PolicyBody:
    """A policy version, or the one in force for 0; raises NotFound."""
    return policy_body(policy_record(view, version))


def policy_record(view: Reader, version: int = 0) -> PolicyRecord:
    """A policy version as stored, or the one in force for 0; raises NotFound."""
    if not version:
        current = newest_policy(view)
        if current is None:
            raise NotFound("DURE-3006", "no policy is in force yet", "dure policy apply FILE --reason TEXT")
        return current
    found = view.get(PolicyRecord, version)
    if found is None:
        raise NotFound("DURE-3006", f"no policy version {version}", "dure policy history")
    return found


def policy_body(record: PolicyRecord) -> PolicyBody:
    """The version as a body."""
    return PolicyBody(
        version=record.version,
        name=record.name,
        sha256=record.sha256,
        rate_card=record.rate_card,
        applied_at=instant(record.applied_at_ms),
        applied_by=record.applied_by,
        reason=record.reason,
        text=record.text,
    )
