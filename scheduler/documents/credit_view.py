"""A credit note as a document: the first page, and a table for each project."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.core.accounting.credit_model import CreditLine, CreditNote
from scheduler.core.accounting.invoice import gpu_hours
from scheduler.documents.invoice_view import (
    Words,
    by_project,
    funding_block,
    rounding_block,
    summary_table,
    tax_block,
    tier_name,
)
from scheduler.documents.view import Block, Document, Row, Table, hours, instant, party, span, won, written


def credit_document(note: CreditNote, sha256: str, lang: str, w: Words) -> Document:
    """The note's document in a language; sha256 is that of its canonical text."""
    period, totals, consent = note.invoice.period, note.totals, note.consent
    projects = by_project(note.lines)
    original = Row(w["original_written_on"], note.tax_invoice.original_written_on)
    return Document(
        lang=lang,
        title=w["credit_note"],
        number=note.number,
        author=note.issuer.title or note.issuer.name,
        written=written(note.issued_at),
        parties=(party(w["issuer"], note.issuer, w), party(w["buyer"], note.buyer, w, note.buyer_class)),
        facts=(
            Row(w["of_invoice"], f"{note.invoice.number} ({instant(note.invoice.issued_at)})"),
            Row(w["period_id"], f"{period.id} ({span(period.start, period.end)})"),
            Row(w["issued"], instant(note.issued_at)),
            Row(w["reason"], w[f"reason_{consent.reason}"]),
        ),
        amount=Row(w["credited"], won(-totals.payable_won)),
        amounts=_amounts(note, w),
        beside=(
            _consent(note, w),
            tax_block(note.tax_invoice, note.terms, w, original),
            funding_block(note.funding, w, -1),
        ),
        summary=summary_table(projects, _sums, w),
        sources=_sources(note, sha256, w),
        sheets=tuple(_sheet(name, lines, w) for name, lines in projects),
    )


def _amounts(note: CreditNote, w: Words) -> Block:
    totals = note.totals
    rows = (
        Row(w["list"], won(-totals.list_won)),
        Row(w["tier_part"], won(totals.list_won - totals.product_won)),
        Row(w["product"], won(-totals.product_won)),
        Row(w["fund_part"], won(-totals.funder_won)),
        Row(w["discount"], won(-totals.discount_won)),
        Row(w["tenant"], won(-totals.tenant_won), "strong"),
        Row(w["supply"], won(-totals.supply_value_won)),
        Row(w["vat"], won(-totals.vat_won)),
        Row(w["credited"], won(-totals.payable_won), "total"),
    )
    return Block(f"{w['amounts']} ({w['won']})", rows)


def _consent(note: CreditNote, w: Words) -> Block:
    consent = note.consent
    rows = (
        Row(w["proposed"], f"{consent.proposed_by}\n{instant(consent.proposed_at)}"),
        Row(w["approved"], f"{consent.approved_by}\n{instant(note.issued_at)}"),
        Row(w["reason_text"], consent.text),
    )
    return Block(w["reason"], rows)


def _sources(note: CreditNote, sha256: str, w: Words) -> Block:
    rows = (
        *(Row(f"{w['rounding']}, {row.label}", row.value) for row in rounding_block(note.terms, w).rows),
        Row(w["booked"], w["booked_text"].format(period=note.booked_in, number=note.number)),
        Row(w["invoice_sha256"], note.invoice.sha256, "code"),
        Row(w["own_sha256"], sha256, "code"),
        Row(w["verify"], f"dure credit verify {note.number}", "code"),
    )
    return Block(w["sources"], rows)


def _sums(lines: Sequence[CreditLine]) -> tuple[str, ...]:
    off = sum(line.before_milli_gpu_ms - line.after_milli_gpu_ms for line in lines)
    return (
        f"-{hours(gpu_hours(off))}",
        won(-sum(line.product_won for line in lines)),
        won(-sum(line.funder_won for line in lines)),
        won(-sum(line.discount_won for line in lines)),
        won(-sum(line.tenant_won for line in lines)),
    )


def _change(line: CreditLine) -> str:
    return f"{hours(gpu_hours(line.before_milli_gpu_ms))} → {hours(gpu_hours(line.after_milli_gpu_ms))}"


def _sheet(name: str, lines: Sequence[CreditLine], w: Words) -> Table:
    columns = (
        (w["line"], "right", "auto"),
        (w["item"], "left", "fr"),
        (w["before_after"], "right", "auto"),
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
            f"{_change(line)}\n-{hours(line.gpu_hours)} × {won(line.list_won_per_gpu_hour)}",
            f"{line.tier_factor} × {line.class_factor}",
            won(-line.product_won),
            f"{won(-line.funder_won)}\n{line.funder}" if line.funder else "–",
            won(-line.discount_won) if line.discount_won else "–",
            won(-line.tenant_won),
        )
        for line in lines
    )
    total, *parts = _sums(lines)
    return Table(f"{w['project']} {name}", columns, rows, ("", w["sum"], total, "", *parts))
