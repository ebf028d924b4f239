"""Every rounding and tax case of the accounting reference (section 2.5), each with its arithmetic in the row.

(a) integers, one division; (b) once a line; (c) tax once for an invoice and treatment, on the supply value; (d) cut off
to 1 won, half up where chosen, half even never; (e) a quantum of 10 won for the treasury; (f) the difference is booked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from scheduler.core.accounting import ledger
from scheduler.core.accounting.invoice import build, closing_transactions
from scheduler.core.accounting.invoice_model import Invoice
from scheduler.core.accounting.rating import PolicyPrices, Price, PriceBook, rate, rate_won
from scheduler.core.accounting.rounding import DOWN_TO_ONE_WON, Rounding, RoundingMode
from scheduler.core.effective import ClassPrice
from scheduler.core.model import Tier
from scheduler.core.units import PPM_ONE
from tests.unit.core.accounting.invoices import ORG, sample_inputs, sequenced, stored_ledger
from tests.unit.core.accounting.worlds import H100, HOUR, usage_slice

DOWN, UP = RoundingMode.DOWN, RoundingMode.HALF_UP
TENS, TENS_UP, ONE_UP = Rounding(DOWN, 10), Rounding(UP, 10), Rounding(UP, 1)
WON = 1_000_000


class Case(NamedTuple):
    """Lines of one GPU-hour each at ``list_won`` of which the tenant pays ``of_list`` (parts per million)."""

    lines: int
    list_won: int
    of_list_ppm: int
    rounding: Rounding
    vat_rounding: Rounding
    treatment: str
    tenant_won: int
    vat_won: int


CASES = {
    "(b)(d) 1 x 333.335 -> 333; tax 33.3 -> 33": Case(
        1, 1_000, 333_335, DOWN_TO_ONE_WON, DOWN_TO_ONE_WON, "taxable", 333, 33
    ),
    "(b)(c) 3 x 333.335 -> 3 x 333 = 999; tax on 999 = 99.9 -> 99": Case(
        3, 1_000, 333_335, DOWN_TO_ONE_WON, DOWN_TO_ONE_WON, "taxable", 999, 99
    ),
    "(c)(d) the same, tax half up: 99.9 -> 100": Case(3, 1_000, 333_335, DOWN_TO_ONE_WON, ONE_UP, "taxable", 999, 100),
    "(c) 3 x 334: tax on 1,002 = 100.2 -> 100, line by line it were 3 x 33 = 99": Case(
        3, 1_000, 334_000, DOWN_TO_ONE_WON, DOWN_TO_ONE_WON, "taxable", 1_002, 100
    ),
    "(d) 5 x 0.5 = 2.5 -> 2": Case(1, 5, 500_000, DOWN_TO_ONE_WON, DOWN_TO_ONE_WON, "taxable", 2, 0),
    "(d) half up 2.5 -> 3, tax 0.3 -> 0": Case(1, 5, 500_000, ONE_UP, ONE_UP, "taxable", 3, 0),
    "(d) half up 7 x 0.5 = 3.5 -> 4; half even would agree, 2.5 tells them apart": Case(
        1, 7, 500_000, ONE_UP, DOWN_TO_ONE_WON, "taxable", 4, 0
    ),
    "(e) 1,239 x 1 in tens -> 1,230; tax 123.0 in ones -> 123": Case(
        1, 1_239, 1_000_000, TENS, DOWN_TO_ONE_WON, "taxable", 1_230, 123
    ),
    "(e) 2 x 1,239 in tens -> 2 x 1,230 = 2,460; tax 246 in tens -> 240": Case(
        2, 1_239, 1_000_000, TENS, TENS, "taxable", 2_460, 240
    ),
    "(e) half up in tens: 1,235 -> 1,240; tax 124 -> 120": Case(
        1, 1_235, 1_000_000, TENS_UP, TENS_UP, "taxable", 1_240, 120
    ),
    "zero-rated: 1,002, no tax": Case(3, 1_000, 334_000, DOWN_TO_ONE_WON, ONE_UP, "zero_rated", 1_002, 0),
    "exempt: 1,002, no tax": Case(3, 1_000, 334_000, DOWN_TO_ONE_WON, ONE_UP, "exempt", 1_002, 0),
}


def invoice_of(case: Case) -> tuple[Invoice, int]:
    """The case as an invoice, and what the ledger then says that the organisation owes, in micro-won."""
    prices = PolicyPrices({Tier.GUARANTEED: PPM_ONE}, {"sme": ClassPrice(case.of_list_ppm)})
    slices = [usage_slice(f"job{'abcdefg'[n] * 3}", HOUR, project=f"p{n}") for n in range(case.lines)]
    inputs = replace(
        sample_inputs(),
        slices=sequenced(slices),
        book=PriceBook({1: prices}, {"ratecard-2026-2": {H100: case.list_won}}),
        org=replace(ORG, tax_treatment=case.treatment),
        rounding=case.rounding,
        vat_rounding=case.vat_rounding,
    )
    entries = [entry for _, found in stored_ledger(inputs) for entry in found]
    return build(inputs), ledger.balances(entries)[ledger.receivable("hanbit-ai"), ledger.MICROWON]


@pytest.mark.parametrize("name", CASES)
def test_a_case(name: str) -> None:
    case = CASES[name]
    invoice, owed = invoice_of(case)
    totals = invoice.totals
    assert len(invoice.lines) == case.lines
    assert (totals.tenant_won, totals.vat_won) == (case.tenant_won, case.vat_won)
    assert totals.payable_won == case.tenant_won + case.vat_won
    assert owed == totals.payable_won * WON  # (f): after the booked difference, the ledger owes what the invoice says
    exact = case.lines * case.list_won * case.of_list_ppm  # micro-won, as the slices have it: no fraction is lost here
    difference = {part.account: part.microwon for part in invoice.rounding}.get("receivable:hanbit-ai", 0)
    assert difference == case.tenant_won * WON - exact
    terms = invoice.terms
    assert (terms.line_rounding, terms.line_quantum_won) == (case.rounding.mode, case.rounding.quantum_won)
    assert (terms.vat_rounding, terms.vat_quantum_won) == (case.vat_rounding.mode, case.vat_rounding.quantum_won)


def test_the_tax_of_three_parts_of_333_335_won() -> None:
    """(c) Taxed one by one 33.3335 -> 33, three times 99; on their sum 1,000.005 x 0.1 = 100.0005 -> 100."""
    tenth_of_milliwon = 10 * 1_000
    one_by_one = [DOWN_TO_ONE_WON.won(333_335, tenth_of_milliwon) for _ in range(3)]
    assert sum(one_by_one) == 99
    assert DOWN_TO_ONE_WON.won(3 * 333_335, tenth_of_milliwon) == 100


def test_one_division() -> None:
    """(a) 777 ms of one GPU at 1,333 won: 777,000 x 1,333 / 3.6e9 = 0.2877.. won = 287,705 micro-won, cut off once."""
    price = Price(1_333, PPM_ONE, ClassPrice(PPM_ONE))
    assert rate(777_000, price).tenant_microwon == 777_000 * 1_333 * WON // 3_600_000_000 == 287_705
    assert rate_won(777_000, price, DOWN_TO_ONE_WON).tenant_won == 0


def test_what_rounding_takes_is_an_entry_of_its_own() -> None:
    """(f) 333.335 -> 333: 0.335 won from the tenant, and the discount's 666.665 -> 667 takes as much: rest 0."""
    invoice, _ = invoice_of(CASES["(b)(d) 1 x 333.335 -> 333; tax 33.3 -> 33"])
    [rounding, _] = closing_transactions(invoice)
    assert {entry.account: entry.amount for entry in rounding.entries} == {
        "receivable:hanbit-ai": -335_000,
        "discount:sme": 335_000,
    }
    tens, _ = invoice_of(CASES["(e) 1,239 x 1 in tens -> 1,230; tax 123.0 in ones -> 123"])
    [rounding, _] = closing_transactions(tens)
    assert {entry.account: entry.amount for entry in rounding.entries} == {
        "receivable:hanbit-ai": -9 * WON,
        "rounding": 9 * WON,
    }
