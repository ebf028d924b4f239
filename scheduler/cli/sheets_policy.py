"""The sheets of policy versions and of what differs between two of them."""

from __future__ import annotations

from typing import Any

from scheduler.cli import tables as t
from scheduler.cli.tables import Column, Sheet, View
from scheduler.schema import bodies

SHORT_SHA = 12
MARKS = {"added": "+", "removed": "-", "changed": "~"}


def _values(row: Any, view: View) -> str:
    return {"added": row.new, "removed": row.old}.get(row.change, f"{row.old} -> {row.new}")


def _price(name: str) -> t.Cell:
    """Micro-won as won; a dash where it is not offered."""
    return lambda row, view: t.NOTHING if getattr(row, name) is None else t.won_of(getattr(row, name))


VERSIONS = Sheet(
    (
        Column("VERSION", lambda row, view: f"{'* ' if row.in_force else ''}{row.version}", right=True),
        Column("APPLIED", t.instant("applied_at")),
        Column("BY", t.text("applied_by"), cuts=True, leaves=4),
        Column("NAME", t.text("name"), cuts=True, leaves=2),
        Column("RATE CARD", t.text("rate_card"), cuts=True, leaves=3),
        Column("SHA-256", lambda row, view: row.sha256[:SHORT_SHA], leaves=1),
        Column("REASON", t.text("reason"), folds=True),
    ),
    t.by_field("version"),
    t.by_field("name"),
    t.fields_of(bodies.PolicyVersionBody),
    empty="no policy has been applied yet",
)
CHANGES = Sheet(
    (
        Column("", lambda row, view: MARKS.get(row.change, "?")),
        Column("FIELD", t.text("path"), folds=True),
        Column("VALUE", _values, folds=True),
        Column("FOR", t.text("who"), wide=True),
    ),
    t.by_field("path"),
    t.by_field("path"),
    t.fields_of(bodies.PolicyChangeBody),
    empty="no difference",
)
GUARANTEES = Sheet(
    (
        Column("FLAVOR", t.text("flavor")),
        Column("GUARANTEED BEFORE", t.gpus("before"), right=True),
        Column("AFTER", t.gpus("after"), right=True),
        Column("REGISTERED", t.gpus("registered"), right=True),
    ),
    t.by_field("flavor"),
    t.by_field("flavor"),
    t.fields_of(bodies.GuaranteeSumBody),
)
PRICES = Sheet(
    (
        Column("CLASS", t.text("class_name")),
        Column("TIER", t.text("tier")),
        Column("FLAVOR", t.text("flavor")),
        Column("GPU-HOUR BEFORE", _price("before_microwon"), right=True),
        Column("AFTER", _price("after_microwon"), right=True),
    ),
    t.by_field("class_name"),
    t.by_field("class_name"),
    t.fields_of(bodies.PolicyPriceBody),
)
