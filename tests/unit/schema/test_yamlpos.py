"""YAML with places: what is read, where it stands, and what is refused."""

from __future__ import annotations

import time

import pytest
import yaml

from scheduler.schema import yamlpos
from scheduler.schema.report import FINDINGS_MAX, TASK_CODES, Report
from scheduler.schema.yamlpos import DEPTH_MAX, SIZE_MAX_BYTES, Items, Node, Scalar, Table, read_yaml
from tests.corpus import broken_files


def read(content: bytes | str, documents_max: int = 1) -> tuple[list[Node], list[str]]:
    """Roots, and findings as ``line:column code``."""
    report = Report("f", TASK_CODES)
    roots = read_yaml(content, report, documents_max=documents_max)
    return roots, [f"{item.where[2:]} {item.code}" for item in report.findings()]


def plain(node: Node) -> object:
    """A node as plain data, scalars as (line, column, text)."""
    if isinstance(node, Scalar):
        return (*node.place[:2], node.text)
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    assert isinstance(node, Table)
    return {key.text: plain(value) for key, value in node.entries}


def test_every_value_keeps_its_text_and_place() -> None:
    text = 'a: 0.10\n한글: [yes, "no", 12:30:00]\nb:\n  c: |\n    x\n    y\n  d: 1_000 # note\n'
    roots, findings = read(text)
    assert findings == []
    assert plain(roots[0]) == {
        "a": (1, 4, "0.10"),
        "한글": [(2, 6, "yes"), (2, 11, "no"), (2, 17, "12:30:00")],
        "b": {"c": (4, 6, "x\ny\n"), "d": (7, 6, "1_000")},
    }


def test_columns_count_characters_beyond_the_first_plane() -> None:
    roots, _ = read("{😀😀: 한, b: 2}\n")
    assert plain(roots[0]) == {"😀😀": (1, 6, "한"), "b": (1, 12, "2")}


@pytest.mark.parametrize(
    ("text", "style", "empty"),
    [
        ("a: x", "plain", False),
        ("a: 'x'", "quoted", False),
        ('a: "x"', "quoted", False),
        ("a: |\n  x", "quoted", False),
        ("a:", "plain", True),
        ("a: ~", "plain", True),
        ("a: null", "plain", True),
        ("a: ''", "quoted", False),
        ("a: 'null'", "quoted", False),
        ("a: nil", "plain", False),
    ],
)
def test_quotes_are_remembered(text: str, style: str, empty: bool) -> None:
    roots, _ = read(text)
    assert isinstance(roots[0], Table)
    value = roots[0].entries[0][1]
    assert isinstance(value, Scalar)
    assert (value.style, value.empty) == (style, empty)


REFUSED = {
    "not utf-8 at its byte, counted in characters": ("가: ".encode() + b"\xff", ["1:4 DURE-1101"]),
    "utf-16": ("a: 1".encode("utf-16"), ["1:1 DURE-1101"]),
    "nul": ("a: 1\nb: \0", ["2:4 DURE-1101"]),
    "escape character": ("a: \x1b[0m", ["1:4 DURE-1101"]),
    "carriage return alone": ("a: 1\rb: 2", ["1:5 DURE-1101"]),
    "next line, which editors do not count": ("a: 1\x85b: 2", ["1:5 DURE-1101"]),
    "right-to-left override": ("# \u202e", ["1:3 DURE-1101"]),
    "byte order mark in the middle": ("a: \ufeff1", ["1:4 DURE-1101"]),
    "nul as an escape": ('a: "x\\0"', ["1:4 DURE-1101"]),
    "surrogate as an escape": ('a: "\\ud800"', ["1:7 DURE-1102"]),
    "surrogate in a text": ("a: \ud800", ["1:4 DURE-1101"]),
    "anchor": ("a: &x 1", ["1:4 DURE-1103"]),
    "alias": ("a: *x", ["1:4 DURE-1103"]),
    "tag": ("a: !!str 1", ["1:4 DURE-1103"]),
    "directive": ("%YAML 1.1\n---\na: 1", ["1:1 DURE-1103"]),
    "key that is a list": ("? [a]\n: 1", ["1:3 DURE-1103"]),
    "key that is nothing": ("~: 1", ["1:1 DURE-1103"]),
    "key twice, as text": ("a: 1\n'a': 2\nb: 3", ["2:1 DURE-1111"]),
    "nested key twice": ("a: {b: 1, b: 2}", ["1:11 DURE-1111"]),
    "second document": ("a: 1\n---\nb: 1", ["3:1 DURE-1103"]),
    "empty": ("", ["1:1 DURE-1112"]),
    "only comments": ("# nothing\n---\n", ["1:1 DURE-1112"]),
    "tab": ("a:\n\tb: 1", ["2:1 DURE-1102"]),
    "colon": ("a: b: c", ["1:5 DURE-1102"]),
    "no colon": ("a: 1\nbc\nd: 1", ["2:1 DURE-1102"]),
    "open list": ("a: [1, 2\nb: 1", ["1:4 DURE-1102"]),
    "open mapping": ("a: {b: 1\nc: 1", ["1:4 DURE-1102"]),
    "open quote": ("b: 1\na: 'x", ["2:4 DURE-1102"]),
    "at sign": ("a: @x", ["1:4 DURE-1102"]),
    "unknown escape": ('a: "\\q"', ["1:5 DURE-1102"]),
    "list in a mapping": ("a: 1\n- b", ["2:1 DURE-1102"]),
    "two commas": ("a: [1,,2]", ["1:7 DURE-1102"]),
}


