"""The sheet of usage by chosen groups: their columns in the given order, a bar, and the sum as the last row."""

from __future__ import annotations

from typing import Any

from scheduler.cli import tables as t
from scheduler.cli.clean import shortened
from scheduler.cli.tables import Cell, Column, Row, Sheet, View
from scheduler.core.errors import Fatal
from scheduler.schema import bodies

BAD_VALUE = "DURE-1008"
GROUPS = ("project", "user", "flavor", "tier", "day")
TOTAL = "total"


def groups(text: str) -> tuple[str, ...]:
    """The groups of ``--by``; raises Fatal for what is none, and for doubles."""
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    for name in names:
        if name not in GROUPS or names.count(name) > 1:
            what = f"--by {shortened(text)}: {shortened(name)} is {'named twice' if name in GROUPS else 'no group'}"
            raise Fatal(BAD_VALUE, what, f"use each of {', '.join(GROUPS)} at most once")
    return names


def grouped(page: bodies.UsageList) -> list[Any]:
    """The rows of the table: the groups, then their sum; none where there is no usage."""
    if not page.items or page.totals is None or not page.by:
        return list(page.items)
    first = page.by[0]
    named = {first: TOTAL, "org": ""}
    return [*page.items, Row({**page.totals.model_dump(), **named})]


def usage_sheet(page: bodies.UsageList) -> Sheet:
    """The sheet for the groups of this answer."""
    most = max((item.held_milli_gpu_ms for item in page.items), default=0)

    def name(row: Any) -> str:
        return "/".join(_group(group)(row, View()) for group in page.by)

    return Sheet(
        (
            *(Column(group.upper(), _group(group), folds=group == "project") for group in page.by),
            Column("HELD GPU-H", t.hours("held_milli_gpu_ms"), right=True),
            Column("", _bar(most), leaves=1),
            Column("BILLED GPU-H", t.hours("billed_milli_gpu_ms"), right=True, leaves=3),
            Column("COST", t.cost, right=True),
            Column("JOBS", t.number("jobs"), right=True, leaves=2),
            Column("NOT YET POSTED", t.hours("unposted_milli_gpu_ms"), wide=True, right=True),
        ),
        name,
        name,
        t.fields_of(bodies.UsageLine),
        empty="no usage in this time",
    )


def _group(group: str) -> Cell:
    if group != "project":
        return lambda row, view: str(getattr(row, group))
    return lambda row, view: f"{row.org}/{row.project}" if row.org else str(row.project)


def _bar(most: int) -> Cell:
    """Held time against that of the largest group; the sum has none."""

    def cell(row: Any, view: View) -> str:
        return "" if isinstance(row, Row) else t.bar(row.held_milli_gpu_ms, most, view.bars)

    return cell
