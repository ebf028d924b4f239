"""Credit notes: one administrator proposes, another approves, and the note is issued and booked in one transaction."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress

from scheduler.core.accounting import credit
from scheduler.core.accounting.credit_model import Consent, CreditLine, CreditNote, CreditReason
from scheduler.core.accounting.credit_rendering import credit_csv, credit_json, parse_credit
from scheduler.core.accounting.invoice import build
from scheduler.core.accounting.invoice_model import Totals
from scheduler.core.accounting.rendering import invoice_json
from scheduler.core.codec import canonical, sha256_hex
from scheduler.core.errors import Fatal, Retry
from scheduler.core.facts import CreditNoteIssued
from scheduler.core.instants import kst_date, rfc3339_utc
from scheduler.core.records import CreditNoteRecord, CreditProposalRecord, InvoiceRecord, PeriodRecord
from scheduler.schema.bodies import CreditBody, CreditLineBody, CreditRequest, CreditSummary
from scheduler.services.actors import Actor, require
from scheduler.services.effective import EffectivePolicies
from scheduler.services.invoices import found_invoice, inputs_of, parsed_invoice
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.services.posting import post
from scheduler.services.submit import Conflict, Invalid, NotFound

ADMIN = "an administrator of the pool"
CREDITS_MAX = 10_000
NOTES_MAX = 10_000
"""Of one invoice."""
NOT_FOUND = "DURE-3022"
SAME_PERSON = "DURE-6051"
OUTDATED = "DURE-6052"
DAMAGED = "DURE-6053"
NOT_RECOMPUTED = "DURE-6054"
NO_OPEN_PERIOD = "DURE-6055"


class _Repeated(Exception):
    """It is there already: the transaction is rolled back, and with it the number that was taken."""


def propose(store: Store, actor: Actor, request: CreditRequest, now_ms: int) -> tuple[CreditBody, bool]:
    """Ask to take something off an invoice; the same question again is the same proposal. Returns whether it is new.

    Raises NotFound for an unknown invoice, Invalid for what cannot be taken off.
    """
    require(actor.is_admin, "propose a credit note", ADMIN)
    left = {line.number: line.left_milli_gpu_ms for line in request.lines}
    if len(left) < len(request.lines):
        raise Invalid(credit.CANNOT, "a line is named twice", "name each line once")
    with store.write() as tx:
        record = found_invoice(tx, actor, request.invoice)
        notes = notes_of(tx, record.number)
        proposal = CreditProposalRecord(
            id=_id_of(request, left, len(notes), actor.user),
            invoice=record.number,
            org=record.org,
            reason=request.reason,
            text=request.explanation,
            left_json=canonical(_texts(left)),
            notes_before=len(notes),
            proposed_by=actor.user,
            proposed_at_ms=now_ms,
        )
        known = tx.get(CreditProposalRecord, proposal.id)
        if known is None:
            _taken_off(record, notes, proposal)
            tx.add(proposal)
        return _body(tx, known or proposal), known is None


def _id_of(request: CreditRequest, left: credit.Left, notes: int, user: str) -> str:
    asked = [request.invoice, request.reason, request.explanation, _texts(left), notes, user]
    digest = hashlib.sha256(canonical(asked).encode()).digest()
    return base64.b32encode(digest).decode()[:12].lower()


def _texts(left: credit.Left) -> dict[str, int]:
    return {str(number): quantity for number, quantity in left.items()}


def approve(
    store: Store, policies: EffectivePolicies, actor: Actor, proposal_id: str, now_ms: int
) -> tuple[CreditBody, bool]:
    """Issue and book the credit note that somebody else proposed; a repeat changes nothing. Returns whether it is new.

    Raises NotFound, and Conflict when the same person approves or the invoice was credited since.
    """
    require(actor.is_admin, "approve a credit note", ADMIN)
    with suppress(_Repeated), store.write() as tx:
        year = kst_date(now_ms)[:4]
        number = f"DURE-CN-{year}-{tx.next_number(f'credit:{year}'):06d}"
        proposal = _proposal(tx, proposal_id)
        if _note_of(tx, proposal.id) is not None:
            raise _Repeated
        if proposal.proposed_by == actor.user:
            message = f"{actor.user} has proposed it, and two people must agree"
            raise Conflict(SAME_PERSON, message, f"another administrator runs: dure credit approve {proposal.id}")
        record = found_invoice(tx, actor, proposal.invoice)
        notes = notes_of(tx, record.number)
        if len(notes) != proposal.notes_before:
            message = f"invoice {record.number} was credited since this was proposed"
            raise Conflict(OUTDATED, message, f"look at it anew: dure credit list --invoice {record.number}")
        _issue(tx, _inputs(tx, policies, record, notes, proposal, number, actor.user, now_ms), now_ms)
        return _body(tx, proposal), True
    with store.read() as view:
        return _body(view, _proposal(view, proposal_id)), False


def _inputs(
    tx: Writer,
    policies: EffectivePolicies,
    record: InvoiceRecord,
    notes: Sequence[CreditNote],
    proposal: CreditProposalRecord,
    number: str,
    approver: str,
    now_ms: int,
) -> credit.CreditInputs:
    return credit.CreditInputs(
        number=number,
        issued_at_ms=now_ms,
        invoice=parsed_invoice(record),
        invoice_sha256=record.sha256,
        earlier=notes,
        left=left_of(proposal),
        consent=consent_of(proposal, approver),
        shares=shares(tx, policies, record),
        booked_in=_open_period(tx),
    )


def shares(view: Reader, policies: EffectivePolicies, record: InvoiceRecord) -> credit.Shares:
    """The clusters behind the invoice's lines; raises Conflict when it cannot be recomputed any more."""
    period = view.get(PeriodRecord, record.period)
    inputs = inputs_of(view, policies, record, period) if period else None
    with suppress(Fatal):
        if inputs is not None and invoice_json(build(inputs)) == record.invoice_json:
            return credit.shares_of(inputs)
    message = f"invoice {record.number} cannot be recomputed from its slices, so nothing of it can be reversed exactly"
    raise Conflict(NOT_RECOMPUTED, message, f"dure invoice verify {record.number}")


