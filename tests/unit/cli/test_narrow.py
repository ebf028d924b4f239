"""Tables on terminals of 80 and 40 columns: what is shown is whole, what is not shown is named."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from scheduler.cli import sheets, sheets_local
from scheduler.cli.clean import width
from scheduler.cli.render import Page, render, table
from scheduler.cli.tables import Column, Row, Sheet, View
from scheduler.client.http import Client
from tests.support.golden import assert_golden
from tests.unit.cli.conftest import Dure
from tests.unit.cli.running import golden
from tests.unit.cli.samples import INVOICE, LISTS, NOW_MS, RUNNING, WHY, job, listing

VIEW = View(NOW_MS)
NAME = "fine-tuning-of-the-large-language-model"
BIG = INVOICE.model_copy(
    update={
        "number": "DURE-2026-000001",
        "org": "a-university-with-a-rather-long-name",
        "list_won": 271_604_900,
        "subsidy_won": 259_259_223,
        "supply_won": 12_345_677,
        "vat_won": 1_234_568,
        "payable_won": 13_580_245,
    }
)
LINE = {
    "project": "a-university/computer-vision",
    "flavor": "h100-80g",
    "tier": "guaranteed",
    "gpu_hours": "93656.862069",
    "list_won_per_gpu_hour": 2_900,
    "tier_factor": "1",
    "class_factor": "0.05",
    "list_won": 271_604_900,
    "product_won": 271_604_900,
    "funder_won": 258_024_655,
    "discount_won": 0,
    "tenant_won": 13_580_245,
}
CHECK = {"name": "total payable_won", "ok": False, "detail": "the text says 13580244 where 13580245 is computed"}
TESTED = {"result": "fail", "check": "server", "detail": "https://dure.example.org cannot be reached: refused"}
WRONG = {"message": 'resources.time must be a duration, not "12"', "fix": "add the unit: 12s, 12m or 12h"}
SHOWN: dict[str, tuple[Sheet, Sequence[Any]]] = {
    **LISTS,
    "jobs": (
        sheets.JOBS,
        [
            job(0, id="qto3jfpf7abc", name=NAME, reason="BehindHigherPriority", state="Queued", gpus=128),
            RUNNING.model_copy(update={"id": "7f3kq2ab9m2x"}),
            job(3, id="k3v9k3v9k3v9", state="Succeeded", reason="", ended_at="2026-11-21T23:59:00.000Z"),
        ],
    ),
    "invoices": (sheets.INVOICES, [BIG, INVOICE]),
    "invoice-lines": (sheets.INVOICE_LINES, [Row(LINE), Row({**LINE, "project": "a", "tier": "borrow"})]),
    "blockers": (sheets.BLOCKERS, WHY.blockers),
    "checks": (sheets.CHECKS, [Row(CHECK), Row({**CHECK, "name": "sha256", "ok": True})]),
    "templates": (
        sheets_local.TEMPLATES,
        [Row({"name": "한글-작업", "summary": "한글 설명은 두 칸을 차지합니다 " * 4})],
    ),
    "findings": (sheets_local.FINDINGS, [Row({"where": "작업.yaml:3:45", "code": "DURE-1113", **WRONG})]),
    "doctor": (sheets.DOCTOR, [Row({**TESTED, "fix": "check the address and the network"})]),
}


def printed(name: str, columns: int, shape: str) -> str:
    sheet, items = SHOWN[name]
    page = Page(terminal=True, colour=False, columns=columns)
    return render(listing(items) if name in LISTS else None, sheet, shape, VIEW, items, page)


@pytest.mark.parametrize("name", SHOWN)
def test_on_terminals_of_80_and_40_columns(name: str) -> None:
    parts = [
        f"== {shape} at {columns}\n{printed(name, columns, shape)}"
        for columns in (80, 40)
        for shape in ("table", "wide")
    ]
    assert_golden(golden(f"narrow/{name}.txt"), "".join(parts))


@pytest.mark.parametrize("columns", [200, 120, 100, 80, 60, 40, 20])
def test_ids_states_and_money_are_never_cut(columns: int) -> None:
    for shape in ("table", "wide"):
        jobs = printed("jobs", columns, shape)
        for word in ("qto3jfpf7abc", "Queued", "BehindHigherPriority", "7f3kq2ab9m2x", "Succeeded"):
            assert word in jobs, (columns, jobs)
        invoices = printed("invoices", columns, shape)
        for word in ("DURE-2026-000001", "₩13,580,245", "₩15,312"):
            assert word in invoices, (columns, invoices)
    assert printed("invoice-lines", columns, "table").count("₩13,580,245") == 2


def test_what_is_left_out_is_named_and_wide_shows_it() -> None:
    text = printed("invoices", 80, "table")
    assert text.splitlines()[-1] == "(not shown: LIST, SUBSIDY; all of it: -o wide)"
    wide = printed("jobs", 80, "wide")
    for title in ("NAME", "PROJECT", "GPU-HOURS", "SUBMITTED"):
        assert title in wide
    assert NAME in wide
    assert "not shown" not in wide


def test_a_table_that_fits_is_as_without_a_terminal() -> None:
    for name, (sheet, items) in SHOWN.items():
        assert printed(name, 1_000, "wide") == render(None, sheet, "wide", VIEW, items), name


def test_the_reasons_of_why_fit_beside_their_numbers(dure: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    long = WHY.model_copy(update={"blockers": [*WHY.blockers] * 5})
    monkeypatch.setattr(Client, "why", lambda self, name: long)
    env = {"DURE_SERVER": "http://127.0.0.1:1", "DURE_TOKEN": "dure_a_b"}
    for columns in (120, 80, 60, 40):
        page = partial(_page, columns)
        monkeypatch.setattr("scheduler.cli.render.stdout_page", page)
        lines = dure("why", "j", env=env).succeeds().out.splitlines()
        reasons = lines[1 : lines.index("What would help:")]
        assert max(width(line) for line in reasons) <= columns, lines
        assert [line.split()[0] for line in reasons if not line.startswith("     ")] == [
            str(number) for number in range(1, 11)
        ]
        assert sum("who can act: time" in line for line in reasons) == 5


def _page(columns: int, indent: int = 0) -> Page:
    return Page(terminal=True, colour=False, columns=columns - indent)


def test_random_tables_fit_and_show_solid_cells_whole(rng: random.Random) -> None:
    cut = left = carded = 0
    for _ in range(300):
        columns = [Column(f"T{place}", cell_at(place), **rng.choice(KINDS)) for place in range(rng.randint(1, 8))]
        rows = [[_word(rng) for _ in columns] for _ in range(rng.randint(1, 4))]
        space = rng.randint(20, 120)
        text = table(columns, rows, VIEW, Page(terminal=True, colour=False, columns=space))
        dropped = set(re.findall(r"T\d", text[text.index("(not shown") :])) if "(not shown" in text else set()
        for place, column in enumerate(columns):
            if column.title in dropped:
                assert column.leaves
            elif not column.cuts:
                assert all(row[place] in text for row in rows), (space, text)
        if is_card := text.startswith("T0   ") and len(columns) > 1 and "T1   " in text.splitlines()[1]:
            carded += is_card
            continue
        assert max(width(line) for line in text.splitlines()) <= space, (space, text)
        cut += "…" in text
        left += bool(dropped)
    assert min(cut, left, carded) > 20


KINDS: list[dict[str, Any]] = [{}, {"right": True}, {"cuts": True}, {"leaves": 1}, {"leaves": 2, "right": True}]


def cell_at(place: int) -> Callable[[Any, View], str]:
    """The cell of a row at this place."""
    return lambda row, view: str(row[place])


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefgh한글") for _ in range(rng.randint(1, 18)))
