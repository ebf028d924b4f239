"""Verifying an issued invoice: recompute it from slices, prices and period, and compare every field and byte.

Each field belongs to one named check, so a change of any one of them is named. The parties' names and
numbers are compared with nothing (an organisation may be renamed after the close): for them the hash
stands, so whoever calls this compares it with the fact that the invoice was issued. All other checks
need no trust in the hash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scheduler.core.accounting import ledger
from scheduler.core.accounting.invoice import InvoiceInputs, build, closing_transactions, problems
from scheduler.core.accounting.invoice_model import Invoice, Line, Party
from scheduler.core.accounting.rating import Price, rate_won
from scheduler.core.accounting.rendering import invoice_json, parse_invoice
from scheduler.core.accounting.rounding import Rounding, RoundingMode
from scheduler.core.codec import sha256_hex, to_json
from scheduler.core.effective import ClassPrice
from scheduler.core.records import LedgerEntryRecord, LedgerTxRecord, SliceRecord
from scheduler.core.units import MICRO_PER_WON, PPM_ONE, parse_ppm

StoredTransaction = tuple[LedgerTxRecord, Sequence[LedgerEntryRecord]]

_IDENTITY = ("apiVersion", "kind", "number", "issued_at", "currency")
_SECTIONS = ("period", "issuer", "buyer", "buyer_class", "terms", "funding", "rounding", "tax_invoice", "sources")
_LINE_PARTS: Mapping[str, tuple[str, ...]] = {
    "usage": ("number", "project", "flavor", "tier", "class_name", "policy_versions"),
    "quantity": ("slices", "billed_milli_gpu_ms", "gpu_hours"),
    "price": (
        "rate_card",
        "list_won_per_gpu_hour",
        "tier_factor",
        "class_factor",
        "funder",
        "in_supply_value",
    ),
    "amounts": ("list_won", "product_won", "tenant_won", "funder_won", "discount_won"),
}
_DETAILS_MAX = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked; detail says what differs, with both values, or what was compared."""

    name: str
    ok: bool
    detail: str


def verify(
    text: str, *, sha256: str, inputs: InvoiceInputs, stored: Sequence[StoredTransaction] | None = None
) -> list[Check]:
    """Every check of an invoice's text; it stands only if all are ok.

    sha256: the hash under which it was issued. inputs: what it must follow from (see ``as_issued``).
    stored: the ledger's transactions of these slices and of this invoice, or None to leave the ledger out.
    """
    actual = sha256_hex(text)
    checks = [check_of("sha256", [] if actual == sha256 else [f"the text's is {actual}, issued was {sha256}"])]
    try:
        invoice = parse_invoice(text)
    except ValueError as error:
        return [*checks, Check("form", False, f"not an invoice: {error}")]
    checks.append(check_of("form", [] if invoice_json(invoice) == text else ["the text is not in canonical form"]))
    checks += check_face(invoice)
    wrong = [finding.message for finding in problems(inputs)]
    checks.append(check_of("inputs", wrong))
    if wrong:
        return checks
    expected = build(inputs)
    checks += _compared(invoice, expected)
    checks.append(check_of("bytes", [] if invoice_json(expected) == text else ["the rebuilt text is another"]))
    if stored is not None:
        checks += _ledger_checks(inputs, expected, stored)
    return checks


def check_face(invoice: Invoice) -> list[Check]:
    """What can be checked on the invoice alone: each line's arithmetic, the sums, and the tax on them."""
    return [
        *(check_of(f"line {line.number} arithmetic", list(_line_faults(invoice, line))) for line in invoice.lines),
        check_of("sums", list(_sum_faults(invoice))),
    ]


def as_issued(inputs: InvoiceInputs, invoice: Invoice) -> InvoiceInputs:
    """Inputs with the parties as the invoice names them: an organisation may be renamed after the close.

    Use it where no record of the parties at the close is kept; the hash and the ledger's tax then
    stand for their names, numbers, class and tax treatment. The organisation's own name still counts.
    """
    org = replace(
        inputs.org,
        title=invoice.buyer.title,
        registration_number=invoice.buyer.registration_number,
        class_name=invoice.buyer_class,
        tax_treatment=invoice.terms.tax_treatment.value,
    )
    return replace(inputs, org=org, issuer=Party(**to_json(invoice.issuer)))


def check_of(name: str, faults: Sequence[str]) -> Check:
    """A check that is ok without faults; it says the first few."""
    if not faults:
        return Check(name, True, "as it must be")
    rest = len(faults) - _DETAILS_MAX
    more = [f"and {rest} more"] if rest > 0 else []
    return Check(name, False, "; ".join([*faults[:_DETAILS_MAX], *more]))


def _compared(invoice: Invoice, expected: Invoice) -> Iterator[Check]:
    found, wanted = to_json(invoice), to_json(expected)
    yield check_of("identity", [fault for name in _IDENTITY for fault in faults_at(name, found[name], wanted[name])])
    for name in _SECTIONS:
        yield check_of(name.replace("_", " "), list(faults_at(name, found[name], wanted[name])))
    for name in wanted["totals"]:
        yield check_of(f"total {name}", list(faults_at(name, found["totals"][name], wanted["totals"][name])))
    count, due = len(found["lines"]), len(wanted["lines"])
    yield check_of("lines", [] if count == due else [f"there are {count}, recomputed {due}"])
    for number, (line, due_line) in enumerate(zip(found["lines"], wanted["lines"], strict=False), 1):
        for part, names in _LINE_PARTS.items():
            faults = [fault for name in names for fault in faults_at(name, line[name], due_line[name])]
            yield check_of(f"line {number} {part}", faults)