@pytest.mark.parametrize(("content", "wanted"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_and_where(content: bytes | str, wanted: list[str]) -> None:
    assert read(content)[1] == wanted


@pytest.mark.parametrize("content", ["a: 1", "\ufeffa: 1", b"\xef\xbb\xbfa: 1", "a: 1\r\n", "---\na: 1\n...\n"])
def test_what_editors_add_is_no_mistake(content: bytes | str) -> None:
    roots, findings = read(content)
    assert findings == []
    assert len(roots) == 1


def test_everything_beside_a_mistake_is_still_read() -> None:
    roots, findings = read("a: *x\nb: [1, &y 2]\nb: 3\nc: 4")
    assert findings == ["1:4 DURE-1103", "2:8 DURE-1103", "3:1 DURE-1111"]
    assert isinstance(roots[0], Table)
    assert [key.text for key, _ in roots[0].entries] == ["a", "b", "c"]


def test_documents_are_divided_and_empty_ones_left_out() -> None:
    roots, findings = read("---\na: 1\n---\n---\nb: 1\n---\n", documents_max=2)
    assert findings == []
    assert [plain(root) for root in roots] == [{"a": (2, 4, "1")}, {"b": (5, 4, "1")}]


def test_depth_is_bounded() -> None:
    assert read("[" * DEPTH_MAX + "]" * DEPTH_MAX)[1] == []
    assert read("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1))[1] == [f"1:{DEPTH_MAX + 1} DURE-1103"]


def test_size_is_bounded_in_bytes() -> None:
    fits = "a: " + "가" * ((SIZE_MAX_BYTES - 3) // 3)
    assert read(fits)[1] == []
    assert read(fits + "가")[1] == read((fits + "가").encode())[1] == ["1:1 DURE-1101"]


def test_findings_are_bounded_and_counted() -> None:
    report = Report("f", TASK_CODES)
    read_yaml("".join(f"- &a{number} x\n" for number in range(5_000)), report)
    findings = report.findings()
    assert len(findings) == FINDINGS_MAX + 1
    assert findings[-1].message == f"{5_000 - FINDINGS_MAX} more findings are not shown"


PATHOLOGICAL = {
    "brackets": "[",
    "braces": "{",
    "dashes": "- ",
    "question marks": "? ",
    "colons": ":",
    "quotes": "''",
    "documents": "---\n",
    "aliases": "- *a\n",
    "lists in lists": "- - - a\n",
    "open flow list": "[a,",
}


@pytest.mark.parametrize("piece", PATHOLOGICAL.values(), ids=PATHOLOGICAL.keys())
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (SIZE_MAX_BYTES // len(piece))
    begun = time.process_time()
    read(text)
    # Measured: at most 1.5 s of processor time; one of quadratic cost took minutes.
    assert time.process_time() - begun < 15


def test_the_parser_without_c_agrees_on_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [(file.read_bytes(), file.name) for group in ("task", "policy") for file in broken_files(group)]
    fast = [read(text, 20)[1] for text, _ in texts]
    monkeypatch.setattr(yamlpos, "_LOADER", yaml.SafeLoader)
    slow = [read(text, 20)[1] for text, _ in texts]
    assert [[item.split()[1] for item in found] for found in slow] == [
        [item.split()[1] for item in found] for found in fast
    ]
