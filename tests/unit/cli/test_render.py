"""Everything that is printed: golden texts of each kind in each shape, and that no terminal can be misled."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.base import SHAPES
from scheduler.cli.clean import clean, clean_json, clean_lines, width
from scheduler.cli.render import Page, plain, render, table, to_json
from scheduler.cli.tables import Column, Sheet, View, bar, by_field
from tests.support.golden import assert_golden
from tests.unit.cli.running import golden
from tests.unit.cli.samples import HOSTILE, LISTS, NOW_MS, SINGLES, listing

VIEW = View(NOW_MS)
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TERMINAL = Page(terminal=True, colour=True, columns=60)


def printed(sheet: Sheet, items: Any, shape: str) -> str:
    return render(listing(items), sheet, shape, VIEW, items)


@pytest.mark.parametrize("name", LISTS)
def test_lists_in_every_shape(name: str) -> None:
    sheet, items = LISTS[name]
    parts = [f"== {shape}\n{printed(sheet, items, shape)}" for shape in SHAPES]
    assert_golden(golden(f"render/{name}.txt"), "".join(parts))


@pytest.mark.parametrize("name", SINGLES)
def test_single_things_in_every_shape(name: str) -> None:
    sheet, body = SINGLES[name]
    parts = [f"== {shape}\n{render(body, sheet, shape, VIEW)}" for shape in SHAPES if shape != "wide"]
    assert_golden(golden(f"render/{name}.txt"), "".join(parts))


@pytest.mark.parametrize("name", LISTS)
def test_json_and_yaml_are_the_body_unchanged(name: str) -> None:
    sheet, items = LISTS[name]
    body = listing(items)
    wanted = json.loads(body.model_dump_json())
    assert json.loads(render(body, sheet, "json", VIEW, items)) == wanted
    assert yaml.safe_load(render(body, sheet, "yaml", VIEW, items)) == wanted
    assert list(json.loads(render(body, sheet, "json", VIEW, items))) == list(wanted)
    lines = printed(sheet, items, "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == wanted["items"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LISTS)
def test_no_shape_lets_a_control_character_through(name: str, shape: str) -> None:
    sheet, items = LISTS[name]
    assert CONTROL.findall(printed(sheet, items, shape)) == []


@pytest.mark.parametrize("name", LISTS)
def test_csv_can_be_read_back_and_runs_no_formula(name: str) -> None:
    sheet, items = LISTS[name]
    rows = list(csv.reader(io.StringIO(printed(sheet, items, "csv"))))
    assert rows[0] == list(sheet.fields)
    assert {len(row) for row in rows} == {len(sheet.fields)}
    assert [cell for row in rows[1:] for cell in row if cell.startswith(("=", "+", "@"))] == []


def test_a_secret_is_in_no_list() -> None:
    sheet, _ = LISTS["tokens"]
    assert "secret" not in sheet.fields
    assert all("SECRET" not in column.title for column in sheet.columns)


def test_columns_of_hangul_line_up() -> None:
    sheet, items = LISTS["orgs"]
    lines = printed(sheet, items, "wide").splitlines()
    starts = [width(line[: line.index(word)]) for line, word in zip(lines, ["TAX", "taxable", "exempt"], strict=True)]
    assert len(set(starts)) == 1


def test_no_line_ends_in_spaces_and_nothing_is_cut_without_a_terminal() -> None:
    sheet = Sheet((Column("A", lambda row, view: row), Column("B", lambda row, view: "b")), str, str, ())
    text = table(sheet.columns, ["x" * 5_000, "y"], VIEW, Page(terminal=False, colour=False, columns=100_000))
    assert text.splitlines()[1] == "x" * 5_000 + "   b"
    assert all(line == line.rstrip() for line in text.splitlines())


def test_on_a_terminal_long_texts_fold_and_headings_are_bold() -> None:
    columns = (Column("ID", lambda row, view: "7f3k"), Column("TEXT", lambda row, view: row, folds=True))
    text = table(columns, ["word " * 30], VIEW, TERMINAL)
    assert "\x1b[1m" in text
    assert max(width(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 60
    assert len(text.splitlines()) > 3


def test_markup_in_text_is_text() -> None:
    columns = (Column("T", lambda row, view: row),)
    assert "[bold red]x[/] :smile:" in table(columns, ["[bold red]x[/] :smile:"], VIEW, TERMINAL)


BARS = {
    "nothing": (0, 16, "▁▁▁▁"),
    "a little is one cell": (1, 16_000, "▇▁▁▁"),
    "half": (8, 16, "▇▇▁▁"),
    "almost all is not all": (15_999, 16_000, "▇▇▇▁"),
    "all": (16, 16, "▇▇▇▇"),
    "more than all": (20, 16, "▇▇▇▇"),
    "use without a guarantee": (1, 0, "▇▇▇▇"),
    "neither": (0, 0, "▁▁▁▁"),
}


@pytest.mark.parametrize(("used", "total", "wanted"), BARS.values(), ids=BARS.keys())
def test_bars(used: int, total: int, wanted: str) -> None:
    assert bar(used, total, "▇▁", 4) == wanted


def test_hostile_text_becomes_harmless() -> None:
    assert clean(HOSTILE) == "done =HYPERLINK(1)evil"
    assert clean("a\x1b[31mb\x1b(0c\x1bPq#1\x1b\\d") == "abcd"
    assert clean_lines("a\x1b[2J\r\nb\tc\n") == "a\nb c\n"
    assert clean("한글 é é ✓") == "한글 é é ✓"


@given(st.text())
def test_cleaned_text_is_safe_and_cleaning_it_again_changes_nothing(text: str) -> None:
    cleaned = clean(text)
    assert CONTROL.findall(cleaned) == []
    assert all(unicodedata.category(char) != "Cs" for char in cleaned)
    assert clean(cleaned) == cleaned


@given(st.recursive(st.text() | st.integers() | st.none() | st.booleans(), st.lists, max_leaves=8))
def test_json_survives_cleaning(value: Any) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert CONTROL.findall(text) == []
    assert clean_json(text) == text


@given(st.text())
def test_yaml_shows_no_control_character(text: str) -> None:
    sheet = Sheet((), by_field("x"), by_field("x"), ())
    shown = render({"x": text}, sheet, "yaml", VIEW)
    assert CONTROL.findall(shown) == []
    assert yaml.safe_load(shown) == {"x": text}


def test_what_is_made_here_is_plain_already() -> None:
    assert plain({"a": 1}) == {"a": 1}
