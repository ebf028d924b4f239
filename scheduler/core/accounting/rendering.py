"""An invoice as text: canonical JSON (the invoice itself), and CSV for spreadsheets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from scheduler.core.accounting.invoice_model import Invoice, Line
from scheduler.core.codec import canonical, from_json

D = TypeVar("D")

# Column -> whether it holds text (which is guarded against formulas) or a number of our own making.
COLUMNS: Mapping[str, bool] = {
    "invoice": True,
    "period": True,
    "organisation": True,
    "title": True,
    "row": True,
    "line": False,
    "project": True,
    "flavor": True,
    "tier": True,
    "class": True,
    "rate_card": True,
    "gpu_hours": False,
    "billed_milli_gpu_ms": False,
    "list_won_per_gpu_hour": False,
    "tier_factor": False,
    "class_factor": False,
    "list_won": False,
    "product_won": False,
    "funder": True,
    "funder_won": False,
    "discount_won": False,
    "tenant_won": False,
    "tax_treatment": True,
    "supply_value_won": False,
    "vat_won": False,
    "payable_won": False,
}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def invoice_json(invoice: Invoice) -> str:
    """The canonical JSON text; its SHA-256 is what an issued invoice is known by."""
    return canonical(invoice)


def parse_invoice(text: str) -> Invoice:
    """The invoice of a JSON text; raises ValueError for anything but exactly its fields and types."""
    return parse_document(Invoice, text)


def parse_document(kind: type[D], text: str) -> D:
    """The document of a JSON text; raises ValueError for anything but exactly its fields and types."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    document: D = from_json(kind, value)
    return document


def invoice_csv(invoice: Invoice) -> str:
    """RFC 4180: a header, one row for each line, one row with the totals. UTF-8, CRLF.

    Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers stay numbers.
    """
    shared: dict[str, str | int] = {
        "invoice": invoice.number,
        "period": invoice.period.id,
        "organisation": invoice.buyer.name,
        "title": invoice.buyer.title,
        "tax_treatment": invoice.terms.tax_treatment.value,
    }
    totals = invoice.totals
    last: dict[str, str | int] = {
        "row": "total",
        "list_won": totals.list_won,
        "product_won": totals.product_won,
        "funder_won": totals.funder_won,
        "discount_won": totals.discount_won,
        "tenant_won": totals.tenant_won,
        "supply_value_won": totals.supply_value_won,
        "vat_won": totals.vat_won,
        "payable_won": totals.payable_won,
    }
    return csv_text(COLUMNS, [*({**shared, **_line_cells(line)} for line in invoice.lines), {**shared, **last}])


def csv_text(columns: Mapping[str, bool], rows: Iterable[Mapping[str, str | int]]) -> str:
    """Rows under a header of these columns (see ``COLUMNS``), as ``invoice_csv`` says."""
    lines = (",".join(_cell(columns[name], str(row.get(name, ""))) for name in columns) for row in rows)
    return "\r\n".join([",".join(columns), *lines]) + "\r\n"


def _line_cells(line: Line) -> dict[str, str | int]:
    return {
        "row": "line",
        "line": line.number,
        "project": line.project,
        "flavor": line.flavor,
        "tier": line.tier,
        "class": line.class_name,
        "rate_card": line.rate_card,
        "gpu_hours": line.gpu_hours,
        "billed_milli_gpu_ms": line.billed_milli_gpu_ms,
        "list_won_per_gpu_hour": line.list_won_per_gpu_hour,
        "tier_factor": line.tier_factor,
        "class_factor": line.class_factor,
        "list_won": line.list_won,
        "product_won": line.product_won,
        "funder": line.funder,
        "funder_won": line.funder_won,
        "discount_won": line.discount_won,
        "tenant_won": line.tenant_won,
    }


def _cell(is_text: bool, text: str) -> str:
    if is_text and text.startswith(FORMULA_STARTS):
        text = "'" + text
    if any(mark in text for mark in ',"\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is there twice in one object")
    return value


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no whole number")
