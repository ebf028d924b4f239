"""An invoice as a document: the first page, and a table for each project."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from scheduler.core.accounting.credit_model import AmendedTaxInvoice, CreditLine
from scheduler.core.accounting.invoice import BILLING_RULE, gpu_hours
from scheduler.core.accounting.invoice_model import Funding, Invoice, Line, TaxInvoice, Terms
from scheduler.documents.view import (
    Block,
    Document,
    Row,
    Table,
    hours,
    instant,
    micro,
    party,
    percent,
    span,
    won,
    written,
)

L = TypeVar("L", bound=Line | CreditLine)
Words = Mapping[str, str]
Sums = Callable[[Sequence[L]], tuple[str, ...]]
"""Sums of lines as cells: GPU-hours, product, paid by funds, discount, tenant's part."""


def invoice_document(invoice: Invoice, sha256: str, lang: str, w: Words) -> Document:
    """The invoice's document in a language; sha256 is that of its canonical text."""
    period, projects = invoice.period, by_project(invoice.lines)
    return Document(
        lang=lang,
        title=w["invoice"],
        number=invoice.number,
        author=invoice.issuer.title or invoice.issuer.name,
        written=written(invoice.issued_at),
        parties=(
            party(w["issuer"], invoice.issuer, w),
            party(w["buyer"], invoice.buyer, w, invoice.buyer_class),
        ),
        facts=(
            Row(w["period_id"], period.id),
            Row(w["period"], span(period.start, period.end)),
            Row(w["issued"], instant(invoice.issued_at)),
        ),
        amount=Row(w["payable"], won(invoice.totals.payable_won)),
        amounts=_amounts(invoice, w),
        beside=(
            tax_block(invoice.tax_invoice, invoice.terms, w),
            funding_block(invoice.funding, w),
            rounding_block(invoice.terms, w),
            _differences(invoice, w),
        ),
        summary=summary_table(projects, _sums, w, w["no_lines"]),
        sources=_sources(invoice, sha256, w),
        sheets=tuple(_sheet(name, lines, w) for name, lines in projects),
    )


def by_project(lines: Sequence[L]) -> list[tuple[str, list[L]]]:
    """Lines by project, both in the order of the document: its lines are sorted by project."""
    return [(name, list(group)) for name, group in groupby(lines, key=lambda line: line.project)]


def _amounts(invoice: Invoice, w: Words) -> Block:
    totals = invoice.totals
    rows = [
        Row(w["list"], won(totals.list_won)),
        Row(w["tier_part"], won(totals.product_won - totals.list_won)),
        Row(w["product"], won(totals.product_won)),
        Row(w["fund_part"], won(-totals.funder_won)),
        Row(w["discount"], won(-totals.discount_won)),
        Row(w["tenant"], won(totals.tenant_won), "strong"),
        Row(w["supply"], won(totals.supply_value_won)),
        Row(w["vat"], won(totals.vat_won)),
        Row(w["payable"], won(totals.payable_won), "total"),
    ]
    return Block(f"{w['amounts']} ({w['won']})", tuple(rows))


def tax_block(tax: TaxInvoice | AmendedTaxInvoice, terms: Terms, w: Words, *more: Row) -> Block:
    """The data for a tax invoice; ``more`` stands before the date of writing."""
    rows = (
        Row(w["document"], w.get(tax.document, tax.document)),
        Row(w["treatment"], f"{w[terms.tax_treatment]} · {w['vat_rate']} {percent(terms.vat_factor)}"),
        Row(w["supply"], won(tax.supply_value_won)),
        Row(w["vat"], won(tax.vat_won)),
        *more,
        Row(w["written_on"], tax.written_on),
    )
    return Block(w["tax"], rows, w["not_filed"])


def funding_block(funding: Sequence[Funding], w: Words, sign: int = 1) -> Block:
    """What each fund pays; sign -1 where that is taken off."""
    place = {True: w["inside"], False: w["outside"]}
    rows = [Row(part.fund, f"{won(sign * part.won)}\n{place[part.in_supply_value]}") for part in funding]
    return Block(w["funding"], tuple(rows) or (Row(w["no_funding"], ""),))


