"""The invoice: its lines, sums, tax, rounding and text, and that the same usage always makes the same one."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from scheduler.core.accounting import ledger
from scheduler.core.accounting.invoice import (
    InvoiceInputs,
    build,
    closing_transactions,
    gpu_hours,
    problems,
)
from scheduler.core.accounting.invoice_model import Invoice
from scheduler.core.accounting.rating import PolicyPrices, PriceBook
from scheduler.core.accounting.rendering import invoice_csv, invoice_json, parse_invoice
from scheduler.core.accounting.rounding import Rounding, RoundingMode
from scheduler.core.effective import ClassPrice
from scheduler.core.errors import Fatal
from scheduler.core.model import Tier
from tests.support.golden import assert_golden
from tests.unit.core.accounting import oracle
from tests.unit.core.accounting.invoices import (
    END_MS,
    ORG,
    PERIOD,
    drawn_inputs,
    sample_inputs,
    sequenced,
    stored_ledger,
)
from tests.unit.core.accounting.worlds import BOOK, H100, HOUR, usage_slice

GOLDEN = Path(__file__).parent / "golden"
WON = 1_000_000


def invoice_of(*slices: object, **change: object) -> Invoice:
    """The sample's invoice over other slices."""
    made = sequenced(slices)  # type: ignore[arg-type]  # only slices are passed
    return build(replace(sample_inputs(), slices=made, **change))  # type: ignore[arg-type]  # fields by name


def test_the_sample_as_json_and_csv() -> None:
    invoice = build(sample_inputs())
    assert_golden(GOLDEN / "invoice.json", invoice_json(invoice) + "\n")
    assert_golden(GOLDEN / "invoice.csv", invoice_csv(invoice).replace("\r\n", "\n"))


def test_the_example_of_the_design() -> None:
    """List 2,900, borrow 0.4 = 1,160; SME 0.10 pays 116, MSIT 1,044; tax 11.6 -> 11."""
    invoice = invoice_of(usage_slice("jobaaaa", HOUR, tier=Tier.BORROW))
    (line,) = invoice.lines
    assert (line.list_won, line.product_won, line.tenant_won, line.funder_won) == (2_900, 1_160, 116, 1_044)
    assert (line.tier_factor, line.class_factor, line.funder, line.gpu_hours) == ("0.4", "0.1", "MSIT", "1.000000")
    totals = invoice.totals
    assert (totals.supply_value_won, totals.vat_won, totals.payable_won, totals.subsidy_won) == (116, 11, 127, 1_044)
    assert [(part.fund, part.won) for part in invoice.funding] == [("MSIT", 1_044)]
    assert invoice.rounding == ()


