"""Credit notes: an invoice less its notes is what is left, to the won and in the ledger; notes can be made again."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from scheduler.core.accounting import books, ledger
from scheduler.core.accounting.credit import CreditInputs, Shares, left_after, make, shares_of, standing, transaction
from scheduler.core.accounting.credit_check import verify_credit
from scheduler.core.accounting.credit_model import Consent, CreditNote, CreditReason
from scheduler.core.accounting.credit_rendering import credit_csv, credit_json, parse_credit
from scheduler.core.accounting.invoice import InvoiceInputs, build
from scheduler.core.accounting.invoice_model import Invoice
from scheduler.core.accounting.rating import rate_won
from scheduler.core.accounting.rendering import invoice_json
from scheduler.core.accounting.rounding import Rounding, RoundingMode
from scheduler.core.accounting.verification import StoredTransaction, line_price
from scheduler.core.codec import sha256_hex
from scheduler.core.errors import DureError
from scheduler.core.units import PPM_ONE, parse_ppm
from tests.unit.core.accounting.invoices import END_MS, drawn_inputs, sample_inputs, stored_ledger

WRONG, CHANGED, TWICE = CreditReason.WRONG_ENTRY, CreditReason.SUPPLY_CHANGED, CreditReason.ISSUED_TWICE
INPUTS = sample_inputs()
INVOICE = build(INPUTS)
SHARES = shares_of(INPUTS)


def consent(reason: CreditReason) -> Consent:
    """Two people who agree."""
    return Consent("abcdefghijkl", reason, "a node was slow", "kim", "2026-11-10T00:00:00.000Z", "lee")


def credit(
    reason: CreditReason,
    left: dict[int, int],
    earlier: tuple[CreditNote, ...] = (),
    invoice: Invoice = INVOICE,
    shares: Shares = SHARES,
) -> CreditInputs:
    """Inputs of the next note of the invoice."""
    return CreditInputs(
        number=f"DURE-CN-2026-{len(earlier) + 1:06d}",
        issued_at_ms=END_MS + 1_000_000_000,
        invoice=invoice,
        invoice_sha256=sha256_hex(invoice_json(invoice)),
        earlier=earlier,
        left=left,
        consent=consent(reason),
        shares=shares,
        booked_in="2026-11",
    )


def stored_note(note: CreditNote, seq: int) -> StoredTransaction:
    """Its transaction as the store keeps it."""
    booked = transaction(note)
    return ledger.tx_record(booked, seq, END_MS, note.booked_in), ledger.entry_records(booked, seq)


def test_part_of_a_line_by_hand() -> None:
    """Line 2 of hanbit-ai: 4.34 GPU-hours of borrow are billed; 2 of them shall stay."""
    line = next(line for line in INVOICE.lines if (line.project, line.tier) == ("nlp", "borrow"))
    note = make(credit(CHANGED, {line.number: 7_200_000_000}))
    [taken] = note.lines
    # was 4 x 3,600,000 ms + 1,234,567 ms = 15,634,567,000 milli-GPU-ms; left 2 h x 2,900 x 0.4 = 2,320, of it 232
    assert line.billed_milli_gpu_ms == 15_634_567_000
    assert (taken.before_milli_gpu_ms, taken.after_milli_gpu_ms) == (15_634_567_000, 7_200_000_000)
    # 15,634,567,000 / 3.6e9 x 2,900 x 0.4 = 5,037.8.. -> 5,037 and 503; less 2,320 and 232
    assert (line.product_won, line.tenant_won) == (5_037, 503)
    assert (taken.product_won, taken.tenant_won, taken.funder_won) == (5_037 - 2_320, 503 - 232, 4_534 - 2_088)
    assert taken.gpu_hours == "2.342935"  # 8,434,567,000 / 3.6e9 = 2.34293..., cut off
    # tax on the whole invoice: 383 on 3,834; on 3,834 - 271 = 3,563 it is 356
    assert (note.totals.tenant_won, note.totals.supply_value_won) == (271, 271)
    assert (INVOICE.totals.vat_won, note.totals.vat_won, note.totals.payable_won) == (383, 27, 298)
    tax = note.tax_invoice
    assert (tax.document, tax.reason, tax.supply_value_won, tax.vat_won) == ("amended_tax_invoice", "02", -271, -27)
    assert (tax.original_written_on, tax.written_on) == ("2026-10-31", "2026-11-12")


@pytest.mark.parametrize("reason", [WRONG, TWICE])
def test_the_whole_invoice_leaves_nothing_in_the_ledger_but_held_usage(reason: CreditReason) -> None:
    note = make(credit(reason, {}))
    assert note.totals == INVOICE.totals and note.funding == INVOICE.funding
    assert note.tax_invoice.written_on == INVOICE.tax_invoice.written_on
    rows = [*stored_ledger(INPUTS), stored_note(note, 40)]
    balances = ledger.balances(entry for _, entries in rows for entry in entries)
    left = {account for (account, _), amount in balances.items() if amount}
    assert left == {"capacity:seoul", "used:hanbit-ai/nlp", "used:hanbit-ai/vision", "used:hanbit-ai/waits"}


def expected_payable(invoice: Invoice, left: dict[int, int]) -> int:
    """What an invoice of these quantities would ask for, computed here from its lines."""
    terms, tenant, supply = invoice.terms, 0, 0
    for line in invoice.lines:
        won = rate_won(left[line.number], line_price(line), Rounding(terms.line_rounding, terms.line_quantum_won))
        tenant += won.tenant_won
        supply += won.tenant_won + (won.funder_won if line.in_supply_value else 0)
    return tenant + Rounding(terms.vat_rounding, terms.vat_quantum_won).won(
        supply * parse_ppm(terms.vat_factor), PPM_ONE
    )


def drawn_notes(rng: random.Random, inputs: InvoiceInputs, invoice: Invoice) -> list[CreditInputs]:
    """Up to four notes of an invoice, each on some lines that still have something; perhaps the last takes the rest."""
    shares, notes = shares_of(inputs), list[CreditInputs]()
    made: tuple[CreditNote, ...] = ()
    for _ in range(rng.randint(1, 4)):
        now = {number: billed for number, billed in standing(invoice, made).items() if billed}
        if not now:
            break
        if rng.random() < 0.25:
            asked = credit(rng.choice((WRONG, TWICE)), {}, made, invoice, shares)
        else:
            lines = rng.sample(sorted(now), rng.randint(1, len(now)))
            left = {number: rng.choice((0, now[number] - 1, rng.randrange(now[number]))) for number in lines}
            asked = credit(CHANGED, left, made, invoice, shares)
        notes.append(asked)
        made = (*made, make(asked))
    return notes


@pytest.mark.parametrize("seed", range(150))
def test_an_invoice_less_its_notes_is_what_is_left(seed: int) -> None:
    rng = random.Random(seed)
    rounding = Rounding(rng.choice(list(RoundingMode)), rng.choice((1, 1, 10)))
    inputs = drawn_inputs(rng, rounding)
    invoice = build(inputs)
    rows, payable = stored_ledger(inputs), invoice.totals.payable_won
    made: tuple[CreditNote, ...] = ()
    for asked in drawn_notes(rng, inputs, invoice):
        note = make(asked)
        made = (*made, note)
        rows.append(stored_note(note, len(rows) + 1))
        left = standing(invoice, made)
        payable -= note.totals.payable_won
        assert note.totals.payable_won >= 0 and 0 <= payable == expected_payable(invoice, left)
        balances = ledger.balances(entry for _, entries in rows for entry in entries)
        # Whole won on what is owed, and the rest of the ledger follows.
        assert balances.get((ledger.receivable("hanbit-ai"), ledger.MICROWON), 0) == payable * 1_000_000
        by_unit: dict[str, int] = {}
        for line in invoice.lines:
            unit = ledger.usage_unit(line.flavor)
            by_unit[unit] = by_unit.get(unit, 0) + left[line.number]
        for unit, billed in by_unit.items():
            found = [n for (account, of), n in balances.items() if of == unit and account.startswith("billed:")]
            assert sum(found) == billed
        assert all(
            check.ok
            for check in verify_credit(
                credit_json(note), sha256=sha256_hex(credit_json(note)), inputs=asked, stored=[rows[-1]]
            )
        )
        assert parse_credit(credit_json(note)) == note
    assert not books.check([row for row, _ in rows], [entry for _, entries in rows for entry in entries])
    assert payable + sum(note.totals.payable_won for note in made) == invoice.totals.payable_won


REFUSED = {
    "a whole reason with lines": (WRONG, {1: 0}, "it names no lines"),
    "a part without lines": (CHANGED, {}, "needs the lines"),
    "no such line": (CHANGED, {99: 0}, "has no line 99"),
    "as much as before": (CHANGED, {1: INVOICE.lines[0].billed_milli_gpu_ms}, "cannot be left of it"),
    "more than before": (CHANGED, {1: 10**15}, "cannot be left of it"),
    "less than nothing": (CHANGED, {1: -1}, "cannot be left of it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_credited(name: str) -> None:
    reason, left, words = REFUSED[name]
    with pytest.raises(DureError, match=words) as refused:
        left_after(INVOICE, (), reason, left)
    assert refused.value.code == "DURE-6050"


def test_nothing_is_taken_off_twice() -> None:
    whole = make(credit(WRONG, {}))
    with pytest.raises(DureError, match="nothing is left"):
        make(credit(TWICE, {}, (whole,)))
    with pytest.raises(DureError, match=r"0\.000000 GPU-hours are billed now"):
        make(credit(CHANGED, {1: 0}, (whole,)))


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"number": "DURE-CN-2026-000009"}, "identity"),
        ({"buyer_class": "startup"}, "buyer class"),
        ({"totals": replace(INVOICE.totals, vat_won=1)}, "totals"),
        ({"lines": ()}, "lines"),
        ({"bookings": ()}, "bookings"),
        ({"booked_in": "2026-12"}, "identity"),
        ({"consent": replace(consent(WRONG), approved_by="kim")}, "two people"),
    ],
)
def test_a_changed_note_is_found(change: dict[str, object], check: str) -> None:
    asked = credit(WRONG, {})
    note = make(asked)
    text = credit_json(replace(note, **change))  # type: ignore[arg-type]  # fields by name
    found = verify_credit(text, sha256=sha256_hex(text), inputs=asked, stored=[stored_note(note, 40)])
    assert check in {item.name for item in found if not item.ok}


def test_another_booking_is_found() -> None:
    asked = credit(WRONG, {})
    note = make(asked)
    text = credit_json(note)
    row, entries = stored_note(note, 40)
    for stored in ([], [(replace(row, period="2026-10"), entries)], [(row, entries[1:])], [(row, entries)] * 2):
        found = verify_credit(text, sha256=sha256_hex(text), inputs=asked, stored=stored)
        assert {item.name for item in found if not item.ok} == {"ledger"}


def test_csv_has_lines_and_totals() -> None:
    note = make(credit(WRONG, {}))
    rows = credit_csv(note).split("\r\n")
    assert len(rows) == len(note.lines) + 3 and rows[-1] == ""
    assert rows[-2].endswith(f"{note.totals.supply_value_won},{note.totals.vat_won},{note.totals.payable_won}")
