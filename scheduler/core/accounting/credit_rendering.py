"""A credit note as text: canonical JSON (the note itself), and CSV for spreadsheets."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.core.accounting.credit_model import CreditNote
from scheduler.core.accounting.rendering import csv_text, parse_document
from scheduler.core.codec import canonical

# As rendering.COLUMNS: whether a column holds text, which is guarded against formulas. Amounts are what is taken off.
COLUMNS: Mapping[str, bool] = {
    "credit_note": True,
    "invoice": True,
    "period": True,
    "organisation": True,
    "title": True,
    "reason": True,
    "text": True,
    "row": True,
    "line": False,
    "project": True,
    "flavor": True,
    "tier": True,
    "class": True,
    "rate_card": True,
    "gpu_hours": False,
    "before_milli_gpu_ms": False,
    "after_milli_gpu_ms": False,
    "list_won": False,
    "product_won": False,
    "funder": True,
    "funder_won": False,
    "discount_won": False,
    "tenant_won": False,
    "supply_value_won": False,
    "vat_won": False,
    "payable_won": False,
}
_LINE = ("project", "flavor", "tier", "rate_card", "gpu_hours", "before_milli_gpu_ms", "after_milli_gpu_ms", "list_won")
_LINE_WON = ("product_won", "funder", "funder_won", "discount_won", "tenant_won")
_TOTALS = ("list_won", "product_won", "funder_won", "discount_won", "tenant_won", "supply_value_won", "vat_won")


def credit_json(note: CreditNote) -> str:
    """The canonical JSON text; its SHA-256 is what an issued credit note is known by."""
    return canonical(note)


def parse_credit(text: str) -> CreditNote:
    """The credit note of a JSON text; raises ValueError for anything but exactly its fields and types."""
    return parse_document(CreditNote, text)


def credit_csv(note: CreditNote) -> str:
    """RFC 4180: a header, one row for each line, one row with the totals. UTF-8, CRLF, no formulas."""
    shared: dict[str, str | int] = {
        "credit_note": note.number,
        "invoice": note.invoice.number,
        "period": note.invoice.period.id,
        "organisation": note.buyer.name,
        "title": note.buyer.title,
        "reason": note.consent.reason.value,
        "text": note.consent.text,
    }
    rows = [
        {
            **shared,
            "row": "line",
            "line": line.number,
            "class": line.class_name,
            **{name: getattr(line, name) for name in (*_LINE, *_LINE_WON)},
        }
        for line in note.lines
    ]
    totals = {name: getattr(note.totals, name) for name in (*_TOTALS, "payable_won")}
    return csv_text(COLUMNS, [*rows, {**shared, "row": "total", **totals}])
