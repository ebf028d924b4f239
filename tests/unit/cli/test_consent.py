"""What cannot be taken back needs a yes, several jobs are ended one by one, and a verdict is never lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from scheduler.client.errors import ApiRefused, Unreachable
from scheduler.client.http import Client
from scheduler.core.errors import DureError
from scheduler.schema import bodies
from tests.unit.cli.conftest import Dure
from tests.unit.cli.samples import INVOICE, PERIOD, job, listing

ENV = {"DURE_SERVER": "http://127.0.0.1:1", "DURE_TOKEN": "dure_a_b"}
NO_JOB = ApiRefused(404, "DURE-3001", "no job nope that you may see", "dure queue --all")
FORBIDDEN = ApiRefused(403, "DURE-4003", "you may not cancel this job", "ask its owner")


def period(name: str, state: str) -> bodies.PeriodBody:
    return PERIOD.model_copy(update={"id": name, "state": state, "waiting_for": ""})


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The periods that the client was told to close, of three: closed, closing and open."""
    told: list[str] = []
    known = [period("m1", "closed"), period("m2", "closing"), period("m3", "open")]

    def close(self: Client, name: str = "") -> bodies.PeriodBody:
        told.append(name)
        return next((item for item in known if item.id == name), known[1])

    monkeypatch.setattr(Client, "periods", lambda self: listing(known))
    monkeypatch.setattr(Client, "close_period", close)
    return told


@pytest.mark.parametrize("flags", [[], ["--no-input"]])
def test_a_period_is_not_closed_where_nobody_can_be_asked(dure: Dure, closed: list[str], flags: list[str]) -> None:
    says = ("error[DURE-1007]", "Close period m3, open since", "add --yes")
    dure(*flags, "period", "close", "m3", env=ENV).fails(2, *says)
    assert closed == []
    dure(*flags, "period", "close", "m3", "--yes", env=ENV).succeeds()
    assert closed == ["m3"]


def test_the_oldest_open_period_is_named_in_the_question(
    dure: Dure, closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "periods", lambda self: listing([period("m1", "closed"), period("m3", "open")]))
    dure("period", "close", env=ENV).fails(2, "DURE-1007", "Close period m3")
    monkeypatch.setattr(Client, "periods", lambda self: listing([period("m1", "closed")]))
    dure("period", "close", env=ENV).fails(3, "error[DURE-3007] no period is open", "dure period list")
    assert closed == []


def test_asking_how_far_a_closing_period_is_needs_no_consent(dure: Dure, closed: list[str]) -> None:
    assert dure("period", "close", "m2", env=ENV).succeeds().out == "period/m2 closing\n"
    assert dure("period", "close", "m1", env=ENV).succeeds().out == "period/m1 closed\n"
    assert dure("period", "close", env=ENV).succeeds().out == "period/m2 closing\n"
    dure("period", "close", "m9", env=ENV).fails(3, "error[DURE-3007] there is no period 'm9'")
    assert closed == ["m2", "m1", "m2"]


@pytest.fixture
def cancelled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that the client was told to cancel; of some names it fails."""
    told: list[str] = []
    failures: dict[str, DureError] = {
        "nope": NO_JOB,
        "theirs": FORBIDDEN,
        "down": Unreachable("DURE-8001", "it cannot be reached", "", sent=False),
    }

    def cancel(self: Client, name: str) -> bodies.JobBody:
        told.append(name)
        if name in failures:
            raise failures[name]
        return job(0, id=name, state="Cancelled")

    monkeypatch.setattr(Client, "cancel", cancel)
    return told


def test_several_jobs_are_not_cancelled_without_consent(dure: Dure, cancelled: list[str]) -> None:
    dure("cancel", "a", "b", env=ENV).fails(2, "error[DURE-1007]", "Cancel 2 jobs (a, b)?", "add --yes")
    assert cancelled == []
    assert dure("cancel", "a", env=ENV).succeeds().out == "job/a cancelled\n"


def test_all_are_tried_and_each_is_reported(dure: Dure, cancelled: list[str]) -> None:
    result = dure("cancel", "a", "nope", "b", "theirs", "c", "--yes", env=ENV)
    result.fails(3, "job nope was not cancelled", "error[DURE-3001]", "job theirs was not", "error[DURE-4003]")
    assert cancelled == ["a", "nope", "b", "theirs", "c"]
    assert result.out == "job/a cancelled\njob/b cancelled\njob/c cancelled\n"
    assert dure("cancel", "theirs", "nope", "--yes", env=ENV).code == 5


def test_without_a_server_the_rest_is_named_and_not_tried(dure: Dure, cancelled: list[str]) -> None:
    dure("cancel", "a", "down", "b", "c", "--yes", env=ENV).fails(8, "error[DURE-8001]", "not tried: b, c")
    assert cancelled == ["a", "down"]


SHAPES: dict[str, Any] = {"json": json.loads, "yaml": yaml.safe_load}


@pytest.mark.parametrize("shape", SHAPES)
def test_several_jobs_are_one_document_and_one_is_itself(dure: Dure, cancelled: list[str], shape: str) -> None:
    several = SHAPES[shape](dure("cancel", "a", "nope", "b", "--yes", "-o", shape, env=ENV).out)
    assert (several["kind"], [item["id"] for item in several["items"]]) == ("JobList", ["a", "b"])
    assert SHAPES[shape](dure("cancel", "a", "-o", shape, env=ENV).out)["id"] == "a"
    lines = dure("cancel", "a", "b", "--yes", "-o", "jsonl", env=ENV).succeeds().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]
    assert dure("cancel", "a", "b", "--yes", "-o", "id", env=ENV).out == "a\nb\n"


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says that the text of the invoice is damaged, and then cannot give the invoice."""
    checks = [bodies.CheckBody(name="form", ok=False, detail="the text is no invoice: line 1")]
    body = bodies.VerifyBody(number="N-1", ok=False, checks=checks)
    monkeypatch.setattr(Client, "verify_invoice", lambda self, number: body)

    def broken(self: Client, number: str) -> bodies.InvoiceBody:
        raise ApiRefused(500, "DURE-9001", "an unexpected error, incident 7")

    monkeypatch.setattr(Client, "invoice", broken)


def test_an_invoice_that_cannot_be_fetched_is_a_difference(dure: Dure, verified: None) -> None:
    result = dure("invoice", "verify", "N-1", env=ENV).fails(20, "invoice N-1: THERE IS A DIFFERENCE")
    assert "form" in result.out
    assert result.out.splitlines()[-1] == "✗   sha256   the text could not be fetched: an unexpected error, incident 7"
    shown = dure("invoice", "verify", "N-1", "-o", "json", env=ENV).fails(20, "the text could not be fetched")
    assert shown.json["checks"][0]["name"] == "form"


def test_amounts_that_the_server_cannot_read_are_called_so(dure: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    unread = dict.fromkeys(("list_won", "subsidy_won", "supply_won", "vat_won", "payable_won"), -1)
    damaged = INVOICE.model_copy(update={"number": "N-2", **unread})
    page = listing([INVOICE, damaged])
    monkeypatch.setattr(Client, "invoices", lambda self, **filters: page)
    lines = dure("invoice", "list", env=ENV).succeeds().out.splitlines()
    assert "₩15,312" in lines[1]
    assert lines[2].count("unreadable") == 5
