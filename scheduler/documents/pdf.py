"""Typesetting with typst: a document's texts to PDF/A-2b bytes that are the same wherever and whenever they are made.

Nothing of the machine reaches the file: no clock (its date is the document's), no font but the shipped ones, no locale.
Other bytes come only from another typst, template or word list, and ``renderer`` names all of these.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from scheduler.core.accounting.credit_model import CreditNote
from scheduler.core.accounting.credit_rendering import parse_credit
from scheduler.core.accounting.invoice_model import Invoice
from scheduler.core.accounting.rendering import parse_invoice
from scheduler.core.codec import from_json, sha256_hex, to_json
from scheduler.core.errors import Fatal
from scheduler.documents.credit_view import credit_document
from scheduler.documents.glyphs import FONTS, breakable, drawn, each_text, font_folder
from scheduler.documents.invoice_view import invoice_document
from scheduler.documents.texts import LANGUAGES, words
from scheduler.documents.view import Document

D = TypeVar("D")
NOT_INSTALLED = "DURE-3020"
STANDARD = "a-2b"
TEMPLATE = "document.typ"
TAGGED_ROWS_MAX = 1_000
"""Up to so many rows a PDF names its table cells for screen readers; with 10,000 that alone would be 27 MB."""
PARTS = ("credit_view.py", "glyphs.py", "invoice_view.py", "texts.py", "view.py", "pdf.py", TEMPLATE)
"""Everything of ours that decides the bytes, beside the fonts."""


class TypstRenderer:
    """Makes PDFs; ``name`` changes whenever its bytes may."""

    @property
    def name(self) -> str:
        """Such as ``typst 0.15.2, layout 1a2b3c4d5e6f``; "" where typst is not installed."""
        return renderer()

    def pdf(self, text: str, lang: str) -> bytes:
        """The PDF of a document's canonical text; raises Fatal without typst, ValueError for no such text."""
        return pdf(text, lang)


@functools.cache
def renderer() -> str:
    """The name of what typesets here; "" where typst is not installed."""
    try:
        typst = version("typst")
    except PackageNotFoundError:
        return ""
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(_own(part))
    for font in FONTS:
        digest.update((font_folder() / font).read_bytes())
    return f"typst {typst}, layout {digest.hexdigest()[:12]}"


def pdf(text: str, lang: str = LANGUAGES[0]) -> bytes:
    """A document's canonical text as PDF/A-2b.

    Raises Fatal without typst, ValueError for an unknown language and for a text that is no document of Dure.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"there are no documents in {lang!r}, only in {', '.join(LANGUAGES)}")
    return compiled(document_of(text, lang), "pdf")[0]


def document_of(text: str, lang: str) -> Document:
    """What the document of a canonical text shows; raises ValueError for a text that is none."""
    digest, w = sha256_hex(text), words(lang)
    if _kind_of(text) == CreditNote.__name__:
        return credit_document(_drawn(CreditNote, parse_credit(text)), digest, lang, w)
    return invoice_document(_drawn(Invoice, parse_invoice(text)), digest, lang, w)


def _kind_of(text: str) -> str:
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return str(found.get("kind", "")) if isinstance(found, dict) else ""


def _drawn(kind: type[D], document: D) -> D:
    """The document with every text of somebody's as the fonts can draw it."""
    made: D = from_json(kind, each_text(to_json(document), drawn))
    return made


def compiled(document: Document, form: str) -> list[bytes]:
    """The document as one PDF (``pdf``), or as a picture of each page (``png``); raises Fatal without typst."""
    try:
        import typst
    except ImportError as error:
        raise Fatal(NOT_INSTALLED, "PDFs need typst, which is not installed here", "pip install 'dure[pdf]'") from error
    data = json.dumps(each_text(to_json(document), breakable), ensure_ascii=False)
    compiler: Any = typst.Compiler(
        _own(TEMPLATE),
        font_paths=typst.Fonts(False, False, [str(font_folder())]),
        ignore_system_fonts=True,
        sys_inputs={"data": data},
    )
    rows = sum(len(sheet.rows) for sheet in document.sheets)
    made: Any = compiler.compile(
        format="png" if form == "png" else "pdf",
        pdf_standards=[STANDARD] if form == "pdf" else [],
        pdf_tags=rows <= TAGGED_ROWS_MAX,
    )
    return made if isinstance(made, list) else [made]


def _own(name: str) -> bytes:
    return (importlib.resources.files("scheduler.documents") / name).read_bytes()
