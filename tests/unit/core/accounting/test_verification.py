"""Verification: an untouched invoice stands; a change of any one field, slice, price or entry is named."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.accounting.invoice import InvoiceInputs, build
from scheduler.core.accounting.rating import PolicyPrices, PriceBook
from scheduler.core.accounting.rendering import invoice_json, parse_invoice
from scheduler.core.accounting.rounding import Rounding, RoundingMode
from scheduler.core.accounting.verification import Check, StoredTransaction, as_issued, check_face, verify
from scheduler.core.codec import canonical, sha256_hex
from tests.unit.core.accounting.invoices import (
    ISSUER,
    ORG,
    PERIOD,
    drawn_inputs,
    sample_inputs,
    stored_ledger,
)
from tests.unit.core.accounting.worlds import BOOK, CLASSES, H100, TIERS

INPUTS = sample_inputs()
TEXT = invoice_json(build(INPUTS))
SHA256 = sha256_hex(TEXT)
Path = tuple[str | int, ...]


def failed(checks: list[Check]) -> set[str]:
    """Names of the checks that are not ok."""
    return {check.name for check in checks if not check.ok}


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every leaf, and of every empty container."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    children = list(items)
    if not children:
        yield path
    for name, child in children:
        yield from leaves(child, (*path, name))


# Values that have to stay of a closed list to be read at all.
OTHERS = {"down": "half-up", "half-up": "down", "taxable": "exempt"}


def flipped(path: Path) -> str:
    """The invoice's text with one leaf changed as little as its type allows."""
    value = json.loads(TEXT)
    place = value
    for name in path[:-1]:
        place = place[name]
    leaf = place[path[-1]]
    match leaf:
        case bool():
            place[path[-1]] = not leaf
        case int():
            place[path[-1]] = leaf + 1
        case str():
            place[path[-1]] = OTHERS.get(leaf) or leaf + "x"
        case _:
            raise AssertionError(f"no way to change {leaf!r} at {path}")
    return canonical(value)


PATHS = list(leaves(json.loads(TEXT)))
IDS = [".".join(map(str, path)) for path in PATHS]


def test_the_sample_shows_everything() -> None:
    """Every list of the sample has an element, so that no field escapes the flipping below."""
    invoice = build(INPUTS)
    assert invoice.lines
    assert invoice.funding
    assert invoice.rounding
    assert {line.funder for line in invoice.lines} == {"MSIT", ""}
    assert any(line.in_supply_value for line in invoice.lines)
    assert len(PATHS) > 150


def test_an_untouched_invoice_stands() -> None:
    checks = verify(TEXT, sha256=SHA256, inputs=INPUTS, stored=stored_ledger(INPUTS))
    assert failed(checks) == set()
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {"sha256", "form", "inputs", "bytes", "ledger usage", "ledger closing", "ledger balance"} <= set(names)


def test_random_invoices_stand(rng: random.Random) -> None:
    for mode in RoundingMode:
        for _ in range(10):
            inputs = drawn_inputs(rng, Rounding(mode, rng.choice((1, 10))))
            text = invoice_json(build(inputs))
            assert failed(verify(text, sha256=sha256_hex(text), inputs=inputs, stored=stored_ledger(inputs))) == set()


SECTIONS = {
    "apiVersion": "identity",
    "kind": "identity",
    "number": "identity",
    "issued_at": "identity",
    "currency": "identity",
    "buyer_class": "buyer class",
    "tax_invoice": "tax invoice",
}


def named_by(path: Path) -> str:
    """The check that owns a field."""
    top = str(path[0])
    if top == "totals":
        return f"total {path[1]}"
    if top != "lines":
        return SECTIONS.get(top, top)
    name, number = str(path[2]), int(path[1]) + 1
    if name in ("slices", "billed_milli_gpu_ms", "gpu_hours"):
        return f"line {number} quantity"
    if name in ("list_won", "product_won", "tenant_won", "funder_won", "discount_won"):
        return f"line {number} amounts"
    if name in ("number", "project", "flavor", "tier", "class_name", "policy_versions"):
        return f"line {number} usage"
    return f"line {number} price"


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_every_changed_field_is_named(path: Path) -> None:
    text = flipped(path)
    assert text != TEXT
    kept = failed(verify(text, sha256=SHA256, inputs=INPUTS))
    assert {"sha256", "bytes", named_by(path)} <= kept
    # the same by somebody who can also replace the hash that was kept
    replaced = failed(verify(text, sha256=sha256_hex(text), inputs=INPUTS))
    assert replaced == kept - {"sha256"}


FACE = [path for path in PATHS if path[0] == "totals" or (path[0] == "lines" and str(path[2]).endswith("_won"))]


