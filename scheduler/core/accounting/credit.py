"""Making a credit note: a pure function of the invoice, its earlier notes, what shall be left, and who agreed.

What is left of an invoice is its lines with smaller quantities, rated and taxed by the invoice's own terms. A note is
what stood before less what stands after. So an invoice less its notes is, to the won, an invoice of what is left, and
the notes of one invoice never exceed it. Its ledger entries are the same difference: the last note leaves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduler.core.accounting import ledger
from scheduler.core.accounting.credit_model import (
    WHOLE,
    AmendedTaxInvoice,
    Booking,
    Consent,
    CreditedInvoice,
    CreditLine,
    CreditNote,
    CreditReason,
)
from scheduler.core.accounting.invoice import InvoiceInputs, funding_of, gpu_hours, lines_of, totals_of
from scheduler.core.accounting.invoice_model import Invoice, Line, Totals
from scheduler.core.accounting.rating import RatedWon, rate, rate_won
from scheduler.core.accounting.verification import line_price, rounding_of
from scheduler.core.codec import canonical
from scheduler.core.errors import Fatal, invariant
from scheduler.core.instants import kst_date, parse_rfc3339, rfc3339_utc
from scheduler.core.units import MICRO_PER_WON, PPM_ONE, parse_ppm

CANNOT = "DURE-6050"
Left = Mapping[int, int]
"""Number of a line -> milli-GPU-ms of it that are billed still."""
Account = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Share:
    """What a line was made of on one cluster: billed usage, and micro-won of product as the ledger has them."""

    cluster: str
    billed_milli_gpu_ms: int
    product_microwon: int


Shares = Mapping[int, tuple[Share, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditInputs:
    """All that decides a credit note. earlier: the invoice's notes before it, in order."""

    number: str
    issued_at_ms: int
    invoice: Invoice
    invoice_sha256: str
    earlier: Sequence[CreditNote]
    left: Left
    consent: Consent
    shares: Shares
    booked_in: str


def shares_of(inputs: InvoiceInputs) -> Shares:
    """The clusters behind each line of the invoice that these inputs make, by the number of the line."""
    found = {}
    for number, (price, slices) in enumerate(lines_of(inputs), 1):
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for part in slices:
            sums[part.cluster][0] += part.billed_milli_gpu_ms
            sums[part.cluster][1] += rate(part.billed_milli_gpu_ms, price).product_microwon
        found[number] = tuple(Share(cluster, *sums[cluster]) for cluster in sorted(sums))
    return found


def standing(invoice: Invoice, notes: Sequence[CreditNote]) -> dict[int, int]:
    """What is billed still of each line after these notes."""
    left = {line.number: line.billed_milli_gpu_ms for line in invoice.lines}
    for note in notes:
        left.update({line.number: line.after_milli_gpu_ms for line in note.lines})
    return left


def left_after(invoice: Invoice, notes: Sequence[CreditNote], reason: CreditReason, asked: Left) -> dict[int, int]:
    """What shall be left of the lines that change: none of any for a whole reason, else as asked.

    Raises Fatal when that cannot be: an unknown line, more than is billed now, nothing to take off.
    """
    now = standing(invoice, notes)
    if reason in WHOLE:
        if asked:
            raise _cannot(f"reason {reason} takes back the whole invoice: it names no lines", "leave the lines out")
        asked = {number: 0 for number, billed in now.items() if billed}
    elif not asked:
        raise _cannot(f"reason {reason} needs the lines of which less is billed", "name lines and what is left of them")
    for number, left in sorted(asked.items()):
        if number not in now:
            raise _cannot(f"invoice {invoice.number} has no line {number}", f"it has lines 1 to {len(now)}")
        if not 0 <= left < now[number]:
            billed = f"of line {number} {gpu_hours(now[number])} GPU-hours are billed now"
            raise _cannot(f"{billed}; {gpu_hours(max(0, left))} cannot be left of it", "name a smaller quantity")
    if not asked:
        raise _cannot(f"nothing is left of invoice {invoice.number} that could be taken off", "dure credit list")
    return dict(asked)


