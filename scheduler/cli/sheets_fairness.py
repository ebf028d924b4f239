"""The tables of ``dure fairness report``."""

from __future__ import annotations

from typing import Any

from scheduler.cli import tables as t
from scheduler.cli.tables import Cell, Column, Sheet, View
from scheduler.schema import bodies
from scheduler.schema.times import span_text

WITHHELD = "withheld"
ALL = "all"


def _shown(name: str, text: Any) -> Cell:
    """A figure in words; that it is withheld, or a dash where there is none."""

    def cell(row: Any, view: View) -> str:
        value = getattr(row, name)
        if row.suppressed:
            return WITHHELD
        return t.NOTHING if value is None else str(text(value))

    return cell


def _received(row: Any, view: View) -> str:
    """Receipt of entitlement as a bar, full at all of it."""
    if row.suppressed or row.received_ppm is None:
        return WITHHELD if row.suppressed else t.NOTHING
    return f"{t.bar(row.held_milli_gpu_ms, row.entitled_milli_gpu_ms, view.bars)}  {_percent(row.received_ppm)}"


def _percent(ppm: int) -> str:
    return f"{(ppm + 500) // 1_000 // 10}.{(ppm + 500) // 1_000 % 10}%"


def _index(ppm: int) -> str:
    thousandths = (ppm + 500) // 1_000
    return f"{thousandths // 1_000}.{thousandths % 1_000:03d}"


def _wait(name: str) -> Cell:
    """A percentile; ``>=`` where waits below it are not over."""

    def cell(row: Any, view: View) -> str:
        value = getattr(row, f"{name}_ms")
        if row.suppressed or value is None:
            return WITHHELD if row.suppressed else t.NOTHING
        return (">= " if getattr(row, f"{name}_at_least") else "") + span_text(value)

    return cell


SHARES = Sheet(
    (
        Column("TREE NODE", t.text("tree_node"), folds=True),
        Column("RECEIVED", _received),
        Column("HELD GPU-H", _shown("held_milli_gpu_ms", t.hours_text), right=True, leaves=4),
        Column("ENTITLED GPU-H", _shown("entitled_milli_gpu_ms", t.hours_text), right=True, leaves=3),
        Column("OF CAPACITY", _shown("capacity_ppm", _percent), right=True, leaves=1),
        Column("ORGS", _shown("organisations", str), right=True, leaves=2),
        Column("JAIN", _shown("jain_ppm", _index), right=True),
        Column("GINI", _shown("gini_ppm", _index), right=True),
    ),
    t.by_field("tree_node"),
    t.by_field("tree_node"),
    t.fields_of(bodies.FairnessShare),
    empty="nothing was asked for in this time",
)
WAITS = Sheet(
    (
        Column("CLASS", lambda row, view: row.class_name or ALL),
        Column("GPUS", lambda row, view: row.size or ALL),
        Column("JOBS", _shown("jobs", str), right=True),
        Column("WAITING", _shown("waiting", str), right=True, leaves=2),
        Column("UNSTARTED", _shown("withdrawn", str), right=True, leaves=1),
        Column("WAIT P50", _wait("p50"), right=True),
        Column("WAIT P95", _wait("p95"), right=True),
    ),
    t.by_field("class_name"),
    t.by_field("class_name"),
    t.fields_of(bodies.FairnessWait),
    empty="no job waited in this time",
)
