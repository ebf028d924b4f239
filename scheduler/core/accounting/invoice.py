"""Making the usage invoice: a pure function of posted slices, prices, period and organisation.

Won appear here and nowhere before. Each line is rounded once from its whole quantity, value added
tax once for the invoice, and what the rounding adds or takes is named account by account
(docs/decisions/0002). Everything a Korean tax invoice needs is in ``tax_invoice``; nothing is filed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.core.accounting import ledger
from scheduler.core.accounting.credit_model import CreditLine
from scheduler.core.accounting.invoice_model import (
    Difference,
    Funding,
    Invoice,
    InvoicePeriod,
    Line,
    Party,
    Sources,
    TaxInvoice,
    TaxTreatment,
    Terms,
    Totals,
)
from scheduler.core.accounting.rating import Price, PriceBook, rate, rate_won
from scheduler.core.accounting.rounding import DOWN_TO_ONE_WON, Rounding
from scheduler.core.errors import Fatal, Finding
from scheduler.core.instants import kst_date, parse_rfc3339, rfc3339_utc
from scheduler.core.records import OrgRecord, PeriodRecord, SliceRecord
from scheduler.core.units import MICRO_PER_WON, MILLI_GPU_MS_PER_GPU_HOUR, MILLI_PER_GPU, PPM_ONE, format_ppm

Lines = Sequence[Line] | Sequence[CreditLine]
BAD_INPUT = "DURE-9050"
BILLING_RULE = "from the gang's last start to the rank's own end or its eviction notice"
_HOUR_PLACES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceInputs:
    """All that decides an invoice. slices: the organisation's, posted in the period; org: as it is at the close."""

    number: str
    issued_at_ms: int
    period: PeriodRecord
    org: OrgRecord
    issuer: Party
    slices: Sequence[SliceRecord]
    book: PriceBook
    vat_ppm: int
    rounding: Rounding = DOWN_TO_ONE_WON
    vat_rounding: Rounding = DOWN_TO_ONE_WON


def problems(inputs: InvoiceInputs) -> list[Finding]:
    """Why no invoice can be made of these inputs, all at once; empty when it can."""
    org, period = inputs.org, inputs.period
    found = []
    if not period.start_ms < period.end_ms:
        found.append(_finding(inputs, f"period {period.id} has no end yet"))
    if org.tax_treatment not in set(TaxTreatment):
        found.append(_finding(inputs, f"organisation {org.name} has the unknown tax treatment {org.tax_treatment!r}"))
    if len({part.id for part in inputs.slices}) != len(inputs.slices):
        found.append(_finding(inputs, "a slice is there twice"))
    for part in inputs.slices:
        if (part.org, part.period) != (org.name, period.id) or part.ledger_seq < 1 or part.end_ms > period.end_ms:
            why = f"not a posted one of {org.name} in period {period.id}, or ends after it"
            found.append(_finding(inputs, f"slice {part.id} is {why}"))
        held = part.gpus * MILLI_PER_GPU * (part.end_ms - part.start_ms)
        if not 0 <= part.billed_milli_gpu_ms <= part.held_milli_gpu_ms or part.held_milli_gpu_ms != held:
            found.append(_finding(inputs, f"slice {part.id} has amounts that its span and GPUs cannot have"))
        try:
            inputs.book.price_of(part)
        except Fatal as error:
            found.append(_finding(inputs, error.message))
    return found


def build(inputs: InvoiceInputs) -> Invoice:
    """Make the invoice; the same inputs, slices in any order, make the same one. Raises Fatal on ``problems``."""
    wrong = problems(inputs)
    if wrong:
        raise Fatal(BAD_INPUT, wrong[0].message, wrong[0].fix)
    lines = _lines(inputs)
    vat = inputs.vat_rounding.won(supply_value(lines) * _vat_ppm(inputs), PPM_ONE)
    totals = totals_of(lines, vat)
    period = inputs.period
    return Invoice(
        number=inputs.number,
        issued_at=rfc3339_utc(inputs.issued_at_ms),
        period=InvoicePeriod(period.id, period.calendar, rfc3339_utc(period.start_ms), rfc3339_utc(period.end_ms)),
        issuer=inputs.issuer,
        buyer=Party(inputs.org.name, inputs.org.title, inputs.org.registration_number),
        buyer_class=inputs.org.class_name,
        terms=_terms(inputs),
        lines=lines,
        funding=funding_of(lines),
        totals=totals,
        rounding=_differences(inputs, lines),
        tax_invoice=_tax_invoice(inputs, totals),
        sources=_sources(inputs),
    )


