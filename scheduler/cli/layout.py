"""How a table fits a terminal: which columns stay, how wide each is, or that each row becomes a card. Pure.

Numbers, ids and states are never cut: a column either shows them whole or is left out as a whole, and that is said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.cli.clean import width
from scheduler.cli.tables import Column

GAP, GAP_LEAST = 3, 2
CUT_LEAST, FOLD_LEAST = 8, 20
CARD_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Fitted:
    """The columns that are shown (their places in the table), how wide each is, and the space between two."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    gap: int


def fitted(columns: Sequence[Column], cells: Sequence[Sequence[str]], space: int) -> Fitted | None:
    """The layout for ``space`` columns of a terminal; None where only cards show everything that must not be cut."""
    natural = [
        max([width(column.title), *(width(row[place]) for row in cells)]) for place, column in enumerate(columns)
    ]
    least = [_least(column, natural[place]) for place, column in enumerate(columns)]
    shown = list(range(len(columns)))
    for gap in (GAP, GAP_LEAST):
        if _total(natural, shown, gap) <= space:
            return Fitted(tuple(shown), tuple(natural), gap)
    leaving = sorted((place for place in shown if columns[place].leaves), key=lambda place: columns[place].leaves)
    while _total(least, shown, GAP_LEAST) > space:
        if not leaving:
            return None
        shown.remove(leaving.pop(0))
    spare = space - _total(least, shown, GAP_LEAST)
    widths = list(least)
    for place in shown:
        more = min(spare, natural[place] - least[place])
        widths[place] += more
        spare -= more
    return Fitted(tuple(shown), tuple(widths[place] for place in shown), GAP_LEAST)


def _least(column: Column, natural: int) -> int:
    """How narrow a column may become: only names may be cut and only free text may be folded."""
    if column.cuts:
        return min(natural, max(width(column.title), CUT_LEAST))
    if column.folds:
        return min(natural, max(width(column.title), FOLD_LEAST))
    return natural


def _total(widths: Sequence[int], shown: Sequence[int], gap: int) -> int:
    return sum(widths[place] for place in shown) + gap * max(0, len(shown) - 1)


def cards(columns: Sequence[Column], cells: Sequence[Sequence[str]], space: int) -> str:
    """Each row as lines of its own, with nothing cut: label and value, or where columns have no headings a headline."""
    if any(not column.title for column in columns):
        return "".join(_headed(columns, row, space) for row in cells)
    widest = max(width(column.title) for column in columns)
    parts = []
    for row in cells:
        lines = (f"{column.title.ljust(widest)}   {text}" for column, text in zip(columns, row, strict=True) if text)
        parts.append("".join(f"{line.rstrip()}\n" for line in lines))
    return "\n".join(parts)


def _headed(columns: Sequence[Column], row: Sequence[str], space: int) -> str:
    """What is short on one line, free text below it."""
    short = [text for column, text in zip(columns, row, strict=True) if text and not column.folds]
    long = [text for column, text in zip(columns, row, strict=True) if text and column.folds]
    lines = ["   ".join(short)]
    for text in long:
        lines += textwrap.wrap(text, max(FOLD_LEAST, space), initial_indent=CARD_INDENT, subsequent_indent=CARD_INDENT)
    return "".join(f"{line}\n" for line in lines)
