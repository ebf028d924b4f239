"""Invoices: issued once by the settler when a period closes; listed, read and recomputed by people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from scheduler.core.accounting import ledger
from scheduler.core.accounting.invoice import InvoiceInputs, build, closing_transactions
from scheduler.core.accounting.invoice_model import Invoice, Party
from scheduler.core.accounting.rendering import invoice_csv, invoice_json, parse_invoice
from scheduler.core.accounting.rounding import DOWN_TO_ONE_WON
from scheduler.core.accounting.verification import Check, StoredTransaction, as_issued
from scheduler.core.accounting.verification import verify as verify_text
from scheduler.core.codec import sha256_hex
from scheduler.core.errors import Fatal, Retry
from scheduler.core.facts import FactBody, InvoiceIssued
from scheduler.core.instants import kst_date
from scheduler.core.records import (
    CounterRecord,
    InvoiceRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    OrgRecord,
    PeriodRecord,
    SliceRecord,
)
from scheduler.schema.bodies import CheckBody, InvoiceBody, InvoiceSummary, VerifyBody
from scheduler.schema.quantities import UNREADABLE_WON
from scheduler.services.actors import Actor
from scheduler.services.effective import EffectivePolicies, newest_policy
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Reader, Where, Writer
from scheduler.services.posting import post
from scheduler.services.prices import PriceBooks
from scheduler.services.reads import everything, of_sequences
from scheduler.services.submit import Conflict, NotFound

SLICES_MAX = 10_000_000
INVOICES_MAX = 100_000


def issue_invoices(
    tx: Writer, policies: EffectivePolicies, books: PriceBooks, period: PeriodRecord, issuer: Party, now_ms: int
) -> None:
    """Close the period and issue one invoice for each organisation with usage in it, all in this transaction."""
    policy = newest_policy(tx)
    counter = tx.get(CounterRecord, "ledger")
    closed = replace(
        period,
        state="closed",
        close_seq=counter.value if counter else 0,
        close_policy_version=policy.version if policy else 0,
        closed_at_ms=now_ms,
    )
    if not tx.change(closed, version=period.version):
        raise Retry("DURE-6001", "the period changed at the same moment", "the settler tries again")
    rounding, vat_rounding = books.rounding(tx, closed.close_policy_version) if policy else (DOWN_TO_ONE_WON,) * 2
    for org_name in _orgs_of(tx, period.id):
        slices = _slices_of(tx, period.id, org_name)
        org = tx.get(OrgRecord, org_name) or OrgRecord(name=org_name, class_name=slices[0].class_name)
        year = kst_date(now_ms)[:4]
        number = f"DURE-{year}-{tx.next_number(f'invoice:{year}'):06d}"
        inputs = InvoiceInputs(
            number=number,
            issued_at_ms=now_ms,
            period=closed,
            org=org,
            issuer=issuer,
            slices=slices,
            book=books.book(tx),
            vat_ppm=books.vat_ppm(tx, closed.close_policy_version),
            rounding=rounding,
            vat_rounding=vat_rounding,
        )
        _issue(tx, build(inputs), closed, now_ms)


def _orgs_of(view: Reader, period: str) -> Iterator[str]:
    """Names of the organisations with usage in the period, in order: one short look for each."""
    org = ""
    while first := view.select(
        SliceRecord, Where("period", "=", period), Where("org", ">", org), order=("org",), limit=1
    ):
        org = first[0].org
        yield org


def _slices_of(view: Reader, period: str, org: str) -> list[SliceRecord]:
    """All the organisation's slices of the period, by id; raises Fatal when one invoice cannot be made of so many."""
    of_invoice = (Where("period", "=", period), Where("org", "=", org))
    message = f"organisation {org} has more than {SLICES_MAX:,} slices in period {period}"
    refusal = Fatal("DURE-9051", message, "report this: nothing of the period was invoiced")
    return everything(view, SliceRecord, *of_invoice, order=("id",), limit=SLICES_MAX, refusal=refusal)


def _issue(tx: Writer, invoice: Invoice, period: PeriodRecord, now_ms: int) -> None:
    for transaction in closing_transactions(invoice):
        post(tx, transaction, period.id, now_ms)
    text = invoice_json(invoice)
    digest = sha256_hex(text)
    issued = InvoiceIssued(invoice.number, invoice.buyer.name, period.id, digest)
    tx.add(
        InvoiceRecord(
            number=invoice.number,
            org=invoice.buyer.name,
            period=period.id,
            issued_at_ms=now_ms,
            invoice_json=text,
            sha256=digest,
            issued_seq=tx.append(issued, now_ms),
        )
    )


def list_invoices(view: Reader, actor: Actor, period: str, org: str) -> list[InvoiceSummary]:
    """Invoices the actor may read, newest first; "" filters nothing."""
    where = [Where(name, "=", value) for name, value in (("period", period), ("org", org)) if value]
    rows = view.select(InvoiceRecord, *where, order=("-number",), limit=INVOICES_MAX)
    return [_summary(row) for row in rows if actor.reads_org(row.org)]


def found_invoice(view: Reader, actor: Actor, number: str) -> InvoiceRecord:
    """The invoice; raises NotFound alike for absent and hidden."""
    record = view.get(InvoiceRecord, number)
    if record is None or not actor.reads_org(record.org):
        raise NotFound("DURE-3008", f"no invoice {number} that you may read", "dure invoice list")
    return record


def get_invoice(view: Reader, actor: Actor, number: str) -> InvoiceBody:
    """An invoice with its canonical text; raises NotFound alike for absent and hidden."""
    record = found_invoice(view, actor, number)
    fields = _summary(record).model_dump(exclude={"kind"})
    return InvoiceBody(**fields, text=record.invoice_json)