def test_a_line_is_rounded_once_and_its_rest_is_named() -> None:
    """10 min at 1,333: 222.1666; tenant 0.1: 22.2166 -> 22; product 222 - 22 = 200 for 199.95 of the fund."""
    invoice = invoice_of(usage_slice("jobaaaa", HOUR // 6, flavor="a100-80g"))
    (line,) = invoice.lines
    assert (line.list_won, line.product_won, line.tenant_won, line.funder_won) == (222, 222, 22, 200)
    assert {part.account: part.microwon for part in invoice.rounding} == {
        "receivable:hanbit-ai": 22 * WON - 22_216_666,
        "funder_receivable:MSIT": 200 * WON - (222_166_666 - 22_216_666),
    }


THREE = [usage_slice(f"job{name}", HOUR, project=name, class_name="third") for name in ("aaa", "bbb", "ccc")]
TAX = {
    "once, on the sum: (334 + 334 + 334) x 0.1 = 100.2 -> 100": ("taxable", RoundingMode.DOWN, 1, 1_002, 100),
    "half up": ("taxable", RoundingMode.HALF_UP, 1, 1_002, 100),
    "in tens for the treasury: 100": ("taxable", RoundingMode.DOWN, 10, 1_002, 100),
    "zero-rated": ("zero_rated", RoundingMode.DOWN, 1, 1_002, 0),
    "exempt": ("exempt", RoundingMode.DOWN, 1, 1_002, 0),
}


@pytest.mark.parametrize(("treatment", "mode", "quantum", "supply", "vat"), TAX.values(), ids=TAX.keys())
def test_tax_once_an_invoice(treatment: str, mode: RoundingMode, quantum: int, supply: int, vat: int) -> None:
    prices = PolicyPrices({Tier.GUARANTEED: 1_000_000}, {"third": ClassPrice(334_000)})
    book = PriceBook({1: prices}, {"ratecard-2026-2": {H100: 1_000}})
    org = replace(ORG, tax_treatment=treatment)
    invoice = invoice_of(*THREE, book=book, org=org, vat_rounding=Rounding(mode, quantum))
    assert [line.tenant_won for line in invoice.lines] == [334, 334, 334]
    assert (invoice.totals.supply_value_won, invoice.totals.vat_won) == (supply, vat)
    assert invoice.totals.payable_won == supply + vat
    assert invoice.terms.vat_factor == ("0.1" if treatment == "taxable" else "0")


def test_a_fund_inside_the_supply_value_is_taxed_at_the_tenant() -> None:
    """Startup pays 0.05 of 2,900 = 145, MSIT 2,755 inside the supply value: tax 290 on 2,900, payable 145 + 290."""
    invoice = invoice_of(usage_slice("jobaaaa", HOUR, class_name="startup"))
    totals = invoice.totals
    assert (totals.tenant_won, totals.funder_won, totals.supply_value_won) == (145, 2_755, 2_900)
    assert (totals.vat_won, totals.payable_won) == (290, 435)
    assert [(part.fund, part.won, part.in_supply_value) for part in invoice.funding] == [("MSIT", 2_755, True)]


DOCUMENTS = {
    "taxable": ("taxable", "sme", "tax_invoice"),
    "zero-rated": ("zero_rated", "sme", "tax_invoice"),
    "exempt": ("exempt", "sme", "exempt_invoice"),
    "nothing to pay": ("taxable", "university", "none"),
}


@pytest.mark.parametrize(("treatment", "class_name", "document"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_the_hand_over_for_a_korean_tax_invoice(treatment: str, class_name: str, document: str) -> None:
    org = replace(ORG, tax_treatment=treatment)
    tax = invoice_of(usage_slice("jobaaaa", HOUR, class_name=class_name), org=org).tax_invoice
    assert (tax.document, tax.written_on) == (document, "2026-10-31")
    assert (tax.supplier_registration_number, tax.supplier_title) == ("130-00-00000", "두레 컴퓨팅 센터")
    assert (tax.buyer_registration_number, tax.buyer_title) == ("123-45-67891", "한빛에이아이 주식회사")


def test_lines_are_ordered_and_only_what_was_charged_has_one() -> None:
    lines = build(sample_inputs()).lines
    keys = [(line.project, line.flavor, line.tier, line.rate_card, line.list_won_per_gpu_hour) for line in lines]
    assert keys == sorted(keys)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert "waits" not in {line.project for line in lines}


def test_nothing_used_is_an_invoice_of_nothing() -> None:
    invoice = invoice_of()
    assert (invoice.lines, invoice.funding, invoice.rounding) == ((), (), ())
    assert (invoice.totals.payable_won, invoice.sources.first_seq, invoice.sources.transactions) == (0, 0, 0)
    assert closing_transactions(invoice) == ()


HOURS = {0: "0.000000", 3_600_000_000: "1.000000", 3_599: "0.000000", 3_600: "0.000001", 5_400_000_000: "1.500000"}


@pytest.mark.parametrize(("quantity", "text"), [*HOURS.items(), (3_600_000_000 * 10**7 - 1, "9999999.999999")])
def test_gpu_hours(quantity: int, text: str) -> None:
    assert gpu_hours(quantity) == text


def test_any_order_of_slices_makes_the_same_bytes(rng: random.Random) -> None:
    for _ in range(20):
        inputs = drawn_inputs(rng)
        text = invoice_json(build(inputs))
        slices = list(inputs.slices)
        rng.shuffle(slices)
        assert invoice_json(build(replace(inputs, slices=slices))) == text
        assert invoice_json(parse_invoice(text)) == text


def expected_lines(inputs: InvoiceInputs) -> dict[tuple[object, ...], Fraction]:
    """Exact tenants' parts by (project, flavor, tier, card, tier factor, class), by fractions."""
    sums: dict[tuple[object, ...], Fraction] = defaultdict(Fraction)
    for part in inputs.slices:
        prices = BOOK.policies[part.policy_version]
        share, tier = prices.classes[part.class_name], prices.tiers[part.tier]
        list_won = BOOK.rate_cards[part.rate_card][part.flavor]
        key = (part.project, part.flavor, part.tier.value, part.rate_card, tier, part.class_name)
        if part.billed_milli_gpu_ms:
            sums[key] += oracle.won(part.billed_milli_gpu_ms, list_won, tier, share.of_list_ppm)
    return sums


def test_lines_and_sums_against_fractions(rng: random.Random) -> None:
    lines = 0
    for _ in range(40):
        inputs = drawn_inputs(rng)
        invoice = build(inputs)
        exact = expected_lines(inputs)
        assert sorted(line.tenant_won for line in invoice.lines) == sorted(math.floor(won) for won in exact.values())
        for line in invoice.lines:
            assert line.tenant_won + line.funder_won + line.discount_won == line.product_won
        totals = invoice.totals
        assert totals.tenant_won == sum(line.tenant_won for line in invoice.lines)
        assert totals.product_won == totals.tenant_won + totals.subsidy_won
        assert 0 <= sum(exact.values()) - totals.tenant_won < max(1, len(exact)), "less than one won a line"
        taxed = totals.supply_value_won if inputs.org.tax_treatment == "taxable" else 0
        assert totals.vat_won == math.floor(Fraction(taxed * inputs.vat_ppm, WON))
        lines += len(invoice.lines)
    assert lines >= 200


MODES = {
    "down to 1": Rounding(),
    "half up to 1": Rounding(RoundingMode.HALF_UP),
    "down to 10": Rounding(RoundingMode.DOWN, 10),
    "half up to 10": Rounding(RoundingMode.HALF_UP, 10),
}


@pytest.mark.parametrize("rounding", MODES.values(), ids=MODES.keys())
def test_closing_brings_the_ledger_to_the_invoice(rng: random.Random, rounding: Rounding) -> None:
    rounded = 0
    for _ in range(25):
        inputs = drawn_inputs(rng, rounding)
        invoice = build(inputs)
        legs = [entry for _, entries in stored_ledger(inputs) for entry in entries]
        money = {account: sum_ for (account, unit), sum_ in ledger.balances(legs).items() if unit == "microwon"}
        assert money.get("receivable:hanbit-ai", 0) == invoice.totals.payable_won * WON
        assert money.get("funder_receivable:MSIT", 0) == invoice.totals.funder_won * WON
        assert money.get("discount:regional", 0) == invoice.totals.discount_won * WON
        assert money.get("vat_payable", 0) == -invoice.totals.vat_won * WON
        assert not any(ledger.unit_sums(legs).values())
        difference = money.get("rounding", 0)
        assert abs(difference) < (len(invoice.lines) + 1) * rounding.quantum_won * WON
        rounded += bool(difference)
    assert rounded >= 10


def test_the_ledger_behind_an_invoice_is_named() -> None:
    sources = build(sample_inputs()).sources
    assert (sources.first_seq, sources.last_seq, sources.transactions) == (1, 9, 9)
    assert (sources.slices, sources.close_seq) == (10, 40)
    assert (sources.policy_versions, sources.rate_cards) == ((1, 2), ("ratecard-2026-1", "ratecard-2026-2"))


def test_a_line_names_every_policy_version_in_order() -> None:
    prices = BOOK.policies[1]
    book = PriceBook({8: prices, 1: prices}, BOOK.rate_cards)
    made = [usage_slice("jobaaaa", HOUR, policy_version=8), usage_slice("jobbbbb", HOUR, policy_version=1)]
    (line,) = invoice_of(*made, book=book).lines
    assert (line.policy_versions, line.slices) == ((1, 8), 2)


GOOD = usage_slice("jobaaaa", HOUR)
PROBLEMS = {
    "a period without an end": ({"period": replace(PERIOD, end_ms=0)}, "no end yet", 2),
    "another organisation's slice": ({"slices": [replace(GOOD, org="saebyeok-lab")]}, "not a posted one", 1),
    "another period's slice": ({"slices": [replace(GOOD, period="2026-09")]}, "not a posted one", 1),
    "a slice that was not posted": ({"slices": [replace(GOOD, ledger_seq=0)]}, "not a posted one", 1),
    "a slice past the end": (
        {"slices": [replace(GOOD, start_ms=END_MS - HOUR + 1, end_ms=END_MS + 1)]},
        "ends after it",
        1,
    ),
    "a slice twice": ({"slices": [GOOD, GOOD]}, "twice", 1),
    "more billed than held": (
        {"slices": [replace(GOOD, billed_milli_gpu_ms=GOOD.held_milli_gpu_ms + 1)]},
        "cannot have",
        1,
    ),
    "negative usage": ({"slices": [replace(GOOD, billed_milli_gpu_ms=-1)]}, "cannot have", 1),
    "held is not GPUs times time": ({"slices": [replace(GOOD, gpus=2)]}, "cannot have", 1),
    "no price": ({"slices": [replace(GOOD, rate_card="gone")]}, "no price for flavor", 1),
    "an unknown tax treatment": ({"org": replace(ORG, tax_treatment="free")}, "tax treatment 'free'", 1),
    "all at once": (
        {"slices": [replace(GOOD, ledger_seq=0, rate_card="gone")], "org": replace(ORG, tax_treatment="free")},
        "tax treatment",
        3,
    ),
}


@pytest.mark.parametrize(("change", "message", "count"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_no_invoice_is_made_of_what_cannot_be(change: dict[str, object], message: str, count: int) -> None:
    inputs = replace(sample_inputs(), slices=[GOOD])
    assert problems(inputs) == []
    inputs = replace(inputs, **change)  # type: ignore[arg-type]  # fields by name
    found = problems(inputs)
    assert len(found) == count
    assert any(message in finding.message for finding in found)
    with pytest.raises(Fatal) as caught:
        build(inputs)
    assert caught.value.code == "DURE-9050"


def test_usage_from_before_the_period_that_came_late_is_billed_in_it() -> None:
    late = usage_slice("jobaaaa", HOUR, start_ms=PERIOD.start_ms - HOUR, end_ms=PERIOD.start_ms)
    assert invoice_of(late).totals.tenant_won == 290
    assert late.end_ms <= PERIOD.start_ms
