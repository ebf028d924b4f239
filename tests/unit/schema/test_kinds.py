"""Kinds of values: what each reads, in what form, and what it says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.kinds import Choice, Decimal, Duration, Flag, GpuRequest, Instant, Text, Whole
from scheduler.schema.quantities import Gpus
from scheduler.schema.report import POLICY_CODES, Report
from scheduler.schema.validate import Field, Kind, ListOf, MapOf, Objects, Unsupported, Values, read_at
from scheduler.schema.yamlpos import read_yaml

WEIGHT = Decimal(6, 0, 10_000_000)
GPUS = Decimal(3, 0, 100_000)
LONG = Duration(1_000, 24 * MS_PER_HOUR)


def read(kind: Kind[Any], text: str) -> tuple[Any, list[tuple[str, str]]]:
    """The value of field ``a`` and (code, fix) of what was found."""
    report = Report("f", POLICY_CODES)
    roots = read_yaml(f"a: {text}", report)
    value = read_at(Objects((Field("a", kind, "A."),)), roots[0], "", report)
    found = [(item.code[-2:], item.fix) for item in report.findings()]
    return (value.get(Field("a", kind, "A.")) if isinstance(value, Values) else None), found


GOOD: list[tuple[Kind[Any], str, Any]] = [
    (WEIGHT, "0.45", 450_000),
    (WEIGHT, "10", 10_000_000),
    (WEIGHT, "0.000001", 1),
    (WEIGHT, "1.0", 1_000_000),
    (WEIGHT, "007", 7_000_000),
    (GPUS, "0.5", 500),
    (GPUS, "96", 96_000),
    (GPUS, "1.500000", 1_500),
    (Whole(0, 10), "10", 10),
    (Whole(-5, 5), "-5", -5),
    (Flag(), "true", True),
    (Flag(), "False", False),
    (LONG, "12h", 12 * MS_PER_HOUR),
    (LONG, "90s", 90_000),
    (LONG, "5000ms", 5_000),
    (LONG, '"1h"', MS_PER_HOUR),
    (Instant(), "2026-12-01T00:00:00+09:00", 1_796_050_800_000),
    (Instant(), "2026-12-01 00:00:00Z", 1_796_083_200_000),
    (Text(), "yes", "yes"),
    (Text(), "1.10", "1.10"),
    (Text(), "0o17", "0o17"),
    (Text(shortest=0), "''", ""),
    (Choice(("a", "b")), "b", "b"),
    (GpuRequest("DURE-1106"), "H100:4", Gpus("H100", 4)),
    (ListOf(Choice(("a", "b")), "x", 2, 1, one_alone=True), "a", ["a"]),
    (ListOf(Choice(("a", "b")), "x", 2, 1), "[b, a]", ["b", "a"]),
    (MapOf(Text(), GPUS, "x", 2), "{x: 1, y: 0.001}", {"x": 1_000, "y": 1}),
    (MapOf(Text(), GPUS, "x", 2), "", {}),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_values_are_read(kind: Kind[Any], text: str, value: Any) -> None:
    assert read(kind, text) == (value, [])


BAD: list[tuple[Kind[Any], str, str, str]] = [
    (WEIGHT, "1e-1", "13", "write 0.1"),
    (WEIGHT, "1E2", "13", "write 100"),
    (WEIGHT, "1e999999999", "13", "write a number such as 0.45, with at most 6 places and no exponent"),
    (WEIGHT, ".5", "13", "write 0.5"),
    (WEIGHT, "+1", "13", "write 1"),
    (WEIGHT, "1_000", "13", "write 1000"),
    (WEIGHT, "1,5", "13", "write a number such as 0.45, with at most 6 places and no exponent"),
    (WEIGHT, "1,500", "13", "write 1500"),
    (WEIGHT, '"0.5"', "13", "write 0.5"),
    (WEIGHT, "0.1234567", "13", "round it to 6 places"),
    (WEIGHT, ".nan", "13", "write a number such as 0.45, with at most 6 places and no exponent"),
    (WEIGHT, "NaN", "13", "write a number such as 0.45, with at most 6 places and no exponent"),
    (WEIGHT, "-.inf", "13", "write a number such as 0.45, with at most 6 places and no exponent"),
    (WEIGHT, "-0.5", "14", "write 0"),
    (WEIGHT, "10.000001", "14", "write 10"),
    (WEIGHT, "１", "13", "write 1"),
    (WEIGHT, "", "13", "write a number such as 0.45, or remove the field"),
    (WEIGHT, "[1]", "13", "write a number such as 0.45"),
    (GPUS, "0.0001", "13", "round it to 3 places"),
    (Whole(0, 10), "11", "14", "write 10"),
    (Whole(1, 10), "0", "14", "write 1"),
    (Whole(0, 10), "1.0", "13", "write 1"),
    (Whole(0, 10), "1.5", "13", "write plain digits"),
    (Whole(0, 10), "1,5", "13", "write plain digits"),
    (Whole(0, 10), "1,500", "13", "write 1500"),
    (Whole(0, 10), "+1_500.0", "13", "write 1500"),
    (Whole(0, 10), "010", "13", "write 10"),
    (Whole(0, 10), "0x0a", "13", "write 10"),
    (Whole(0, 10), "1e1", "13", "write plain digits"),
    (Whole(0, 10), "٣", "13", "write plain digits"),
    (Whole(0, 10), "9" * 19, "13", "write plain digits"),
    (Flag(), "yes", "13", "write true"),
    (Flag(), "off", "13", "write false"),
    (Flag(), '"true"', "13", "write true"),
    (Flag(), "maybe", "13", "write true or false"),
    (LONG, "90", "13", "add the unit: 90s, 90m or 90h"),
    (LONG, "12:30:00", "13", "write 750m"),
    (LONG, "1:30", "13", "write 90m"),
    (LONG, "1d12h", "13", "write a whole number and one unit: ms, s, m, h or d"),
    (LONG, "1500ms", "13", "write 2s"),
    (LONG, "25h", "14", "write 1d"),
    (LONG, "0s", "14", "write 1s"),
    (Instant(), "2026-12-01", "13", "write 2026-12-01T00:00:00+09:00"),
    (Instant(), "2026-12-01T10:00:00", "13", "add the offset from UTC: 2026-12-01T10:00:00+09:00"),
    (Instant(), "2026-02-30T10:00:00Z", "13", "write date, time and offset from UTC"),
    (Text(longest=3), "abcd", "14", "shorten it"),
    (Text(), '""', "14", "write a text, or remove the field"),
    (Text("a word", 9, 1, "[a-z]+"), "A", "13", "write a word"),
    (Choice(("guaranteed", "borrow")), "borow", "13", "did you mean borrow?"),
    (Choice(("guaranteed", "borrow")), "zzz", "13", "write one of guaranteed, borrow"),
    (Choice(("shared",), (("node", "not yet"),)), "node", "15", "write shared"),
    (ListOf(Flag(), "flags", 2), "[true, true, true]", "14", "write flags"),
    (ListOf(Flag(), "flags", 2, unique=True), "[true, true]", "11", "keep one"),
    (ListOf(Flag(), "flags", 2), "true", "13", "write flags"),
    (MapOf(Text(), Flag(), "flags", 1), "{a: true, b: true}", "14", "remove some"),
    (MapOf(Text(), Flag(), "flags", 1, 1), "{}", "12", "write flags"),
    (MapOf(Text("x", 1, 1), Flag(), "flags", 2), "{ab: true}", "14", "shorten it"),
    (MapOf(Text(), Flag(), "flags", 2), "[a]", "13", "write flags"),
]


@pytest.mark.parametrize(("kind", "text", "code", "fix"), BAD)
def test_other_forms_are_refused_with_the_right_one(kind: Kind[Any], text: str, code: str, fix: str) -> None:
    _, found = read(kind, text)
    assert found == [(code, fix)]


INNER = Objects((Field("known", Flag(), "K.", True, "true", ("also",)), Field("size", Whole(0, 9), "S.")))


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("{known: true}", []),
        ("{also: true}", []),
        ("{known: true, also: true}", ['"also" and "known" are the same field']),
        ("{also: true, known: true}", ['"known" and "also" are the same field']),
        ("{size: 1}", ["a.known is missing"]),
        ("{knwon: true}", ['unknown field "a.knwon"']),
        ("{known: true, zzz: 1}", ['unknown field "a.zzz"']),
        ("text", ['a must be a mapping of fields, not "text"']),
    ],
)
def test_objects_know_their_fields(text: str, findings: list[str]) -> None:
    report = Report("f", POLICY_CODES)
    roots = read_yaml(f"a: {text}", report)
    read_at(Objects((Field("a", INNER, "A."),)), roots[0], "", report)
    assert [item.message for item in report.findings()] == findings


def test_known_but_unsupported_fields_have_their_own_sentence() -> None:
    kind = Objects((), unsupported={"later": Unsupported("later is not here yet", "wait")}, hints={"old": "new"})
    report = Report("f", POLICY_CODES)
    kind.read(read_yaml("later: {a: 1}\nold: 1", report)[0], "", report)
    assert [(item.code, item.message, item.fix) for item in report.findings()] == [
        ("DURE-1215", "later is not here yet", "wait"),
        ("DURE-1210", 'unknown field "old"', "did you mean new?"),
    ]


def test_findings_come_in_the_order_of_their_places() -> None:
    report = Report("f", POLICY_CODES)
    text = "b: maybe\na: [1,\n  perhaps]\nd: 1\n"
    fields = (Field("a", ListOf(Flag(), "x", 9), "A."), Field("b", Flag(), "B."))
    Objects(fields).read(read_yaml(text, report)[0], "", report)
    assert [item.where for item in report.findings()] == ["f:1:4", "f:2:5", "f:3:3", "f:4:1"]
