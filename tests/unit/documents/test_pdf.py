"""PDFs: a rendering of the canonical text, the same bytes each time, for any text and for many lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest

from scheduler.core.accounting.credit import make
from scheduler.core.accounting.credit_rendering import credit_json
from scheduler.core.accounting.invoice import build
from scheduler.core.accounting.invoice_model import Invoice
from scheduler.core.accounting.rendering import invoice_json
from scheduler.core.codec import sha256_hex
from scheduler.core.errors import DureError
from scheduler.documents import pdf
from scheduler.documents.glyphs import FONTS
from scheduler.documents.texts import LANGUAGES
from scheduler.documents.view import Document
from tests.support.source import ROOT
from tests.unit.core.accounting.invoices import ORG, sample_inputs, sequenced
from tests.unit.core.accounting.test_credit import CHANGED, WRONG, credit
from tests.unit.core.accounting.worlds import HOUR, usage_slice

PNG = b"\x89PNG\r\n"
LONG = "아주 긴 이름을 가진 협동조합 " * 5 + "가" * 40
NASTY = '\U0001f600€ #panic("x") $1/0$ *b* @nowhere <l> \\ \u202e // /* #import "/etc/passwd": x'
INVOICE = build(sample_inputs())


def many(lines: int, projects: int) -> Invoice:
    """An invoice with so many lines; its sums do not matter here."""
    made = [
        replace(INVOICE.lines[n % 7], number=n + 1, project=f"project-{n * projects // lines:02}") for n in range(lines)
    ]
    return replace(INVOICE, lines=tuple(made))


def exempt() -> Invoice:
    """One line, no legal name."""
    slices = sequenced([usage_slice("jobaaaa", HOUR, class_name="university")])
    return build(replace(sample_inputs(), slices=slices, org=replace(ORG, tax_treatment="exempt", title="")))


# What is printed, and on how many pages: a first one, and one for each project at least.
DOCUMENTS: dict[str, tuple[Callable[[], str], int]] = {
    "two projects": (lambda: invoice_json(INVOICE), 3),
    "one line, exempt": (lambda: invoice_json(exempt()), 2),
    "nothing charged": (
        lambda: invoice_json(build(replace(sample_inputs(), slices=sequenced([usage_slice("jobaaaa", 0)])))),
        1,
    ),
    "sixty lines in three projects": (lambda: invoice_json(many(60, 3)), 4),
    "a long name": (lambda: invoice_json(replace(INVOICE, buyer=replace(INVOICE.buyer, title=LONG))), 3),
    "a name that is no markup": (lambda: invoice_json(replace(INVOICE, buyer=replace(INVOICE.buyer, title=NASTY))), 3),
    "an issuer that is no markup": (
        lambda: invoice_json(replace(INVOICE, issuer=replace(INVOICE.issuer, title=NASTY))),
        3,
    ),
    "a credit note of the whole": (lambda: credit_json(make(credit(WRONG, {}))), 3),
    "a credit note of a line": (lambda: credit_json(make(credit(CHANGED, {2: 7_200_000_000}))), 2),
}


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_kind_of_document(name: str, lang: str) -> None:
    make_text, pages = DOCUMENTS[name]
    text = make_text()
    content = pdf.pdf(text, lang)
    assert content.startswith(b"%PDF-1.7") and content.rstrip().endswith(b"%%EOF")
    assert b"<pdfaid:part>2</pdfaid:part>" in content and b"<pdfaid:conformance>B</pdfaid:conformance>" in content
    assert pdf.pdf(text, lang) == content
    pictures = pdf.compiled(pdf.document_of(text, lang), "png")
    assert len(pictures) == pages and all(picture.startswith(PNG) for picture in pictures)


def shown(document: Document) -> list[str]:
    """Every value on the first page and in the tables."""
    blocks = (*document.parties, document.amounts, *document.beside, document.sources)
    values = [row.value for block in blocks for row in block.rows]
    tables = (document.summary, *document.sheets)
    return [*values, *(cell for table in tables for row in (*table.rows, table.sums) for cell in row)]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_invoice_shows_what_its_text_says(lang: str) -> None:
    text = invoice_json(INVOICE)
    document = pdf.document_of(text, lang)
    values = shown(document)
    totals = INVOICE.totals
    for amount in (totals.list_won, totals.product_won, totals.tenant_won, totals.vat_won, totals.supply_value_won):
        assert f"{amount:,}" in values
    assert document.amount.value == f"{totals.payable_won:,}"
    assert {sha256_hex(text), INVOICE.sources.slices_sha256, f"dure invoice verify {INVOICE.number}"} <= set(values)
    assert {INVOICE.issuer.registration_number, INVOICE.buyer.registration_number} <= set(values)
    assert [sheet.title.split()[-1] for sheet in document.sheets] == ["nlp", "vision"]
    assert sum(len(sheet.rows) for sheet in document.sheets) == len(INVOICE.lines)
    assert document.written == (2026, 11, 6, 0, 0, 0)  # END_MS + 5 days, in Korea
    for sheet in document.sheets:
        tenant = [int(row[-1].replace(",", "")) for row in sheet.rows]
        assert int(sheet.sums[-1].replace(",", "")) == sum(tenant)


def test_a_credit_note_shows_what_is_taken_off_who_agreed_and_why() -> None:
    note = make(credit(CHANGED, {2: 7_200_000_000}))
    document = pdf.document_of(credit_json(note), "en")
    values = shown(document)
    assert document.amount.value == f"-{note.totals.payable_won:,}"
    assert any(value.startswith("kim\n") for value in values) and any(value.startswith("lee\n") for value in values)
    assert {"a node was slow", note.invoice.sha256, f"dure credit verify {note.number}"} <= set(values)
    assert "02 supply value changed" in {row.value for row in document.facts}
    assert "4.342935 → 2.000000\n-2.342935 × 2,900" in values


def test_ten_thousand_lines_in_seconds_and_in_few_bytes() -> None:
    text = invoice_json(many(10_000, 50))
    began = time.monotonic()
    content = pdf.pdf(text, "ko")
    assert time.monotonic() - began < 60  # about 5 s on two cores
    assert len(content) < 3_000_000


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kind":"CreditNote"}', "[" * 100_000, "null"])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # whichever sentence the reader has for it
        pdf.pdf(text, "ko")


def test_a_language_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="only in ko, en"):
        pdf.pdf(invoice_json(INVOICE), "fr")


def test_without_typst_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(DureError, match="typst") as refused:
        pdf.pdf(invoice_json(INVOICE), "ko")
    assert (refused.value.code, refused.value.fix) == ("DURE-3020", "pip install 'dure[pdf]'")

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(pdf, "version", absent)
    pdf.renderer.cache_clear()
    assert pdf.TypstRenderer().name == ""
    pdf.renderer.cache_clear()


def test_the_renderer_is_named_by_everything_that_decides_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ROOT / "scheduler" / "documents"
    files = {file.name for file in folder.iterdir() if file.is_file()} - {"__init__.py"}
    assert set(pdf.PARTS) == files
    assert set(FONTS) == {file.name for file in (folder / "fonts").glob("*.ttf")}
    pdf.renderer.cache_clear()
    before = pdf.TypstRenderer().name
    assert before.startswith("typst 0.")
    monkeypatch.setattr(pdf, "version", lambda name: "0.99.0")
    pdf.renderer.cache_clear()
    assert pdf.TypstRenderer().name != before
    monkeypatch.undo()
    pdf.renderer.cache_clear()
    assert pdf.TypstRenderer().name == before


def test_the_template_evaluates_nothing_that_it_is_given() -> None:
    template = (ROOT / "scheduler" / "documents" / pdf.TEMPLATE).read_text(encoding="utf-8")
    assert "eval(" not in template and "#import" not in template and "read(" not in template
