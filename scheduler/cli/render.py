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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.cli.clean import clean, clean_json, unsafe
from scheduler.cli.errors import colourful
from scheduler.cli.tables import Column, Sheet, View

PLAIN_COLUMNS = 100_000
# A spreadsheet would run a cell that begins with one of these; a leading apostrophe makes it a text.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Page:
    """What standard output is: a terminal of so many columns, or something else."""

    terminal: bool
    colour: bool
    columns: int


def stdout_page() -> Page:
    """What standard output is now."""
    terminal = sys.stdout.isatty()
    return Page(terminal, colourful(sys.stdout), shutil.get_terminal_size().columns if terminal else PLAIN_COLUMNS)


def stdout_view(now_ms: int) -> View:
    """The view for standard output: the time, and bars that its encoding has."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return View(now_ms, bars="▇▁" if encoding.startswith("utf") else "#.")


def plain(body: Any) -> Any:
    """A body as JSON's own types; dicts and lists are taken as they are."""
    return body.model_dump(mode="json") if hasattr(body, "model_dump") else body


def render(body: Any, sheet: Sheet, output: str, view: View, items: Sequence[Any] | None = None) -> str:
    """The text of a body, or of the items of a listing. ``items`` None means that the body is the only item."""
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
    columns = [column for column in sheet.columns if output == "wide" or not column.wide]
    return table(columns, rows, view, stdout_page())


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
    """A table with a heading; on a terminal it is as wide as that, elsewhere as wide as its cells."""
    if not rows:
        return ""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    grid.show_header = any(column.title for column in columns)
    for column in columns:
        justify: Any = "right" if column.right else "left"
        grid.add_column(clean(column.title), justify=justify, no_wrap=not column.folds, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(clean(column.cell(row, view))) for column in columns))
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
