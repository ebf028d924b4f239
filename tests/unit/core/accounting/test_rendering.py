"""The invoice as text: strict JSON, and CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import hypothesis
import hypothesis.strategies as st
import pytest

from scheduler.core.accounting.invoice import build
from scheduler.core.accounting.rendering import COLUMNS, invoice_csv, invoice_json, parse_invoice
from tests.unit.core.accounting.invoices import ORG, sample_inputs

INVOICE = build(sample_inputs())
TEXT = invoice_json(INVOICE)


def rows_of(text: str) -> list[dict[str, str]]:
    """Read CSV with the standard library's strict reader."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_rows_are_the_lines_and_the_total() -> None:
    rows = rows_of(invoice_csv(INVOICE))
    assert [row["row"] for row in rows] == ["line"] * len(INVOICE.lines) + ["total"]
    for row, line in zip(rows, INVOICE.lines, strict=False):
        assert (int(row["tenant_won"]), int(row["billed_milli_gpu_ms"])) == (line.tenant_won, line.billed_milli_gpu_ms)
        assert row["gpu_hours"] == line.gpu_hours
    totals = rows[-1]
    assert int(totals["payable_won"]) == INVOICE.totals.payable_won
    assert sum(int(row["tenant_won"]) for row in rows[:-1]) == int(totals["tenant_won"])


def test_every_row_has_every_column_and_ends_with_crlf() -> None:
    text = invoice_csv(INVOICE)
    lines = text.split("\r\n")
    assert lines[0] == ",".join(COLUMNS)
    assert lines[-1] == ""
    assert all(len(row) == len(COLUMNS) for row in csv.reader(io.StringIO(text, newline="")))


FORMULAS = ["=1+1", "+82-2", "-1", "@sum", "\tx", "\rx", '=HYPERLINK("http://x";"y")', "=a\r\nb,c"]


@pytest.mark.parametrize("title", FORMULAS)
def test_a_formula_is_only_text(title: str) -> None:
    invoice = build(replace(sample_inputs(), org=replace(ORG, title=title)))
    rows = rows_of(invoice_csv(invoice))
    assert {row["title"] for row in rows} == {"'" + title}
    assert all(row["tenant_won"].isdigit() for row in rows), "numbers stay numbers"


@hypothesis.given(title=st.text(max_size=40), number=st.text(max_size=20))
def test_any_text_survives_and_none_is_a_formula(title: str, number: str) -> None:
    invoice = replace(INVOICE, number=number, buyer=replace(INVOICE.buyer, title=title))
    for row in rows_of(invoice_csv(invoice)):
        assert row["title"].removeprefix("'") == title.removeprefix("'")
        assert row["invoice"].removeprefix("'") == number.removeprefix("'")
        assert not any(row[name].startswith(("=", "+", "-", "@", "\t", "\r")) for name in ("title", "invoice"))


def test_json_comes_back_as_it_was() -> None:
    assert parse_invoice(TEXT) == INVOICE
    assert invoice_json(parse_invoice(TEXT)) == TEXT
    assert "한빛에이아이 주식회사" in TEXT


BAD = {
    "no JSON": ("{", "delimiter|property name"),
    "nested without end": ("[" * 100_000, "too deeply"),
    "no object": ("[]", "expected an object"),
    "a name twice": (TEXT.replace('"currency":"KRW"', '"currency":"KRW","currency":"KRW"'), "twice"),
    "an unknown name": (TEXT.replace('"currency":"KRW"', '"currency":"KRW","gift":1'), "no field 'gift'"),
    "a missing name": (TEXT.replace('"number":"2026-000001",', ""), "number"),
    "a float": (TEXT.replace('"slices":1,', '"slices":1.0,', 1), "no whole number"),
    "not a number": (TEXT.replace('"slices":1,', '"slices":NaN,', 1), "no whole number"),
    "text for a number": (TEXT.replace('"slices":1,', '"slices":"1",', 1), "expected int"),
    "truth for a number": (TEXT.replace('"slices":1,', '"slices":true,', 1), "expected int"),
    "an unknown treatment": (TEXT.replace('"tax_treatment":"taxable"', '"tax_treatment":"free"', 1), "free"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_only_an_invoice_is_read(text: str, message: str) -> None:
    assert text != TEXT
    with pytest.raises(ValueError, match=message):
        parse_invoice(text)