def _open_period(tx: Writer) -> str:
    """The period in which it is booked; guarded, so that it is open still when this is committed."""
    found = tx.select(PeriodRecord, Where("state", "=", "open"), order=("start_ms",), limit=1)
    if not found:
        raise Conflict(NO_OPEN_PERIOD, "there is no open period to book it in", "dure period list")
    if not tx.change(found[0], version=found[0].version):
        raise Retry("DURE-6001", "the period changed at the same moment", "try again")
    return found[0].id


def _issue(tx: Writer, inputs: credit.CreditInputs, now_ms: int) -> None:
    note = credit.make(inputs)
    post(tx, credit.transaction(note), note.booked_in, now_ms)
    text = credit_json(note)
    digest, org = sha256_hex(text), note.buyer.name
    fact = CreditNoteIssued(note.number, note.invoice.number, org, note.booked_in, digest)
    record = CreditNoteRecord(
        number=note.number,
        invoice=note.invoice.number,
        place=note.invoice.place,
        proposal=note.consent.proposal,
        org=org,
        period=note.booked_in,
        issued_at_ms=now_ms,
        note_json=text,
        sha256=digest,
        issued_seq=tx.append(fact, now_ms),
    )
    tx.add(record)


def list_credits(view: Reader, actor: Actor, invoice: str, org: str) -> list[CreditSummary]:
    """Credits that the actor may read, newest first; proposals only for who reads everything. "" filters nothing."""
    where = [Where(name, "=", value) for name, value in (("invoice", invoice), ("org", org)) if value]
    rows = view.select(CreditProposalRecord, *where, order=("-proposed_at_ms", "id"), limit=CREDITS_MAX)
    bodies = (_body(view, row) for row in rows if actor.reads_org(row.org))
    return [_summary(body) for body in bodies if body.number or actor.reads_all]


def get_credit(view: Reader, actor: Actor, name: str) -> CreditBody:
    """A credit by the number of its note or the id of its proposal; raises NotFound alike for absent and hidden."""
    note = view.get(CreditNoteRecord, name)
    proposal = view.get(CreditProposalRecord, note.proposal if note else name)
    if proposal is not None and actor.reads_org(proposal.org):
        body = _body(view, proposal)
        if body.number or actor.reads_all:
            return body
    raise NotFound(NOT_FOUND, f"no credit {name} that you may read", "dure credit list")


def found_note(view: Reader, actor: Actor, number: str) -> CreditNoteRecord:
    """An issued credit note; raises NotFound alike for absent and hidden."""
    record = view.get(CreditNoteRecord, number)
    if record is None or not actor.reads_org(record.org):
        raise NotFound(NOT_FOUND, f"no credit note {number} that you may read", "dure credit list")
    return record