@pytest.mark.parametrize("path", FACE, ids=[".".join(map(str, path)) for path in FACE])
def test_a_changed_amount_shows_on_the_invoice_alone(path: Path) -> None:
    assert failed(check_face(parse_invoice(TEXT))) == set()
    assert failed(check_face(parse_invoice(flipped(path)))) != set()


def edited(change: Any) -> str:
    """The invoice's text after a function changed its JSON value."""
    value = copy.deepcopy(json.loads(TEXT))
    change(value)
    return canonical(value)


def without_line(value: Any) -> None:
    """Leave one line out and lower every sum by it, as a forger who can add would."""
    line = value["lines"].pop(0)
    for name in ("list_won", "product_won", "funder_won", "discount_won", "tenant_won"):
        value["totals"][name] -= line[name]


STRUCTURE = {
    "a line left out": (edited(without_line), "lines"),
    "a line twice": (edited(lambda value: value["lines"].append(value["lines"][0])), "lines"),
    "lines in another order": (edited(lambda value: value["lines"].reverse()), "line 1 usage"),
    "a fund left out": (edited(lambda value: value["funding"].clear()), "funding"),
    "no rounding": (edited(lambda value: value["rounding"].clear()), "rounding"),
    "a policy version more": (edited(lambda value: value["lines"][0]["policy_versions"].append(9)), "line 1 usage"),
    "spaces": (TEXT.replace('","', '", "'), "form"),
    "a line end": (TEXT + "\n", "form"),
    "escaped letters": (json.dumps(json.loads(TEXT), sort_keys=True, separators=(",", ":")), "form"),
    "a factor that is no decimal": (edited(lambda value: value["lines"][0].update(tier_factor="half")), "line 1 price"),
    "a factor above one": (edited(lambda value: value["lines"][0].update(class_factor="2")), "line 1 arithmetic"),
    "a negative quantity": (
        edited(lambda value: value["lines"][0].update(billed_milli_gpu_ms=-1)),
        "line 1 arithmetic",
    ),
    "rounded to nothing": (edited(lambda value: value["terms"].update(line_quantum_won=0)), "line 1 arithmetic"),
    "tax rounded to nothing": (edited(lambda value: value["terms"].update(vat_quantum_won=-1)), "sums"),
    "a negative tax": (edited(lambda value: value["terms"].update(vat_factor="-0.1")), "sums"),
    "a tax that is no decimal": (edited(lambda value: value["terms"].update(vat_factor="ten")), "sums"),
    "not an invoice": ("{}", "form"),
    "not JSON": ("1,000 won", "form"),
    "nested without end": ("[" * 100_000, "form"),
}


@pytest.mark.parametrize(("text", "name"), STRUCTURE.values(), ids=STRUCTURE.keys())
def test_a_changed_structure_is_named(text: str, name: str) -> None:
    assert name in failed(verify(text, sha256=sha256_hex(text), inputs=INPUTS))


FIRST = INPUTS.slices[0]
REST = list(INPUTS.slices[1:])
CHEAPER = PriceBook(BOOK.policies, {**BOOK.rate_cards, "ratecard-2026-2": {H100: 2_899, "a100-80g": 1_333}})
KINDER = PolicyPrices(TIERS, {**CLASSES, "sme": replace(CLASSES["sme"], of_list_ppm=99_999)})
BEHIND: dict[str, tuple[InvoiceInputs, str]] = {
    "a slice is missing": (replace(INPUTS, slices=REST), "sources"),
    "a slice has less": (
        replace(INPUTS, slices=[replace(FIRST, billed_milli_gpu_ms=FIRST.billed_milli_gpu_ms - 1), *REST]),
        "line 2 quantity",
    ),
    "a slice was posted elsewhere": (replace(INPUTS, slices=[replace(FIRST, ledger_seq=77), *REST]), "sources"),
    "a slice is another's": (replace(INPUTS, slices=[replace(FIRST, org="saebyeok-lab"), *REST]), "inputs"),
    "a price is another": (replace(INPUTS, book=CHEAPER), "line 2 price"),
    "a factor is another": (replace(INPUTS, book=replace(BOOK, policies={**BOOK.policies, 1: KINDER})), "line 2 price"),
    "a policy version is gone": (replace(INPUTS, book=replace(BOOK, policies={1: KINDER})), "inputs"),
    "the period is another": (replace(INPUTS, period=replace(PERIOD, start_ms=PERIOD.start_ms + 1)), "period"),
    "the tax is another": (replace(INPUTS, vat_ppm=99_999), "terms"),
    "the buyer has another name": (replace(INPUTS, org=replace(ORG, title="다른 이름")), "buyer"),
    "the issuer is another": (replace(INPUTS, issuer=replace(ISSUER, registration_number="")), "issuer"),
    "it was issued at another time": (replace(INPUTS, issued_at_ms=1), "identity"),
}


