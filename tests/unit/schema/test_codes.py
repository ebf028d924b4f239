"""The catalogue of codes holds what the sources use, and nothing that they do not."""

from __future__ import annotations

import re

import pytest

from scheduler.schema.codes import CODES, TABLES, explain
from tests.support import source

CODE = re.compile(r"DURE-\d{4}")
CATALOGUE = re.compile(r"scheduler/schema/codes\w*\.py")
USED = {
    code: module.path
    for module in source.modules("scheduler", "operators")
    if not CATALOGUE.fullmatch(module.path)
    for code in CODE.findall(module.text)
}


def test_every_code_in_use_is_listed() -> None:
    assert {code: path for code, path in USED.items() if code not in CODES} == {}


def test_every_listed_code_is_in_use_or_reserved() -> None:
    assert [code for code, entry in CODES.items() if (code in USED) == entry.reserved] == []


def test_no_code_is_in_two_tables() -> None:
    assert sum(len(table) for table in TABLES) == len(CODES)
    assert list(CODES) == sorted(CODES)


@pytest.mark.parametrize("code", CODES)
def test_an_entry_says_something(code: str) -> None:
    entry = CODES[code]
    assert CODE.fullmatch(code)
    assert 5 <= len(entry.title) <= 60
    assert not entry.title.endswith(".")
    assert entry.explanation.endswith(".")
    assert len(entry.explanation) > 30
    assert entry.example
    assert entry.title in explain(code)


def test_codes_are_found_however_they_are_written() -> None:
    assert explain("1104") == explain("dure-1104") == explain("DURE-1104") != ""
    assert explain("DURE-0000") == ""
