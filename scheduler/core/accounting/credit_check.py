"""Verifying an issued credit note: made again from its invoice's text, its earlier notes and the ledger, and compared.

Who asked, who approved and why are compared with the stored proposal; the hash stands with the fact of its issue, which
the caller compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scheduler.core.accounting.credit import CreditInputs, make, transaction
from scheduler.core.accounting.credit_model import CreditNote
from scheduler.core.accounting.credit_rendering import credit_json, parse_credit
from scheduler.core.accounting.verification import Check, StoredTransaction, check_of, faults_at, stored_faults
from scheduler.core.codec import sha256_hex, to_json
from scheduler.core.errors import DureError

_IDENTITY = ("apiVersion", "kind", "number", "issued_at", "currency", "booked_in")
_SECTIONS = ("invoice", "consent", "issuer", "buyer", "buyer_class", "terms", "funding", "tax_invoice", "bookings")


def verify_credit(
    text: str, *, sha256: str, inputs: CreditInputs, stored: Sequence[StoredTransaction] | None = None
) -> list[Check]:
    """Every check of a credit note's text; it stands only if all are ok.

    sha256: the hash under which it was issued. inputs: what it must follow from; for a part of an invoice, what shall
    be left is the proposal's. stored: the ledger's transactions of this note, or None to leave the ledger out.
    """
    actual = sha256_hex(text)
    checks = [check_of("sha256", [] if actual == sha256 else [f"the text's is {actual}, issued was {sha256}"])]
    try:
        note = parse_credit(text)
    except ValueError as error:
        return [*checks, Check("form", False, f"not a credit note: {error}")]
    checks.append(check_of("form", [] if credit_json(note) == text else ["the text is not in canonical form"]))
    people = note.consent
    same = people.proposed_by == people.approved_by
    checks.append(check_of("two people", ["who asked for it has approved it"] if same else []))
    try:
        expected = make(inputs)
    except DureError as error:
        return [*checks, check_of("inputs", [error.message])]
    checks += _compared(note, expected)
    checks.append(check_of("bytes", [] if credit_json(expected) == text else ["the rebuilt text is another"]))
    if stored is not None:
        checks += _ledger(expected, stored)
    return checks


def _compared(note: CreditNote, expected: CreditNote) -> Iterator[Check]:
    found, wanted = to_json(note), to_json(expected)
    yield check_of("identity", [fault for name in _IDENTITY for fault in faults_at(name, found[name], wanted[name])])
    for name in (*_SECTIONS, "totals"):
        yield check_of(name.replace("_", " "), list(faults_at(name, found[name], wanted[name])))
    count, due = len(found["lines"]), len(wanted["lines"])
    yield check_of("lines", [] if count == due else [f"there are {count}, recomputed {due}"])
    for line, due_line in zip(found["lines"], wanted["lines"], strict=False):
        yield check_of(f"line {due_line['number']}", list(faults_at("line", line, due_line)))


def _ledger(expected: CreditNote, stored: Sequence[StoredTransaction]) -> Iterator[Check]:
    booked = transaction(expected)
    known = [item for item in stored if item[0].idem_key == booked.idem_key]
    faults = list(stored_faults(booked, known[0] if known else None))
    faults += [f"sequence {item[0].seq} is of another key" for item in stored if item not in known]
    faults += ["its key is in the ledger twice"] if len(known) > 1 else []
    period = [item[0].period for item in known if item[0].period != expected.booked_in]
    faults += [f"it is booked in period {period[0]}, not {expected.booked_in}"] if period else []
    yield check_of("ledger", faults)
