"""The ledger: balanced transactions that only grow. docs/ledger.md lists accounts, units and keys.

A positive amount is owed to (or used of) the account, a negative one is where it came from; the
legs of one unit always sum to zero. Keys are made from what is booked, so a repeat is a no-op.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.core.accounting.rating import PriceBook, Rated, rate
from scheduler.core.codec import canonical
from scheduler.core.errors import invariant
from scheduler.core.records import LedgerEntryRecord, LedgerTxRecord, SliceRecord

MICROWON = "microwon"
ROUNDING_ACCOUNT = "rounding"
VAT_ACCOUNT = "vat_payable"
USAGE = "usage"
REVERSAL = "reversal"
ROUNDING = "rounding"
VAT = "vat"
CREDIT = "credit"
KINDS = (USAGE, REVERSAL, ROUNDING, VAT, CREDIT)


def usage_unit(flavor: str) -> str:
    """The unit of usage of a flavor; usage of different flavors is never added."""
    return f"milli_gpu_ms:{flavor}"


def receivable(org: str) -> str:
    """What an organisation owes."""
    return f"receivable:{org}"


def funder_receivable(fund: str) -> str:
    """What a fund owes for its part of its classes' usage."""
    return f"funder_receivable:{fund}"


def discount(class_name: str) -> str:
    """What nobody pays because a class has a price below list and no funder."""
    return f"discount:{class_name}"


def revenue(cluster: str) -> str:
    """What a cluster has earned (negative: it is where the money comes from)."""
    return f"revenue:{cluster}"


class Leg(Protocol):
    """Anything with an account, a unit and an amount: an Entry or a LedgerEntryRecord."""

    @property
    def account(self) -> str:
        """Name of the account."""

    @property
    def unit(self) -> str:
        """``microwon`` or ``milli_gpu_ms:<flavor>``."""

    @property
    def amount(self) -> int:
        """Positive or negative, in the unit."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One leg of a transaction."""

    account: str
    unit: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A balanced set of legs, not yet numbered. Raises InvariantBroken when it is not balanced.

    idem_key: unique for ever. body_json: canonical JSON of what explains the amounts.
    """

    idem_key: str
    kind: str
    occurred_from_ms: int
    occurred_to_ms: int
    entries: tuple[Entry, ...]
    body_json: str = "{}"
    reverses_seq: int = 0

    def __post_init__(self) -> None:
        invariant(self.kind in KINDS and bool(self.idem_key), "a transaction has a key and a known kind")
        invariant(len(self.entries) >= 2, f"{self.idem_key} has two legs at least")
        invariant(all(entry.amount and entry.account for entry in self.entries), f"{self.idem_key} has no empty leg")
        invariant(not any(unit_sums(self.entries).values()), f"the legs of {self.idem_key} sum to zero in each unit")


def usage_transaction(slices: Sequence[SliceRecord], book: PriceBook) -> Transaction:
    """One attempt's usage in one span: all its ranks' slices with the same start.

    Held usage goes from ``capacity:<cluster>`` to ``used:<org>/<project>``, its billed part from
    ``metered:<cluster>`` to ``billed:<org>/<project>``; money from ``revenue:<cluster>`` to whoever
    owes it. Raises InvariantBroken unless the slices belong together, Fatal for one without a price.
    """
    invariant(belong_together(slices), "slices of one transaction are of one attempt and span, one for a rank")
    first = slices[0]
    price = book.price_of(first)
    rated = [rate(part.billed_milli_gpu_ms, price) for part in slices]
    tenant = f"{first.org}/{first.project}"
    unit = usage_unit(first.flavor)
    held = sum(part.held_milli_gpu_ms for part in slices)
    billed = sum(part.billed_milli_gpu_ms for part in slices)
    legs = [
        Entry(f"capacity:{first.cluster}", unit, -held),
        Entry(f"used:{tenant}", unit, held),
        Entry(f"metered:{first.cluster}", unit, -billed),
        Entry(f"billed:{tenant}", unit, billed),
        *_money_legs(first, price.class_price.funder, rated),
    ]
    body = {
        "slices": sorted(part.id for part in slices),
        "rate_card": first.rate_card,
        "policy_version": first.policy_version,
        "list_won_per_gpu_hour": price.list_won_per_gpu_hour,
        "tier": first.tier,
        "tier_ppm": price.tier_ppm,
        "class": first.class_name,
        "of_list_ppm": price.class_price.of_list_ppm,
        "funder": price.class_price.funder,
    }
    return Transaction(
        idem_key=f"{USAGE}:{first.job}:{first.attempt}:{first.start_ms}",
        kind=USAGE,
        occurred_from_ms=first.start_ms,
        occurred_to_ms=first.end_ms,
        entries=tuple(leg for leg in legs if leg.amount),
        body_json=canonical(body),
    )


def belong_together(slices: Sequence[SliceRecord]) -> bool:
    """Whether these slices make one transaction: of one attempt, span and price, one for a rank, at least one."""
    shared = {
        (
            (part.job, part.attempt, part.start_ms, part.end_ms, part.cluster, part.flavor, part.tier),
            (part.class_name, part.org, part.project, part.rate_card, part.policy_version),
        )
        for part in slices
    }
    return len(shared) == 1 and len({part.rank for part in slices}) == len(slices)


def grouped(slices: Iterable[SliceRecord]) -> list[tuple[SliceRecord, ...]]:
    """Slices by attempt and span, in the order in which they are posted: (start, job, attempt), ranks in order.

    A slice given twice counts once; the same id with another content raises InvariantBroken.
    """
    unique: dict[str, SliceRecord] = {}
    for part in slices:
        invariant(unique.setdefault(part.id, part) == part, f"slice {part.id} has one content")
    groups: dict[tuple[int, str, int], list[SliceRecord]] = defaultdict(list)
    for part in unique.values():
        groups[part.start_ms, part.job, part.attempt].append(part)
    return [tuple(sorted(groups[key], key=lambda part: part.rank)) for key in sorted(groups)]


def reversal(transaction: Transaction, seq: int, *, reason: str, approved_by: str) -> Transaction:
    """The exact opposite of a booked transaction; the original stays. Its key allows one reversal for a sequence."""
    invariant(seq >= 1 and transaction.kind != REVERSAL, "only a booked transaction that is no reversal is reversed")
    return Transaction(
        idem_key=f"{REVERSAL}:{seq}",
        kind=REVERSAL,
        occurred_from_ms=transaction.occurred_from_ms,
        occurred_to_ms=transaction.occurred_to_ms,
        entries=tuple(Entry(leg.account, leg.unit, -leg.amount) for leg in transaction.entries),
        body_json=canonical({"reverses": transaction.idem_key, "reason": reason, "approved_by": approved_by}),
        reverses_seq=seq,
    )


def rounding_transaction(
    invoice_number: str, differences: Mapping[str, int], occurred_from_ms: int, occurred_to_ms: int
) -> Transaction | None:
    """Bring accounts from their micro-won to an invoice's whole won; None when nothing differs.

    differences: micro-won that each account of the invoice is short of (positive) or beyond (negative).
    """
    legs = [Entry(account, MICROWON, amount) for account, amount in sorted(differences.items()) if amount]
    if not legs:
        return None
    rest = -sum(leg.amount for leg in legs)
    if rest:
        legs.append(Entry(ROUNDING_ACCOUNT, MICROWON, rest))
    return Transaction(
        idem_key=f"{ROUNDING}:{invoice_number}",
        kind=ROUNDING,
        occurred_from_ms=occurred_from_ms,
        occurred_to_ms=occurred_to_ms,
        entries=tuple(legs),
        body_json=canonical({"invoice": invoice_number}),
    )


def vat_transaction(
    invoice_number: str, org: str, vat_microwon: int, occurred_from_ms: int, occurred_to_ms: int
) -> Transaction | None:
    """An invoice's value added tax, owed by the organisation and payable to the state; None for 0."""
    if not vat_microwon:
        return None
    return Transaction(
        idem_key=f"{VAT}:{invoice_number}",
        kind=VAT,
        occurred_from_ms=occurred_from_ms,
        occurred_to_ms=occurred_to_ms,
        entries=(Entry(receivable(org), MICROWON, vat_microwon), Entry(VAT_ACCOUNT, MICROWON, -vat_microwon)),
        body_json=canonical({"invoice": invoice_number}),
    )


