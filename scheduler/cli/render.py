"""One place for everything that is printed on standard output: tables, JSON, JSON lines, YAML, CSV, ids and names.

JSON and YAML hold the API's body unchanged. A table is text that a terminal cannot misread: control characters are
gone, Hangul takes two columns, and without a terminal there is no colour, no wrapping and no cutting.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scheduler.cli.clean import clean, clean_json, unsafe
from scheduler.cli.errors import colourful
from scheduler.cli.layout import FOLD_LEAST, GAP, Fitted, cards, fitted
from scheduler.cli.tables import Column, Sheet, View, bars_of

PLAIN_COLUMNS = 100_000
# A spreadsheet would run a cell that begins with one of these; a leading apostrophe makes it a text.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Page:
    """What standard output is: a terminal of so many columns, or something else."""

    terminal: bool
    colour: bool
    columns: int


def stdout_page(indent: int = 0) -> Page:
    """What standard output is now, without ``indent`` columns that the caller writes itself."""
    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if terminal else PLAIN_COLUMNS
    return Page(terminal, colourful(sys.stdout), max(1, columns - indent))


def stdout_view(now_ms: int) -> View:
    """The view for standard output: the time, and bars that its encoding has."""
    return View(now_ms, bars=bars_of(sys.stdout))


def stderr_view() -> View:
    """The view for what is said to people: bars that the encoding of standard error has."""
    return View(bars=bars_of(sys.stderr))


def folded(text: str, indent: int) -> list[str]:
    """Words for people in lines that fit beside ``indent`` columns of a terminal; elsewhere one line."""
    if not sys.stderr.isatty():
        return [text]
    columns = shutil.get_terminal_size().columns - indent
    return textwrap.wrap(text, max(FOLD_LEAST, columns), subsequent_indent="  " if text.startswith("- ") else "")


def plain(body: Any) -> Any:
    """A body as JSON's own types; dicts and lists are taken as they are."""
    return body.model_dump(mode="json") if hasattr(body, "model_dump") else body


def render(
    body: Any, sheet: Sheet, output: str, view: View, items: Sequence[Any] | None = None, page: Page | None = None
) -> str:
    """The text of a body, or of the items of a listing. ``items`` None means that the body is the only item.

    page: where a table goes; standard output without it.
    """
    rows = [body] if items is None else list(items)
    match output:
        case "json":
            return to_json(plain(body)) + "\n"
        case "yaml":
            return to_yaml(plain(body))
        case "jsonl":
            return "".join(to_json(plain(row), indent=None) + "\n" for row in rows)
        case "csv":
            return to_csv([plain(row) for row in rows], sheet.fields)
        case "id":
            return "".join(clean(sheet.id(row)) + "\n" for row in rows)
        case "name":
            return "".join(clean(sheet.name(row)) + "\n" for row in rows)
    if items is None and sheet.card:
        return card(sheet, body, view)
    # -o wide shows all there is: nothing leaves, and where it does not fit each row becomes a card.
    if output == "wide":
        columns = [replace(column, leaves=0) for column in sheet.columns]
    else:
        columns = [column for column in sheet.columns if not column.wide]
    return table(columns, rows, view, page or stdout_page())


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON with readable Hangul and without characters that a terminal might act upon."""
    separators = None if indent else (",", ":")
    return clean_json(json.dumps(value, ensure_ascii=False, indent=indent, separators=separators))


def to_yaml(value: Any) -> str:
    """YAML in the body's own order; where a terminal might act upon a character, all but ASCII is escaped."""
    import yaml

    harmless = not unsafe(json.dumps(value, ensure_ascii=False))
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=harmless, width=1_000)
    return text


def to_csv(rows: Sequence[Any], fields: Sequence[str]) -> str:
    """CSV with the body's fields as columns; nested values are JSON; no cell is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in fields])
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = clean(value)
        return f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return str(value) if isinstance(value, int) else to_json(value, indent=None)


def table(columns: Sequence[Column], rows: Sequence[Any], view: View, page: Page) -> str:
    """A table with a heading, as wide as its cells; on a narrower terminal it is made to fit, and says how."""
    if not rows:
        return ""
    cells = [[clean(column.cell(row, view)) for column in columns] for row in rows]
    if not page.terminal:
        return _grid(columns, cells, page, None)
    fit = fitted(columns, cells, page.columns)
    if fit is None:
        return cards(columns, cells, page.columns)
    left = [clean(column.title) for place, column in enumerate(columns) if place not in fit.shown]
    note = f"(not shown: {', '.join(left)}; all of it: -o wide)" if left else ""
    kept = [[row[place] for place in fit.shown] for row in cells]
    lines = textwrap.wrap(note, page.columns)
    return _grid([columns[place] for place in fit.shown], kept, page, fit) + "".join(f"{line}\n" for line in lines)


def _grid(columns: Sequence[Column], cells: Sequence[Sequence[str]], page: Page, fit: Fitted | None) -> str:
    from rich.table import Table
    from rich.text import Text

    gap = fit.gap if fit else GAP
    grid = Table(box=None, pad_edge=False, show_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    grid.show_header = any(column.title for column in columns)
    for place, column in enumerate(columns):
        justify: Any = "right" if column.right else "left"
        overflow: Any = "ellipsis" if column.cuts else "fold"
        grid.add_column(
            clean(column.title),
            justify=justify,
            no_wrap=not column.folds,
            overflow=overflow,
            width=fit.widths[place] if fit else None,
        )
    for row in cells:
        grid.add_row(*(Text(text) for text in row))
    return _printed(grid, page)


def _printed(what: Any, page: Page) -> str:
    """What rich prints, line by line without spaces at the ends."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=page.columns,
        force_terminal=page.colour,
        no_color=not page.colour,
        color_system="standard" if page.colour else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ=dict(os.environ),
    )
    console.print(what)
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())


def card(sheet: Sheet, body: Any, view: View) -> str:
    """One thing as lines of label and value; empty values are left out."""
    cells = [(clean(column.title), clean(column.cell(body, view))) for column in sheet.columns]
    widest = max(len(title) for title, _ in cells)
    return "".join(f"{title.ljust(widest)}   {text}\n" for title, text in cells if text not in ("", "-"))