def credit_csv_text(view: Reader, actor: Actor, number: str) -> str:
    """The note's lines and totals as CSV; raises Conflict when the stored text is no credit note any more."""
    return credit_csv(_parsed(found_note(view, actor, number)))


def records_of(view: Reader, invoice: str) -> list[CreditNoteRecord]:
    """The invoice's credit notes, in order."""
    return view.select(CreditNoteRecord, Where("invoice", "=", invoice), order=("place",), limit=NOTES_MAX)


def notes_of(view: Reader, invoice: str) -> tuple[CreditNote, ...]:
    """The same, read; raises Conflict for one that is damaged."""
    return tuple(_parsed(record) for record in records_of(view, invoice))


def consent_of(proposal: CreditProposalRecord, approver: str) -> Consent:
    """Who asked for it and why, by the proposal, and who has approved."""
    return Consent(
        proposal.id,
        CreditReason(proposal.reason),
        proposal.text,
        proposal.proposed_by,
        rfc3339_utc(proposal.proposed_at_ms),
        approver,
    )


def left_of(proposal: CreditProposalRecord) -> dict[int, int]:
    """What a proposal leaves of which line."""
    return {int(number): left for number, left in json.loads(proposal.left_json).items()}


def _parsed(record: CreditNoteRecord) -> CreditNote:
    try:
        return parse_credit(record.note_json)
    except ValueError as error:
        message = f"the stored text of {record.number} is damaged: {error}"
        raise Conflict(DAMAGED, message, f"dure credit verify {record.number}") from error


def _taken_off(
    record: InvoiceRecord, notes: Sequence[CreditNote], proposal: CreditProposalRecord
) -> tuple[tuple[CreditLine, ...], Totals]:
    try:
        return credit.taken_off(parsed_invoice(record), notes, CreditReason(proposal.reason), left_of(proposal))
    except Conflict:
        raise
    except Fatal as error:
        raise Invalid(error.code, error.message, error.fix) from error


def _proposal(view: Reader, proposal_id: str) -> CreditProposalRecord:
    found = view.get(CreditProposalRecord, proposal_id)
    if found is None:
        raise NotFound(NOT_FOUND, f"no proposal {proposal_id}", "dure credit list")
    return found


def _note_of(view: Reader, proposal: str) -> CreditNoteRecord | None:
    found = view.select(CreditNoteRecord, Where("proposal", "=", proposal), limit=1)
    return found[0] if found else None


def _body(view: Reader, proposal: CreditProposalRecord) -> CreditBody:
    """The credit as it is: what its note says, or what it would take off now."""
    record = _note_of(view, proposal.id)
    if record is not None:
        note = _parsed(record)
        body = _filled(proposal, "issued", note.lines, note.totals)
        found = {"number": record.number, "approved_by": note.consent.approved_by, "booked_in": note.booked_in}
        times = {"issued_at": instant(record.issued_at_ms), "sha256": record.sha256, "text": record.note_json}
        return body.model_copy(update={**found, **times})
    invoice = view.get(InvoiceRecord, proposal.invoice)
    notes = notes_of(view, proposal.invoice)
    if invoice is None or len(notes) != proposal.notes_before:
        return _filled(proposal, "outdated", (), Totals(**dict.fromkeys(Totals.__slots__, 0)))
    return _filled(proposal, "proposed", *_taken_off(invoice, notes, proposal))


def _filled(proposal: CreditProposalRecord, state: str, lines: Sequence[CreditLine], totals: Totals) -> CreditBody:
    return CreditBody(
        id=proposal.id,
        state=state,
        invoice=proposal.invoice,
        org=proposal.org,
        reason=proposal.reason,
        explanation=proposal.text,
        proposed_by=proposal.proposed_by,
        proposed_at=instant(proposal.proposed_at_ms),
        product_won=totals.product_won,
        subsidy_won=totals.subsidy_won,
        supply_won=totals.supply_value_won,
        vat_won=totals.vat_won,
        payable_won=totals.payable_won,
        lines=[CreditLineBody(**{name: getattr(line, name) for name in CreditLineBody.model_fields}) for line in lines],
    )


def _summary(body: CreditBody) -> CreditSummary:
    return CreditSummary(**body.model_dump(exclude={"kind", "lines", "text"}))