def tx_record(transaction: Transaction, seq: int, booked_at_ms: int, period: str) -> LedgerTxRecord:
    """The transaction's row under its gapless sequence."""
    return LedgerTxRecord(
        seq=seq,
        idem_key=transaction.idem_key,
        kind=transaction.kind,
        occurred_from_ms=transaction.occurred_from_ms,
        occurred_to_ms=transaction.occurred_to_ms,
        booked_at_ms=booked_at_ms,
        period=period,
        reverses_seq=transaction.reverses_seq,
        body_json=transaction.body_json,
    )


def entry_records(transaction: Transaction, seq: int) -> tuple[LedgerEntryRecord, ...]:
    """The transaction's legs as rows, numbered from 0."""
    return tuple(
        LedgerEntryRecord(seq=seq, line=line, account=leg.account, unit=leg.unit, amount=leg.amount)
        for line, leg in enumerate(transaction.entries)
    )


def transaction_of(record: LedgerTxRecord, entries: Iterable[LedgerEntryRecord]) -> Transaction:
    """A transaction from its rows; raises InvariantBroken when they are not balanced (``books.check`` reports it)."""
    legs = sorted((entry for entry in entries if entry.seq == record.seq), key=lambda entry: entry.line)
    return Transaction(
        idem_key=record.idem_key,
        kind=record.kind,
        occurred_from_ms=record.occurred_from_ms,
        occurred_to_ms=record.occurred_to_ms,
        entries=tuple(Entry(leg.account, leg.unit, leg.amount) for leg in legs),
        body_json=record.body_json,
        reverses_seq=record.reverses_seq,
    )


def balances(entries: Iterable[Leg]) -> dict[tuple[str, str], int]:
    """Sums by (account, unit); accounts whose legs cancel out stay, with 0."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        sums[entry.account, entry.unit] += entry.amount
    return dict(sums)


def unit_sums(entries: Iterable[Leg]) -> dict[str, int]:
    """Sums by unit over all accounts: zero for every transaction and for the whole ledger."""
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        sums[entry.unit] += entry.amount
    return dict(sums)


def _money_legs(first: SliceRecord, funder: str, rated: Sequence[Rated]) -> list[Entry]:
    """Legs of money, zero ones included; rating is per slice, so a slice's amounts can be found again."""
    return [
        Entry(receivable(first.org), MICROWON, sum(part.tenant_microwon for part in rated)),
        Entry(funder_receivable(funder), MICROWON, sum(part.funder_microwon for part in rated)),
        Entry(discount(first.class_name), MICROWON, sum(part.discount_microwon for part in rated)),
        Entry(revenue(first.cluster), MICROWON, -sum(part.product_microwon for part in rated)),
    ]
