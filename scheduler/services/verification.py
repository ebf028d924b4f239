"""Verifying what was issued, whole: the books, the PDFs that were handed out, the credit notes, and Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.core.accounting.credit import CreditInputs
from scheduler.core.accounting.credit_check import verify_credit as verify_text
from scheduler.core.accounting.credit_model import CreditNote
from scheduler.core.accounting.credit_rendering import parse_credit
from scheduler.core.accounting.ledger import CREDIT
from scheduler.core.accounting.rendering import parse_invoice
from scheduler.core.accounting.verification import Check
from scheduler.core.errors import DureError
from scheduler.core.facts import CreditNoteIssued
from scheduler.core.records import (
    CreditNoteRecord,
    CreditProposalRecord,
    InvoiceRecord,
    LedgerTxRecord,
    PeriodRecord,
    SliceRecord,
)
from scheduler.schema.bodies import CheckBody, VerifyBody
from scheduler.schema.quantities import UNREADABLE_WON
from scheduler.services import invoices, pdfs
from scheduler.services.actors import Actor
from scheduler.services.credits import consent_of, found_note, left_of, notes_of, records_of, shares
from scheduler.services.effective import EffectivePolicies
from scheduler.services.invoices import check_bodies, issued, with_entries
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Reader, Renderer, Store, Where, Witness

PROMETHEUS = "Prometheus"


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What is asked beside the books: what makes PDFs, and Prometheus where it is configured."""

    renderer: Renderer
    prometheus: Witness | None = None


def verify_invoice(
    store: Store, policies: EffectivePolicies, actor: Actor, number: str, witnesses: Witnesses
) -> VerifyBody:
    """Recompute an invoice and compare all there is; it stands only if nothing that could be asked differs."""
    with store.read() as view:
        body = invoices.verify(view, policies, actor, number)
        record = invoices.found_invoice(view, actor, number)
        period = view.get(PeriodRecord, record.period)
        notes, credited = _credits(view, number)
        renderings = pdfs.handed_out(view, number)
        billed = _billed_in(view, record, period)
    extra = tuple(pdfs.checks(witnesses.renderer, record.invoice_json, renderings))
    seen = _second_opinion(witnesses.prometheus, record.org, billed, period)
    ok = body.ok and seen.ok and all(check.ok for check in extra)
    return body.model_copy(
        update={"ok": ok, "pdfs": extra, "prometheus": seen, "credit_notes": notes, "credited_won": credited}
    )


def verify_credit(
    store: Store, policies: EffectivePolicies, actor: Actor, number: str, renderer: Renderer
) -> VerifyBody:
    """Recompute a credit note from its invoice's text, the notes before it, the proposal and the ledger."""
    with store.read() as view:
        record = found_note(view, actor, number)
        checks, lines, intervals = _note_checks(view, policies, record)
        period = view.get(PeriodRecord, record.period)
        renderings = pdfs.handed_out(view, number)
    extra = tuple(pdfs.checks(renderer, record.note_json, renderings))
    good = [check for check in checks if check.name.startswith("line ") and check.ok]
    return VerifyBody(
        number=number,
        ok=all(check.ok for check in checks) and all(check.ok for check in extra),
        checks=check_bodies(checks),
        lines=lines,
        lines_ok=len(good),
        intervals=intervals,
        total_won=_credited(record),
        closed_at=instant(period.closed_at_ms) if period else "",
        closed_by=period.closed_by if period else "",
        pdfs=extra,
    )


def _note_checks(view: Reader, policies: EffectivePolicies, record: CreditNoteRecord) -> tuple[list[Check], int, int]:
    """The note's checks, its lines, and the slices behind its invoice."""
    wanted = CreditNoteIssued(record.number, record.invoice, record.org, record.period, record.sha256)
    checks = [issued(view, record.issued_seq, wanted)]
    invoice, proposal = view.get(InvoiceRecord, record.invoice), view.get(CreditProposalRecord, record.proposal)
    try:
        note = parse_credit(record.note_json)
        if invoice is None or proposal is None:
            raise ValueError("its invoice or its proposal is not there any more")
        inputs = _inputs(view, policies, record, note, invoice, proposal)
    except (ValueError, DureError) as error:
        return [*checks, Check("inputs", False, str(error))], 0, 0
    key = Where("idem_key", "=", f"{CREDIT}:{record.number}")
    stored = with_entries(view, view.select(LedgerTxRecord, key))
    checks += verify_text(record.note_json, sha256=record.sha256, inputs=inputs, stored=stored)
    of_invoice = (Where("period", "=", invoice.period), Where("org", "=", invoice.org))
    return checks, len(note.lines), view.count(SliceRecord, *of_invoice)


def _inputs(
    view: Reader,
    policies: EffectivePolicies,
    record: CreditNoteRecord,
    note: CreditNote,
    invoice: InvoiceRecord,
    proposal: CreditProposalRecord,
) -> CreditInputs:
    return CreditInputs(
        number=record.number,
        issued_at_ms=record.issued_at_ms,
        invoice=parse_invoice(invoice.invoice_json),
        invoice_sha256=invoice.sha256,
        earlier=notes_of(view, invoice.number)[: record.place - 1],
        left=left_of(proposal),
        # Who approved stands with the hash; nothing else names it.
        consent=consent_of(proposal, note.consent.approved_by),
        shares=shares(view, policies, invoice),
        booked_in=record.period,
    )


def _credits(view: Reader, number: str) -> tuple[tuple[str, ...], int]:
    """Numbers of the invoice's notes, and what they credit; damaged ones say so when they are verified themselves."""
    records = records_of(view, number)
    amounts = [_credited(record) for record in records]
    return tuple(record.number for record in records), sum(amount for amount in amounts if amount > 0)


def _credited(record: CreditNoteRecord) -> int:
    try:
        return parse_credit(record.note_json).totals.payable_won
    except ValueError:
        return UNREADABLE_WON


def _billed_in(view: Reader, record: InvoiceRecord, period: PeriodRecord | None) -> int:
    """Billed usage of the organisation that began in the period, whichever invoice has it: what Prometheus saw then."""
    if period is None:
        return 0
    inside = (Where("start_ms", ">=", period.start_ms), Where("start_ms", "<", period.end_ms))
    return view.total(SliceRecord, "billed_milli_gpu_ms", Where("org", "=", record.org), *inside)


def _second_opinion(witness: Witness | None, org: str, billed: int, period: PeriodRecord | None) -> CheckBody:
    if witness is None or period is None:
        detail = "not asked: the server knows no Prometheus (DURE_PROMETHEUS)"
        return CheckBody(name=PROMETHEUS, ok=True, asked=False, detail=detail)
    try:
        ok, detail = witness.compare(org, billed, period.start_ms, period.end_ms)
    except DureError as error:
        return CheckBody(name=PROMETHEUS, ok=True, asked=False, detail=f"could not be asked: {error.message}")
    return CheckBody(name=PROMETHEUS, ok=ok, detail=detail)