def taken_off(
    invoice: Invoice, notes: Sequence[CreditNote], reason: CreditReason, asked: Left
) -> tuple[tuple[CreditLine, ...], Totals]:
    """Lines and sums of the next note of the invoice; raises Fatal as ``left_after``."""
    before = standing(invoice, notes)
    left = left_after(invoice, notes, reason, asked)
    changed = [line for line in invoice.lines if line.number in left]
    lines = tuple(_line(invoice, line, before[line.number], left[line.number]) for line in changed)
    return lines, totals_of(lines, _vat(invoice, before) - _vat(invoice, {**before, **left}))


def make(inputs: CreditInputs) -> CreditNote:
    """The credit note; the same inputs make the same one. Raises Fatal as ``left_after``."""
    invoice, consent = inputs.invoice, inputs.consent
    lines, totals = taken_off(invoice, inputs.earlier, consent.reason, inputs.left)
    before = standing(invoice, inputs.earlier)
    after = {**before, **{line.number: line.after_milli_gpu_ms for line in lines}}
    return CreditNote(
        number=inputs.number,
        issued_at=rfc3339_utc(inputs.issued_at_ms),
        invoice=CreditedInvoice(
            invoice.number, inputs.invoice_sha256, invoice.issued_at, invoice.period, len(inputs.earlier) + 1
        ),
        consent=consent,
        issuer=invoice.issuer,
        buyer=invoice.buyer,
        buyer_class=invoice.buyer_class,
        terms=invoice.terms,
        lines=lines,
        funding=funding_of(lines),
        totals=totals,
        tax_invoice=_tax_invoice(inputs, totals),
        booked_in=inputs.booked_in,
        bookings=_bookings(inputs, before, after),
    )


def transaction(note: CreditNote) -> ledger.Transaction:
    """What issuing the note books; it happened when the invoice's usage happened."""
    period = note.invoice.period
    return ledger.Transaction(
        idem_key=f"{ledger.CREDIT}:{note.number}",
        kind=ledger.CREDIT,
        occurred_from_ms=parse_rfc3339(period.start),
        occurred_to_ms=parse_rfc3339(period.end),
        entries=tuple(ledger.Entry(leg.account, leg.unit, leg.amount) for leg in note.bookings),
        body_json=canonical({"credit_note": note.number, "invoice": note.invoice.number}),
    )


def _cannot(message: str, fix: str) -> Fatal:
    return Fatal(CANNOT, message, fix)


def _won(invoice: Invoice, line: Line, billed: int) -> RatedWon:
    terms = invoice.terms
    return rate_won(billed, line_price(line), rounding_of(terms.line_rounding, terms.line_quantum_won))


def _line(invoice: Invoice, line: Line, before: int, after: int) -> CreditLine:
    was, stays = _won(invoice, line, before), _won(invoice, line, after)
    return CreditLine(
        number=line.number,
        project=line.project,
        flavor=line.flavor,
        tier=line.tier,
        class_name=line.class_name,
        rate_card=line.rate_card,
        list_won_per_gpu_hour=line.list_won_per_gpu_hour,
        tier_factor=line.tier_factor,
        class_factor=line.class_factor,
        funder=line.funder,
        in_supply_value=line.in_supply_value,
        before_milli_gpu_ms=before,
        after_milli_gpu_ms=after,
        gpu_hours=gpu_hours(before - after),
        list_won=was.list_won - stays.list_won,
        product_won=was.product_won - stays.product_won,
        tenant_won=was.tenant_won - stays.tenant_won,
        funder_won=was.funder_won - stays.funder_won,
        discount_won=was.discount_won - stays.discount_won,
    )