def faults_at(path: str, found: Any, wanted: Any) -> Iterator[str]:
    """Each leaf at which two JSON values differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted(found.keys() | wanted.keys()):
            yield from faults_at(f"{path}.{name}", found.get(name), wanted.get(name))
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for index, (left, right) in enumerate(zip(found, wanted, strict=True)):
            yield from faults_at(f"{path}[{index}]", left, right)
    elif found != wanted:
        yield f"{path} is {found!r}, recomputed {wanted!r}"


def _line_faults(invoice: Invoice, line: Line) -> Iterator[str]:
    terms = invoice.terms
    try:
        rounding = rounding_of(terms.line_rounding, terms.line_quantum_won)
        won = rate_won(line.billed_milli_gpu_ms, line_price(line), rounding)
    except ValueError as error:
        yield f"cannot be recomputed: {error}"
        return
    for name, wanted in to_json(won).items():
        yield from faults_at(name, getattr(line, name), wanted)


def line_price(line: Line) -> Price:
    """The price a line names; raises ValueError when it is none."""
    tier_ppm, part_ppm = parse_ppm(line.tier_factor), parse_ppm(line.class_factor)
    if min(line.billed_milli_gpu_ms, line.list_won_per_gpu_hour, tier_ppm, part_ppm) < 0 or part_ppm > PPM_ONE:
        raise ValueError("a quantity, price or factor is out of range")
    return Price(line.list_won_per_gpu_hour, tier_ppm, ClassPrice(part_ppm, line.funder, line.in_supply_value))


def rounding_of(mode: RoundingMode, quantum_won: int) -> Rounding:
    """The rounding an invoice names; raises ValueError when it is none."""
    if quantum_won < 1:
        raise ValueError(f"amounts cannot be rounded to {quantum_won} won")
    return Rounding(mode, quantum_won)


def _sum_faults(invoice: Invoice) -> Iterator[str]:
    totals, lines = invoice.totals, invoice.lines
    for name in ("list_won", "product_won", "tenant_won", "funder_won", "discount_won"):
        yield from faults_at(name, getattr(totals, name), sum(getattr(line, name) for line in lines))
    inside = sum(line.funder_won for line in lines if line.in_supply_value)
    yield from faults_at("supply_value_won", totals.supply_value_won, totals.tenant_won + inside)
    yield from faults_at("subsidy_won", totals.subsidy_won, totals.funder_won + totals.discount_won)
    yield from faults_at("payable_won", totals.payable_won, totals.tenant_won + totals.vat_won)
    yield from faults_at("funding", sum(part.won for part in invoice.funding), totals.funder_won)
    terms = invoice.terms
    try:
        tax_ppm = totals.supply_value_won * parse_ppm(terms.vat_factor)
        if tax_ppm < 0:
            raise ValueError("the supply value or the tax factor is below 0")
        vat_won = rounding_of(terms.vat_rounding, terms.vat_quantum_won).won(tax_ppm, PPM_ONE)
    except ValueError as error:
        yield f"the tax cannot be recomputed: {error}"
        return
    yield from faults_at("vat_won", totals.vat_won, vat_won)


def _ledger_checks(inputs: InvoiceInputs, expected: Invoice, stored: Sequence[StoredTransaction]) -> Iterator[Check]:
    groups: dict[int, list[SliceRecord]] = defaultdict(list)
    for part in inputs.slices:
        groups[part.ledger_seq].append(part)
    by_seq = {row.seq: (row, entries) for row, entries in stored}
    usage_faults = [fault for seq in sorted(groups) for fault in _usage_faults(inputs, groups[seq], by_seq.get(seq))]
    yield check_of("ledger usage", usage_faults)
    closing = {transaction.idem_key: transaction for transaction in closing_transactions(expected)}
    others = [(row, entries) for row, entries in stored if row.seq not in groups]
    rest = {row.idem_key: (row, entries) for row, entries in others}
    faults = [f"{key} is in the ledger without a reason" for key in sorted(rest.keys() - closing.keys())]
    faults += ["a key is in the ledger twice"] if len(rest) < len(others) else []
    faults += [fault for key in sorted(closing) for fault in stored_faults(closing[key], rest.get(key))]
    yield check_of("ledger closing", faults)
    owed = sum(
        entry.amount
        for _, entries in stored
        for entry in entries
        if (entry.account, entry.unit) == (ledger.receivable(inputs.org.name), ledger.MICROWON)
    )
    due = expected.totals.payable_won * MICRO_PER_WON
    yield check_of("ledger balance", [] if owed == due else [f"{inputs.org.name} owes {owed} micro-won, not {due}"])


def _usage_faults(
    inputs: InvoiceInputs, slices: Sequence[SliceRecord], stored: StoredTransaction | None
) -> Iterator[str]:
    if not ledger.belong_together(slices):
        yield f"slices of sequence {slices[0].ledger_seq} do not belong together"
        return
    yield from stored_faults(ledger.usage_transaction(slices, inputs.book), stored)


def stored_faults(expected: ledger.Transaction, stored: StoredTransaction | None) -> Iterator[str]:
    """Where what is stored differs from a transaction as recomputed."""
    if stored is None:
        yield f"{expected.idem_key} is not in the ledger"
        return
    row, entries = stored
    if ledger.tx_record(expected, row.seq, row.booked_at_ms, row.period) != row:
        yield f"sequence {row.seq} is not {expected.idem_key} as recomputed"
    found = sorted((entry.account, entry.unit, entry.amount) for entry in entries)
    if found != sorted((leg.account, leg.unit, leg.amount) for leg in expected.entries):
        yield f"the entries of sequence {row.seq} are not those recomputed"