def invoice_csv_text(view: Reader, actor: Actor, number: str) -> str:
    """The invoice's lines and totals as CSV; raises Conflict when the stored text is no invoice any more."""
    return invoice_csv(parsed_invoice(found_invoice(view, actor, number)))


def parsed_invoice(record: InvoiceRecord) -> Invoice:
    """The invoice as it was issued; raises Conflict when the stored text is none any more."""
    try:
        return parse_invoice(record.invoice_json)
    except ValueError as error:
        message = f"the stored text of {record.number} is damaged: {error}"
        raise Conflict("DURE-6022", message, f"dure invoice verify {record.number}") from error


def _summary(record: InvoiceRecord) -> InvoiceSummary:
    """An invoice as lists show it; where the stored text is damaged, every amount is UNREADABLE_WON."""
    amounts = (UNREADABLE_WON,) * 5
    with contextlib.suppress(ValueError):
        totals = parse_invoice(record.invoice_json).totals
        supply_won = totals.supply_value_won
        amounts = (totals.list_won, totals.subsidy_won, supply_won, totals.vat_won, totals.payable_won)
    list_won, subsidy_won, supply_won, vat_won, payable_won = amounts
    return InvoiceSummary(
        number=record.number,
        org=record.org,
        period=record.period,
        issued_at=instant(record.issued_at_ms),
        list_won=list_won,
        subsidy_won=subsidy_won,
        supply_won=supply_won,
        vat_won=vat_won,
        payable_won=payable_won,
        sha256=record.sha256,
    )


def issued(view: Reader, seq: int, wanted: FactBody) -> Check:
    """The fact that a document was issued, against its row: who changes the row and its hash changes not the chain."""
    found = view.fact(seq)
    if found is not None and found.body == wanted:
        return Check("fact", True, f"issued with this hash as fact {seq}")
    return Check("fact", False, f"fact {seq} does not say that it was issued with this hash")


def inputs_of(view: Reader, policies: EffectivePolicies, record: InvoiceRecord, period: PeriodRecord) -> InvoiceInputs:
    """What an issued invoice must follow from, with the parties as it names them."""
    books = PriceBooks(policies)
    rounding, vat_rounding = books.rounding(view, period.close_policy_version)
    inputs = InvoiceInputs(
        number=record.number,
        issued_at_ms=record.issued_at_ms,
        period=period,
        org=view.get(OrgRecord, record.org) or OrgRecord(name=record.org, class_name=""),
        issuer=Party(""),
        slices=_slices_of(view, record.period, record.org),
        book=books.book(view),
        vat_ppm=books.vat_ppm(view, period.close_policy_version),
        rounding=rounding,
        vat_rounding=vat_rounding,
    )
    # A text that is no invoice is named by the check "form".
    with contextlib.suppress(ValueError):
        inputs = as_issued(inputs, parse_invoice(record.invoice_json))
    return inputs


def recompute(view: Reader, record: InvoiceRecord, inputs: InvoiceInputs) -> list[Check]:
    """Every check of an invoice against the fact, its inputs and the ledger."""
    wanted = InvoiceIssued(record.number, record.org, record.period, record.sha256)
    stored = _stored(view, record, inputs.slices)
    checks = verify_text(record.invoice_json, sha256=record.sha256, inputs=inputs, stored=stored)
    return [issued(view, record.issued_seq, wanted), *checks]


def verify(view: Reader, policies: EffectivePolicies, actor: Actor, number: str) -> VerifyBody:
    """Recompute an invoice from slices, prices and ledger; every check with what it found."""
    record = found_invoice(view, actor, number)
    period = view.get(PeriodRecord, record.period)
    if period is None:
        check = CheckBody(name="period", ok=False, detail=f"period {record.period} is not known")
        return VerifyBody(number=number, ok=False, checks=[check])
    inputs = inputs_of(view, policies, record, period)
    checks = recompute(view, record, inputs)
    summary = _summary(record)
    return VerifyBody(
        number=number,
        ok=all(check.ok for check in checks),
        checks=check_bodies(checks),
        lines=len(_by_line(checks)),
        lines_ok=sum(_by_line(checks).values()),
        total_won=summary.payable_won,
        closed_at=instant(period.closed_at_ms),
        closed_by=period.closed_by,
        intervals=len(inputs.slices),
    )


def _by_line(checks: Sequence[Check]) -> dict[str, bool]:
    """Number of a line -> whether all its checks are ok."""
    found: dict[str, bool] = {}
    for check in checks:
        words = check.name.split()
        if words[0] == "line":
            found[words[1]] = found.get(words[1], True) and check.ok
    return found


def check_bodies(checks: Sequence[Check]) -> list[CheckBody]:
    """Checks on the wire."""
    return [CheckBody(name=check.name, ok=check.ok, detail=check.detail) for check in checks]


def _stored(view: Reader, record: InvoiceRecord, slices: Sequence[SliceRecord]) -> list[StoredTransaction]:
    """The ledger's transactions of these slices and of this invoice's closing."""
    keys = (f"{ledger.ROUNDING}:{record.number}", f"{ledger.VAT}:{record.number}")
    rows = view.select(LedgerTxRecord, Where("idem_key", "in", keys))
    rows += of_sequences(view, LedgerTxRecord, {part.ledger_seq for part in slices})
    return with_entries(view, rows)


def with_entries(view: Reader, rows: Sequence[LedgerTxRecord]) -> list[StoredTransaction]:
    """Transactions with their entries."""
    entries: dict[int, list[LedgerEntryRecord]] = {}
    for entry in of_sequences(view, LedgerEntryRecord, {row.seq for row in rows}):
        entries.setdefault(entry.seq, []).append(entry)
    return [(row, entries.get(row.seq, [])) for row in rows]