def _vat(invoice: Invoice, quantities: Left) -> int:
    """The tax on what stands with these quantities, once for all of it."""
    supply, terms = 0, invoice.terms
    for line in invoice.lines:
        won = _won(invoice, line, quantities[line.number])
        supply += won.tenant_won + (won.funder_won if line.in_supply_value else 0)
    return rounding_of(terms.vat_rounding, terms.vat_quantum_won).won(supply * parse_ppm(terms.vat_factor), PPM_ONE)


def _tax_invoice(inputs: CreditInputs, totals: Totals) -> AmendedTaxInvoice:
    original, reason = inputs.invoice.tax_invoice, inputs.consent.reason
    document = "none" if original.document == "none" or not totals.supply_value_won else f"amended_{original.document}"
    return AmendedTaxInvoice(
        document=document,
        reason=reason,
        original_written_on=original.written_on,
        supplier_registration_number=original.supplier_registration_number,
        supplier_title=original.supplier_title,
        buyer_registration_number=original.buyer_registration_number,
        buyer_title=original.buyer_title,
        supply_value_won=-totals.supply_value_won,
        vat_won=-totals.vat_won,
        written_on=original.written_on if reason in WHOLE else kst_date(inputs.issued_at_ms),
    )


def _bookings(inputs: CreditInputs, before: Left, after: Left) -> tuple[Booking, ...]:
    """The entries that the ledger has for what stands after, less those for what stood before."""
    was, stays = _entries(inputs, before), _entries(inputs, after)
    amounts = {place: stays.get(place, 0) - was.get(place, 0) for place in sorted(was.keys() | stays.keys())}
    return tuple(Booking(*place, amount) for place, amount in amounts.items() if amount)


def _entries(inputs: CreditInputs, quantities: Left) -> dict[Account, int]:
    """Balances that the ledger holds for an invoice of these quantities: billed usage, money, tax and rounding.

    Held usage is not among them: the GPUs were held, whoever pays. Revenue and metered usage of a line are split over
    its clusters as they were booked, by running sums, so that nothing is lost on the way and nothing left at the end.
    """
    invoice, found = inputs.invoice, defaultdict[Account, int](int)
    org = invoice.buyer.name
    for line in invoice.lines:
        left = quantities[line.number]
        unit, won = ledger.usage_unit(line.flavor), _won(invoice, line, left)
        found[f"billed:{org}/{line.project}", unit] += left
        found[ledger.receivable(org), ledger.MICROWON] += won.tenant_won * MICRO_PER_WON
        found[ledger.funder_receivable(line.funder), ledger.MICROWON] += won.funder_won * MICRO_PER_WON
        found[ledger.discount(line.class_name), ledger.MICROWON] += won.discount_won * MICRO_PER_WON
        for cluster, billed, product in _kept(inputs.shares[line.number], line.billed_milli_gpu_ms, left):
            found[f"metered:{cluster}", unit] -= billed
            found[ledger.revenue(cluster), ledger.MICROWON] -= product
    vat = _vat(invoice, quantities) * MICRO_PER_WON
    found[ledger.receivable(org), ledger.MICROWON] += vat
    found[ledger.VAT_ACCOUNT, ledger.MICROWON] -= vat
    rest = -sum(amount for (_, unit), amount in found.items() if unit == ledger.MICROWON)
    found[ledger.ROUNDING_ACCOUNT, ledger.MICROWON] += rest
    return found


def _kept(shares: Sequence[Share], whole: int, left: int) -> list[tuple[str, int, int]]:
    """(cluster, billed, product) of a line of which ``left`` of ``whole`` stands; all of it is what was booked."""
    invariant(sum(share.billed_milli_gpu_ms for share in shares) == whole, "a line's clusters make up the line")
    kept, sums, given = [], [0, 0], [0, 0]
    for share in shares:
        sums[0] += share.billed_milli_gpu_ms
        sums[1] += share.product_microwon
        upto = [part * left // whole for part in sums]
        kept.append((share.cluster, upto[0] - given[0], upto[1] - given[1]))
        given = upto
    return kept