@pytest.mark.parametrize(("inputs", "name"), BEHIND.values(), ids=BEHIND.keys())
def test_what_changed_behind_the_invoice_is_named(inputs: InvoiceInputs, name: str) -> None:
    assert name in failed(verify(TEXT, sha256=SHA256, inputs=inputs))


def test_a_later_rename_is_no_difference() -> None:
    renamed = replace(
        INPUTS,
        org=replace(ORG, title="새 이름", registration_number="", class_name="startup", tax_treatment="exempt"),
        issuer=replace(ISSUER, title="새 센터"),
    )
    assert failed(verify(TEXT, sha256=SHA256, inputs=as_issued(renamed, parse_invoice(TEXT)))) == set()
    other = replace(renamed, org=replace(renamed.org, name="saebyeok-lab"))
    assert "inputs" in failed(verify(TEXT, sha256=SHA256, inputs=as_issued(other, parse_invoice(TEXT))))


def test_a_changed_treatment_shows_in_the_ledger() -> None:
    """Somebody makes the invoice exempt, lowers it by the tax and replaces the hash; the ledger's tax remains."""
    exempt = replace(INPUTS, org=replace(ORG, tax_treatment="exempt"))
    text = invoice_json(build(exempt))
    inputs = as_issued(INPUTS, parse_invoice(text))
    assert failed(verify(text, sha256=sha256_hex(text), inputs=inputs)) == set()
    checks = verify(text, sha256=sha256_hex(text), inputs=inputs, stored=stored_ledger(INPUTS))
    assert failed(checks) == {"ledger closing", "ledger balance"}


def moved(stored: list[StoredTransaction], index: int, **change: Any) -> list[StoredTransaction]:
    """One entry of one transaction is another."""
    row, entries = stored[index]
    return [(row, [replace(entries[0], **change), *entries[1:]]) if each is stored[index] else each for each in stored]


def rewritten(stored: list[StoredTransaction], index: int, **change: Any) -> list[StoredTransaction]:
    """One transaction's row is another."""
    row, entries = stored[index]
    return [(replace(row, **change), entries) if each is stored[index] else each for each in stored]


STORED = stored_ledger(INPUTS)
LEDGER = {
    "usage is missing": (STORED[1:], {"ledger usage", "ledger balance"}),
    "usage has another amount": (moved(STORED, 0, amount=1), {"ledger usage"}),
    "usage is another's": (moved(STORED, 0, account="capacity:busan"), {"ledger usage"}),
    "usage has another reason": (rewritten(STORED, 0, body_json="{}"), {"ledger usage"}),
    "the rounding is missing": ([*STORED[:-2], STORED[-1]], {"ledger closing", "ledger balance"}),
    "the tax is missing": (STORED[:-1], {"ledger closing", "ledger balance"}),
    "the tax is another": (moved(STORED, -1, amount=1), {"ledger closing", "ledger balance"}),
    "the tax is there twice": ([*STORED, *rewritten(STORED[-1:], 0, seq=99)], {"ledger closing", "ledger balance"}),
    "something was added": (
        [*STORED, *rewritten(STORED[-1:], 0, seq=99, idem_key="vat:2026-000009")],
        {"ledger closing", "ledger balance"},
    ),
}


@pytest.mark.parametrize(("stored", "names"), LEDGER.values(), ids=LEDGER.keys())
def test_a_changed_ledger_is_named(stored: list[StoredTransaction], names: set[str]) -> None:
    assert failed(verify(TEXT, sha256=SHA256, inputs=INPUTS, stored=stored)) == names


def test_slices_that_do_not_belong_together_are_named() -> None:
    first, second = INPUTS.slices[0], INPUTS.slices[-1]
    slices = [part if part is not second else replace(second, ledger_seq=first.ledger_seq) for part in INPUTS.slices]
    checks = verify(TEXT, sha256=SHA256, inputs=replace(INPUTS, slices=slices), stored=STORED)
    assert "ledger usage" in failed(checks)
    assert any("do not belong together" in check.detail for check in checks)


def test_details_are_bounded() -> None:
    text = edited(lambda value: value["tax_invoice"].update(dict.fromkeys(OVER, "x")))
    (check,) = [each for each in verify(text, sha256=SHA256, inputs=INPUTS) if each.name == "tax invoice"]
    assert check.detail.endswith("and 1 more")
    assert check.detail.count("recomputed") == 5
    text = edited(lambda value: value["tax_invoice"].update(dict.fromkeys(OVER[:5], "x")))
    (check,) = [each for each in verify(text, sha256=SHA256, inputs=INPUTS) if each.name == "tax invoice"]
    assert "more" not in check.detail


OVER = (
    "document",
    "supplier_title",
    "supplier_registration_number",
    "buyer_title",
    "buyer_registration_number",
    "written_on",
)
