"""Verdicts, usage by groups, credit notes and files as people see them; nothing half-written, nothing binary shown."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.commands.credit import line_left
from scheduler.cli.delivery import write_whole
from scheduler.cli.render import render
from scheduler.cli.sheets_credit import CREDIT_CARD, CREDIT_LINES, CREDITS
from scheduler.cli.sheets_usage import grouped, groups, usage_sheet
from scheduler.cli.tables import View
from scheduler.cli.verdict import heading, lines
from scheduler.client.http import Client
from scheduler.core.errors import DureError
from scheduler.schema import bodies
from tests.support.golden import assert_golden
from tests.unit.cli.conftest import Dure
from tests.unit.cli.running import golden
from tests.unit.cli.samples import NOW_MS, USAGE, listing

ENV = {"DURE_SERVER": "http://127.0.0.1:1", "DURE_TOKEN": "dure_a_b"}
VIEW = View(NOW_MS)
SHA = "0123456789abcdef" * 4
GOOD = [bodies.CheckBody(name=name, ok=True, detail="as it must be") for name in ("fact", "sums", "line 1 usage")]
CREDIT = bodies.CreditBody(
    id="abcdefghijkl",
    state="issued",
    number="DURE-CN-2026-000001",
    invoice="DURE-2026-000007",
    org="hanul-ai",
    reason="02",
    explanation="=노드가 느렸음",
    proposed_by="kim",
    proposed_at="2026-11-10T00:00:00.000Z",
    approved_by="lee",
    issued_at="2026-11-11T00:00:00.000Z",
    booked_in="2026-11",
    product_won=2_717,
    subsidy_won=2_446,
    supply_won=271,
    vat_won=27,
    payable_won=298,
    sha256=SHA,
    lines=[
        bodies.CreditLineBody(
            number=2,
            project="nlp",
            flavor="h100-80g",
            tier="borrow",
            before_milli_gpu_ms=15_634_567_000,
            after_milli_gpu_ms=7_200_000_000,
            product_won=2_717,
            funder_won=2_446,
            discount_won=0,
            tenant_won=271,
        )
    ],
    text="{}",
)
PROPOSAL = CREDIT.model_copy(
    update={"state": "proposed", "number": "", "approved_by": "", "issued_at": "", "sha256": ""}
)


def verdict(**changes: Any) -> bodies.VerifyBody:
    """A verification that found no difference, but for the changes."""
    body = bodies.VerifyBody(
        number="DURE-2026-000007",
        ok=True,
        checks=GOOD,
        lines=214,
        lines_ok=214,
        intervals=9_120,
        total_won=3_594_537,
        closed_at="2026-11-03T01:00:00.000Z",
        closed_by="kim",
        pdfs=(bodies.CheckBody(name="PDF ko", ok=True, detail=f"sha256 {SHA} = the record of what was handed out"),),
        prometheus=bodies.CheckBody(name="Prometheus", ok=True, detail="+0.21 % (limit 1 %, or 0.1 GPU-hours)"),
    )
    return body.model_copy(update=changes)


BAD = bodies.CheckBody(name="line 3 amounts", ok=False, detail="tenant_won is 1, recomputed 2")
VERDICTS = {
    "no difference": verdict(),
    "nothing else was asked": verdict(
        pdfs=(bodies.CheckBody(name="PDF", ok=True, asked=False, detail="none was handed out yet"),),
        prometheus=bodies.CheckBody(name="Prometheus", ok=True, asked=False, detail="not asked"),
    ),
    "a line differs": verdict(ok=False, lines_ok=213, checks=[*GOOD, BAD]),
    "a PDF differs": verdict(ok=False, pdfs=(bodies.CheckBody(name="PDF en", ok=False, detail="sha256 is another"),)),
    "credited": verdict(credit_notes=("DURE-CN-2026-000001", "DURE-CN-2026-000002"), credited_won=1_234),
    "unreadable": verdict(ok=False, lines=0, total_won=-1, closed_at="", checks=[BAD]),
}


def test_what_a_verification_says() -> None:
    parts = []
    for name, body in VERDICTS.items():
        said = [f"{line.mark}   {line.text}" for line in lines(body, "invoice")]
        parts.append("\n".join([f"== {name}", heading(body), *said, ""]))
    assert_golden(golden("render/verdicts.txt"), "\n".join(parts))


@pytest.mark.parametrize("name", ["a line differs", "a PDF differs", "unreadable"])
def test_a_difference_is_exit_20(dure: Dure, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    text = bodies.InvoiceBody(
        number="N-1",
        org="o",
        period="p",
        issued_at="",
        list_won=0,
        subsidy_won=0,
        supply_won=0,
        vat_won=0,
        payable_won=0,
        sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        text="",
    )
    monkeypatch.setattr(Client, "verify_invoice", lambda self, number: VERDICTS[name])
    monkeypatch.setattr(Client, "invoice", lambda self, number: text)
    for shape in ("table", "wide", "json"):
        dure("invoice", "verify", "N-1", "-o", shape, env=ENV).fails(20, "THERE IS A DIFFERENCE")
    monkeypatch.setattr(Client, "verify_invoice", lambda self, number: verdict())
    result = dure("invoice", "verify", "N-1", "-o", "wide", env=ENV).succeeds()
    assert "as it must be" in result.out and "no difference" in result.err


def usage_page(*by: str) -> bodies.UsageList:
    """Two groups and their sum."""
    values = {**dict.fromkeys(("org", "project", "user", "flavor", "tier", "day"), "")}
    named = {"project": {"org": "hanul-ai", "project": "음성"}, "day": {"day": "2026-11-01"}}
    first = USAGE.model_copy(
        update={**values, **{k: v for name in by for k, v in named.get(name, {name: name}).items()}}
    )
    later = {"day": "2026-11-02"} if "day" in by else {by[0]: "other"}
    second = first.model_copy(update={**later, "held_milli_gpu_ms": 900_000_000, "posted_microwon": 1_500_000})
    totals = first.model_copy(update={**values, "jobs": 1_235, "held_milli_gpu_ms": 4_500_000_000})
    return bodies.UsageList(kind="UsageList", items=[first, second], by=by, totals=totals)


def test_usage_by_groups_in_every_shape() -> None:
    parts = []
    for by in (("day",), ("project", "day"), ("tier", "flavor", "user")):
        page = usage_page(*by)
        for shape in ("table", "wide"):
            parts.append(f"== {','.join(by)} {shape}\n{render(page, usage_sheet(page), shape, VIEW, grouped(page))}")
        for shape in ("json", "csv", "id"):
            parts.append(f"== {','.join(by)} {shape}\n{render(page, usage_sheet(page), shape, VIEW, page.items)}")
    assert_golden(golden("render/usage-by.txt"), "".join(parts))


@pytest.mark.parametrize("text", ["month", "day,day", "day,", " "])
def test_groups_that_are_none(dure: Dure, text: str) -> None:
    dure("usage", "--by", text, env=ENV).fails(2, "DURE-1008", "project, user, flavor, tier, day")
    assert groups("day, tier") == ("day", "tier")


def test_credits_in_every_shape() -> None:
    items = [CREDIT, PROPOSAL]
    page = listing(items)
    parts = [
        f"== {shape}\n{render(page, CREDITS, shape, VIEW, items)}"
        for shape in ("table", "wide", "json", "csv", "id", "name")
    ]
    parts += [f"== card {body.state}\n{render(body, CREDIT_CARD, 'table', VIEW)}" for body in items]
    parts.append(f"== lines\n{render(None, CREDIT_LINES, 'table', VIEW, CREDIT.lines)}")
    assert_golden(golden("render/credits.txt"), "".join(parts))


def test_what_a_line_leaves() -> None:
    assert line_left("3=12.5") == (3, 45_000_000_000)
    assert line_left("1=0") == (1, 0)
    assert line_left("2=0.000001") == (2, 3_600)
    for text in ("3", "3=", "=1", "x=1", "0=1", "-1=1", "1=1e3", "1=0.0000001", "1=-1", "1=0.5h"):
        with pytest.raises(DureError) as refused:
            line_left(text)
        assert refused.value.code == "DURE-1008"


class Terminal(io.TextIOWrapper):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


@pytest.mark.parametrize("command", ["invoice", "credit"])
def test_a_pdf_is_not_written_to_a_terminal_and_not_fetched(
    dure: Dure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    asked: list[str] = []

    def fetched(self: Client, number: str, lang: str = "ko") -> bytes:
        asked.append(f"{number} {lang}")
        return b"%PDF \xff"

    monkeypatch.setattr(Client, f"{command}_pdf", fetched)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal(io.BytesIO(), encoding="utf-8"))
        dure(command, "get", "N-1", "-o", "pdf", env=ENV).fails(2, "DURE-1008", "--file NAME.pdf")
    assert asked == []
    assert dure(command, "get", "N-1", "-o", "pdf", env=ENV).out == "%PDF \udcff"
    file = tmp_path / "한글 invoice.pdf"
    for said in ("6 bytes", "as it was"):
        result = dure(command, "get", "N-1", "-o", "pdf", "--lang", "en", "--file", str(file), env=ENV).succeeds()
        assert said in result.err and result.out == ""
    assert file.read_bytes() == b"%PDF \xff"
    assert asked == ["N-1 ko", "N-1 en", "N-1 en"]
    missing = str(tmp_path / "none" / "x.pdf")
    dure(command, "get", "N-1", "-o", "pdf", "--file", missing, env=ENV).fails(6, "DURE-6056", "cannot be written")


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    assert write_whole(file, b"one")
    assert not write_whole(file, b"one")
    assert file.stat().st_mode & 0o777 == 0o644

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DureError, match="No space left"):
        write_whole(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_a_server_cannot_name_a_file_elsewhere(dure: Dure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    summary = bodies.InvoiceSummary(
        number="../evil",
        org="o",
        period="p",
        issued_at="",
        list_won=0,
        subsidy_won=0,
        supply_won=0,
        vat_won=0,
        payable_won=0,
        sha256=SHA,
    )
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    body = bodies.InvoiceBody(**{**summary.model_dump(exclude={"kind"}), "sha256": empty}, text="")
    monkeypatch.setattr(Client, "invoices", lambda self, **filters: listing([summary]))
    monkeypatch.setattr(Client, "credits", lambda self, **filters: bodies.Listing(items=[]))
    monkeypatch.setattr(Client, "invoice", lambda self, number: body)
    dure("invoice", "export", "--period", "p", "--to", str(tmp_path / "out"), env=ENV).fails(8, "no proper number")
    assert list((tmp_path / "out").iterdir()) == []
    body_bad = body.model_copy(update={"text": "x"})
    monkeypatch.setattr(Client, "invoice", lambda self, number: body_bad)
    good = summary.model_copy(update={"number": "N-1"})
    monkeypatch.setattr(Client, "invoices", lambda self, **filters: listing([good]))
    dure("invoice", "export", "--period", "p", "--to", str(tmp_path / "out"), env=ENV).fails(8, "SHA-256")
    blocked = tmp_path / "file"
    blocked.write_text("x")
    dure("invoice", "export", "--period", "p", "--to", str(blocked), env=ENV).fails(6, "DURE-6056")