def rounding_block(terms: Terms, w: Words) -> Block:
    """How lines and tax are rounded."""
    rows = (
        Row(w["per_line"], w[terms.line_rounding].format(quantum=terms.line_quantum_won)),
        Row(w["of_vat"], w[terms.vat_rounding].format(quantum=terms.vat_quantum_won)),
    )
    return Block(w["rounding"], rows)


def _differences(invoice: Invoice, w: Words) -> Block:
    rows = tuple(Row(part.account, micro(part.microwon)) for part in invoice.rounding)
    return Block(w["differences"], rows or (Row(w["no_differences"], ""),))


def _sources(invoice: Invoice, sha256: str, w: Words) -> Block:
    sources = invoice.sources
    slices = w["slices_text"].format(
        slices=f"{sources.slices:,}",
        first=f"{sources.first_seq:,}",
        last=f"{sources.last_seq:,}",
        transactions=f"{sources.transactions:,}",
    )
    usage = w["usage_text"].format(
        held=hours(gpu_hours(sources.held_milli_gpu_ms)), billed=hours(gpu_hours(sources.billed_milli_gpu_ms))
    )
    versions = ", ".join(str(version) for version in sources.policy_versions)
    rule = w["rule_text"] if invoice.terms.billing_rule == BILLING_RULE else invoice.terms.billing_rule
    rows = (
        Row(w["rule"], rule),
        Row(w["usage"], usage),
        Row(w["slices"], slices if sources.slices else w["slices_none"]),
        Row(w["policies"], f"{versions or '–'} · {', '.join(sources.rate_cards) or '–'}"),
        Row(w["slices_sha256"], sources.slices_sha256, "code"),
        Row(w["own_sha256"], sha256, "code"),
        Row(w["verify"], f"dure invoice verify {invoice.number}", "code"),
    )
    return Block(w["sources"], rows)


def summary_table(projects: Sequence[tuple[str, Sequence[L]]], sums: Sums[L], w: Words, empty: str = "") -> Table:
    """A row for each project with its sums, and all of them together."""
    columns = (
        (w["project"], "left", "fr"),
        (w["lines"], "right", "auto"),
        (w["gpu_hours"], "right", "auto"),
        (w["product"], "right", "auto"),
        (w["fund_part"], "right", "auto"),
        (w["discount"], "right", "auto"),
        (w["tenant"], "right", "auto"),
    )
    rows = tuple((name, f"{len(lines):,}", *sums(lines)) for name, lines in projects)
    every = [line for _, lines in projects for line in lines]
    total = (w["sum"], f"{len(every):,}", *sums(every)) if len(rows) > 1 else ()
    return Table(w["projects"], columns, rows, total, empty)


def _sums(lines: Sequence[Line]) -> tuple[str, ...]:
    return (
        hours(gpu_hours(sum(line.billed_milli_gpu_ms for line in lines))),
        won(sum(line.product_won for line in lines)),
        won(sum(line.funder_won for line in lines)),
        won(sum(line.discount_won for line in lines)),
        won(sum(line.tenant_won for line in lines)),
    )


def _sheet(name: str, lines: Sequence[Line], w: Words) -> Table:
    columns = (
        (w["line"], "right", "auto"),
        (w["item"], "left", "fr"),
        (w["gpu_hours"], "right", "auto"),
        (w["unit_price"], "right", "auto"),
        (w["factors"], "right", "auto"),
        (w["product"], "right", "auto"),
        (w["fund_part"], "right", "auto"),
        (w["discount"], "right", "auto"),
        (w["tenant"], "right", "auto"),
    )
    rows = tuple(
        (
            f"{line.number:,}",
            f"{line.flavor} · {tier_name(line.tier, w)}\n{line.rate_card} · {line.class_name}",
            hours(line.gpu_hours),
            won(line.list_won_per_gpu_hour),
            f"{line.tier_factor} × {line.class_factor}",
            won(line.product_won),
            f"{won(line.funder_won)}\n{line.funder}" if line.funder else "–",
            won(line.discount_won) if line.discount_won else "–",
            won(line.tenant_won),
        )
        for line in lines
    )
    total, *parts = _sums(lines)
    return Table(f"{w['project']} {name}", columns, rows, ("", w["sum"], total, "", "", *parts))


def tier_name(tier: str, w: Words) -> str:
    """A tier's name as people read it."""
    return w.get(tier, tier)
