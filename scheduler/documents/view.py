"""What a document shows, before it is typeset: texts only, every number formatted, nothing left to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.core.accounting.invoice_model import Party
from scheduler.core.instants import parse_rfc3339, rfc3339_kst
from scheduler.core.units import MICRO_PER_WON, format_ppm, parse_ppm


@dataclass(frozen=True, slots=True)
class Row:
    """A label and its value; kind is "", "strong" or "code"."""

    label: str
    value: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading and rows under it."""

    title: str
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. columns: (title, "left" or "right", "fr" or "auto"). A cell may have a second, quieter line after LF."""

    title: str
    columns: tuple[tuple[str, str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    sums: tuple[str, ...] = ()
    empty: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole document. written: year, month, day, hour, minute, second in Korea."""

    lang: str
    title: str
    number: str
    author: str
    written: tuple[int, ...]
    parties: tuple[Block, ...]
    facts: tuple[Row, ...]
    amount: Row
    amounts: Block
    beside: tuple[Block, ...]
    summary: Table
    sources: Block
    sheets: tuple[Table, ...] = field(default=())


def won(amount: int) -> str:
    """Whole won with thousands separators."""
    return f"{amount:,}"


def micro(amount: int) -> str:
    """Micro-won as won with all six places."""
    whole, part = divmod(abs(amount), MICRO_PER_WON)
    return f"{'-' if amount < 0 else ''}{whole:,}.{part:06d}"


def hours(text: str) -> str:
    """Decimal GPU-hours of a document with separators in the whole part."""
    whole, _, part = text.partition(".")
    return f"{int(whole):,}.{part}" if whole.isdigit() else text


def instant(text: str) -> str:
    """An RFC 3339 instant in Korean time to the minute."""
    local = rfc3339_kst(parse_rfc3339(text))
    return f"{local[:10]} {local[11:16]} KST"


def span(start: str, end: str) -> str:
    """A period [start, end) in Korean time."""
    return f"{instant(start)} – {instant(end)}"


def written(issued_at: str) -> tuple[int, ...]:
    """The parts of an instant in Korea, for the date of the file."""
    local = rfc3339_kst(parse_rfc3339(issued_at))
    return tuple(int(local[first:last]) for first, last in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)))


def party(title: str, who: Party, w: Mapping[str, str], class_name: str = "") -> Block:
    """Who issues or receives."""
    rows = [
        Row("", who.title or who.name, "strong"),
        Row(w["registration"], who.registration_number or w["no_registration"]),
        Row(w["id"], who.name),
    ]
    if class_name:
        rows.append(Row(w["class"], class_name))
    return Block(title, tuple(rows))


def percent(factor: str) -> str:
    """A decimal factor as per cent: ``0.1`` is ``10%``."""
    return f"{format_ppm(parse_ppm(factor) * 100)}%"