def closing_transactions(invoice: Invoice) -> tuple[ledger.Transaction, ...]:
    """What issuing the invoice books: the rounding difference and the tax, each only when it is not 0."""
    start_ms, end_ms = parse_rfc3339(invoice.period.start), parse_rfc3339(invoice.period.end)
    differences = {difference.account: difference.microwon for difference in invoice.rounding}
    vat_microwon = invoice.totals.vat_won * MICRO_PER_WON
    booked = (
        ledger.rounding_transaction(invoice.number, differences, start_ms, end_ms),
        ledger.vat_transaction(invoice.number, invoice.buyer.name, vat_microwon, start_ms, end_ms),
    )
    return tuple(transaction for transaction in booked if transaction is not None)


def gpu_hours(milli_gpu_ms: int) -> str:
    """A quantity as decimal GPU-hours, always with 6 places, the rest cut off: 1,800,000,000 -> ``0.500000``."""
    whole, part = divmod(milli_gpu_ms * _HOUR_PLACES // MILLI_GPU_MS_PER_GPU_HOUR, _HOUR_PLACES)
    return f"{whole}.{part:06d}"


def lines_of(inputs: InvoiceInputs) -> list[tuple[Price, list[SliceRecord]]]:
    """Price and slices of each line: one for each (project, flavor, tier, rate card, price) that was charged anything,
    in that order."""
    groups: dict[tuple[str, str, str, str, Price, str], list[SliceRecord]] = defaultdict(list)
    for part in inputs.slices:
        if part.billed_milli_gpu_ms:
            price = inputs.book.price_of(part)
            groups[part.project, part.flavor, part.tier.value, part.rate_card, price, part.class_name].append(part)
    ordered = sorted(groups, key=lambda key: (*key[:4], *_price_order(key[4]), key[5]))
    return [(key[4], groups[key]) for key in ordered]


def _lines(inputs: InvoiceInputs) -> tuple[Line, ...]:
    return tuple(_line(inputs, number, *line) for number, line in enumerate(lines_of(inputs), 1))


def _price_order(price: Price) -> tuple[int, int, int, str, bool]:
    share = price.class_price
    return price.list_won_per_gpu_hour, price.tier_ppm, share.of_list_ppm, share.funder, share.in_supply_value


def _line(inputs: InvoiceInputs, number: int, price: Price, slices: Sequence[SliceRecord]) -> Line:
    first = slices[0]
    billed = sum(part.billed_milli_gpu_ms for part in slices)
    won = rate_won(billed, price, inputs.rounding)
    return Line(
        number=number,
        project=first.project,
        flavor=first.flavor,
        tier=first.tier.value,
        class_name=first.class_name,
        rate_card=first.rate_card,
        policy_versions=tuple(sorted({part.policy_version for part in slices})),
        slices=len(slices),
        billed_milli_gpu_ms=billed,
        gpu_hours=gpu_hours(billed),
        list_won_per_gpu_hour=price.list_won_per_gpu_hour,
        tier_factor=format_ppm(price.tier_ppm),
        class_factor=format_ppm(price.class_price.of_list_ppm),
        funder=price.class_price.funder,
        in_supply_value=price.class_price.in_supply_value,
        list_won=won.list_won,
        product_won=won.product_won,
        tenant_won=won.tenant_won,
        funder_won=won.funder_won,
        discount_won=won.discount_won,
    )


def supply_value(lines: Lines) -> int:
    """What lines are taxed on, in won: the tenant's part, and what a fund pays inside the supply value."""
    return sum(line.tenant_won + (line.funder_won if line.in_supply_value else 0) for line in lines)


def totals_of(lines: Lines, vat_won: int) -> Totals:
    """The sums of an invoice's or a credit note's lines, with the tax on them."""
    funder = sum(line.funder_won for line in lines)
    discount = sum(line.discount_won for line in lines)
    tenant = sum(line.tenant_won for line in lines)
    return Totals(
        list_won=sum(line.list_won for line in lines),
        product_won=sum(line.product_won for line in lines),
        funder_won=funder,
        discount_won=discount,
        subsidy_won=funder + discount,
        tenant_won=tenant,
        supply_value_won=supply_value(lines),
        vat_won=vat_won,
        payable_won=tenant + vat_won,
    )


def _vat_ppm(inputs: InvoiceInputs) -> int:
    return inputs.vat_ppm if inputs.org.tax_treatment == TaxTreatment.TAXABLE else 0


def _terms(inputs: InvoiceInputs) -> Terms:
    return Terms(
        billing_rule=BILLING_RULE,
        line_rounding=inputs.rounding.mode,
        line_quantum_won=inputs.rounding.quantum_won,
        tax_treatment=TaxTreatment(inputs.org.tax_treatment),
        vat_factor=format_ppm(_vat_ppm(inputs)),
        vat_rounding=inputs.vat_rounding.mode,
        vat_quantum_won=inputs.vat_rounding.quantum_won,
    )


def funding_of(lines: Lines) -> tuple[Funding, ...]:
    """What each fund pays of lines, by fund; apart where it is inside the supply value."""
    sums: dict[tuple[str, bool], int] = defaultdict(int)
    for line in lines:
        if line.funder:
            sums[line.funder, line.in_supply_value] += line.funder_won
    return tuple(Funding(fund, sums[fund, inside], inside) for fund, inside in sorted(sums))


def _differences(inputs: InvoiceInputs, lines: Sequence[Line]) -> tuple[Difference, ...]:
    """Whole won of the invoice less the micro-won of its slices, by account; accounts that agree are left out."""
    differences: dict[str, int] = defaultdict(int)
    for line in lines:
        differences[ledger.receivable(inputs.org.name)] += line.tenant_won * MICRO_PER_WON
        differences[ledger.funder_receivable(line.funder)] += line.funder_won * MICRO_PER_WON
        differences[ledger.discount(line.class_name)] += line.discount_won * MICRO_PER_WON
    for part in inputs.slices:
        price = inputs.book.price_of(part)
        rated = rate(part.billed_milli_gpu_ms, price)
        differences[ledger.receivable(inputs.org.name)] -= rated.tenant_microwon
        differences[ledger.funder_receivable(price.class_price.funder)] -= rated.funder_microwon
        differences[ledger.discount(part.class_name)] -= rated.discount_microwon
    return tuple(Difference(account, differences[account]) for account in sorted(differences) if differences[account])


def _tax_invoice(inputs: InvoiceInputs, totals: Totals) -> TaxInvoice:
    exempt = inputs.org.tax_treatment == TaxTreatment.EXEMPT
    document = "exempt_invoice" if exempt else "tax_invoice"
    return TaxInvoice(
        document=document if totals.supply_value_won else "none",
        supplier_registration_number=inputs.issuer.registration_number,
        supplier_title=inputs.issuer.title or inputs.issuer.name,
        buyer_registration_number=inputs.org.registration_number,
        buyer_title=inputs.org.title or inputs.org.name,
        supply_value_won=totals.supply_value_won,
        vat_won=totals.vat_won,
        written_on=kst_date(inputs.period.end_ms - 1),
    )


def _sources(inputs: InvoiceInputs) -> Sources:
    slices = sorted(inputs.slices, key=lambda part: part.id)
    digest = hashlib.sha256()
    for part in slices:
        digest.update(f"{part.id} {part.billed_milli_gpu_ms} {part.held_milli_gpu_ms}\n".encode())
    sequences = {part.ledger_seq for part in slices}
    return Sources(
        slices=len(slices),
        slices_sha256=digest.hexdigest(),
        held_milli_gpu_ms=sum(part.held_milli_gpu_ms for part in slices),
        billed_milli_gpu_ms=sum(part.billed_milli_gpu_ms for part in slices),
        first_seq=min(sequences, default=0),
        last_seq=max(sequences, default=0),
        transactions=len(sequences),
        close_seq=inputs.period.close_seq,
        policy_versions=tuple(sorted({part.policy_version for part in slices})),
        rate_cards=tuple(sorted({part.rate_card for part in slices})),
    )


def _finding(inputs: InvoiceInputs, message: str) -> Finding:
    fix = f"find out who wrote it before invoice {inputs.number} is issued"
    return Finding(f"invoice {inputs.number}", BAD_INPUT, message, fix)
