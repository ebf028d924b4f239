"""Invoices: issued once at the close, listed by role, and any difference from slices and ledger is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.accounting import books
from scheduler.core.accounting.rendering import invoice_json, parse_invoice
from scheduler.core.codec import sha256_hex
from scheduler.core.errors import Fatal
from scheduler.core.records import (
    InvoiceRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    OrgRecord,
    PeriodRecord,
    SliceRecord,
)
from scheduler.schema.bodies import VerifyBody
from scheduler.services import invoices, periods, reads
from scheduler.services.submit import Conflict, NotFound
from tests.support.control_plane import POLICY, ControlPlane
from tests.support.invoiced import ACME, UNI, close_an_hour, forge

HOUR = 3_600_000


@pytest.fixture
def closed(plane: ControlPlane) -> ControlPlane:
    """One hour of two GPUs for acme and of one for uni, in a closed period with two invoices."""
    close_an_hour(plane)
    return plane


def verify(plane: ControlPlane, number: str = ACME, user: str = "admin") -> VerifyBody:
    """Recompute an invoice."""
    with plane.store.read() as view:
        return invoices.verify(view, plane.policies, plane.actor(user), number)


def wrong(body: VerifyBody) -> set[str]:
    """Names of the checks that are not ok."""
    return {check.name for check in body.checks if not check.ok}


def test_one_for_each_organisation_with_usage(closed: ControlPlane) -> None:
    rows = closed.rows(InvoiceRecord)
    assert [(row.number, row.org, row.period) for row in rows] == [
        (ACME, "acme", "manual-0001"),
        (UNI, "uni", "manual-0001"),
    ]
    assert all(row.sha256 == sha256_hex(row.invoice_json) for row in rows)
    with closed.store.read() as view:
        summary = {item.org: item for item in invoices.list_invoices(view, closed.actor(), "", "")}
    # acme: 2 GPU-hours x 3600 = 7200 list, guaranteed, 0.1 of it = 720 won, VAT 72; the rest is MSIT's
    acme = summary["acme"]
    assert (acme.list_won, acme.subsidy_won, acme.supply_won, acme.vat_won, acme.payable_won) == (
        7_200,
        6_480,
        720,
        72,
        792,
    )
    # uni: 1 GPU-hour x 3600 x borrow 0.4 = 1440, of which it pays nothing
    uni = summary["uni"]
    assert (uni.list_won, uni.subsidy_won, uni.payable_won) == (3_600, 1_440, 0)
    assert books.check(closed.rows(LedgerTxRecord), closed.rows(LedgerEntryRecord)) == []


def test_nothing_is_issued_twice(closed: ControlPlane) -> None:
    before = closed.rows(InvoiceRecord)
    for _ in range(3):
        closed.settle(closed.new_settler("settler-1"))
    assert closed.rows(InvoiceRecord) == before
    ledger = [entry for entry in closed.rows(LedgerEntryRecord) if entry.account == "receivable:acme"]
    assert sum(entry.amount for entry in ledger) == 792_000_000


def test_numbers_go_on_without_a_gap(closed: ControlPlane) -> None:
    job = closed.started()
    closed.pass_ms(HOUR)
    closed.ended(job)
    closed.settle()
    periods.close_period(closed.store, closed.policies, closed.actor(), "", closed.now_ms)
    closed.settle()
    assert [row.number for row in closed.rows(InvoiceRecord)][-1] == "DURE-2026-000003"


def between_others(plane: ControlPlane) -> None:
    """Two jobs of acme, and three of uni between them; all posted, the period closing."""
    for user in ("member", "stranger", "stranger", "stranger", "member"):
        job = plane.started(user, project="acme/nlp" if user == "member" else "uni/vision", tiers=["borrow"])
        plane.pass_ms(HOUR)
        plane.ended(job)
        plane.settle()
    periods.close_period(plane.store, plane.policies, plane.actor(), "", plane.now_ms)


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_an_invoice_reads_its_own_rows_of_the_ledger(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    between_others(plane)
    plane.settle()
    most = max(len(plane.rows(SliceRecord, ("org", "=", org))) for org in ("acme", "uni"))
    monkeypatch.setattr(invoices, "SLICES_MAX", most)
    monkeypatch.setattr(reads, "SEQUENCES_A_READ", at_once)
    for number in (ACME, UNI):
        assert wrong(verify(plane, number)) == set()


def test_no_invoice_is_made_of_a_part_of_the_usage(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    between_others(plane)
    monkeypatch.setattr(invoices, "SLICES_MAX", len(plane.rows(SliceRecord, ("org", "=", "uni"))) - 1)
    with pytest.raises(Fatal, match="organisation uni has more than") as refused:
        plane.settle()
    assert refused.value.code == "DURE-9051"
    assert plane.rows(InvoiceRecord) == []
    assert plane.period().state == "closing"
    monkeypatch.undo()
    assert plane.settle().closed == ("manual-0001",)
    assert [row.org for row in plane.rows(InvoiceRecord)] == ["acme", "uni"]


READS = {
    "admin": {"acme", "uni"},
    "auditor": {"acme", "uni"},
    "org-admin": {"acme"},
    "org-auditor": {"acme"},
    "project-admin": set(),
    "member": set(),
    "stranger": set(),
    "operator": set(),
    "nobody": set(),
}


@pytest.mark.parametrize("user", READS)
def test_who_reads_which(closed: ControlPlane, user: str) -> None:
    actor = closed.actor(user)
    with closed.store.read() as view:
        listed = invoices.list_invoices(view, actor, "", "")
        assert {item.org for item in listed} == READS[user]
        for number, org in ((ACME, "acme"), (UNI, "uni")):
            if org in READS[user]:
                assert invoices.get_invoice(view, actor, number).org == org
                assert invoices.invoice_csv_text(view, actor, number).count("\n") > 1
                assert invoices.verify(view, closed.policies, actor, number).ok
                continue
            for read in (invoices.get_invoice, invoices.invoice_csv_text):
                with pytest.raises(NotFound):
                    read(view, actor, number)
            with pytest.raises(NotFound):
                invoices.verify(view, closed.policies, actor, number)


def test_lists_are_filtered(closed: ControlPlane) -> None:
    actor = closed.actor()
    with closed.store.read() as view:
        assert [item.number for item in invoices.list_invoices(view, actor, "", "uni")] == [UNI]
        assert [item.number for item in invoices.list_invoices(view, actor, "manual-0001", "")] == [UNI, ACME]
        assert invoices.list_invoices(view, actor, "manual-0002", "") == []
        with pytest.raises(NotFound):
            invoices.get_invoice(view, actor, "DURE-2026-000009")


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '{"a":1,"a":2}', "\x00"])
def test_a_damaged_text_hides_no_other_invoice(closed: ControlPlane, text: str) -> None:
    forge(closed.store, InvoiceRecord, of_acme(lambda row: replace(row, invoice_json=text)))
    with closed.store.read() as view:
        listed = {item.org: item for item in invoices.list_invoices(view, closed.actor(), "", "")}
        read = invoices.get_invoice(view, closed.actor(), ACME)
        with pytest.raises(Conflict, match="damaged"):
            invoices.invoice_csv_text(view, closed.actor(), ACME)
    acme, uni = listed["acme"], listed["uni"]
    assert (acme.list_won, acme.subsidy_won, acme.supply_won, acme.vat_won, acme.payable_won) == (-1,) * 5
    assert (uni.list_won, uni.payable_won) == (3_600, 0)
    assert (read.text, read.sha256) == (text, acme.sha256)
    assert not verify(closed).ok


def test_what_is_issued_verifies(closed: ControlPlane) -> None:
    for number in (ACME, UNI):
        body = verify(closed, number)
        assert (body.ok, wrong(body)) == (True, set())
        assert len(body.checks) > 20


def test_it_still_verifies_after_the_organisation_was_renamed(closed: ControlPlane) -> None:
    with closed.store.write() as tx:
        org = tx.get(OrgRecord, "acme")
        assert org is not None
        assert tx.change(replace(org, title="Another title", tax_treatment="exempt"), version=org.version)
    assert verify(closed).ok


def of_acme(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Change rows of acme only."""
    return lambda row: change(row) if row.org == "acme" else row


def cheaper(row: InvoiceRecord) -> InvoiceRecord:
    """A payable amount that is 1 won less."""
    return replace(row, invoice_json=row.invoice_json.replace('"payable_won":792', '"payable_won":791'))


def cheaper_with_its_hash(row: InvoiceRecord) -> InvoiceRecord:
    """The same, with the hash that fits."""
    text = cheaper(row).invoice_json
    return replace(row, invoice_json=text, sha256=sha256_hex(text))


def another_buyer(row: InvoiceRecord) -> InvoiceRecord:
    """Somebody else's title in the buyer's place, with the hash that fits."""
    invoice = parse_invoice(row.invoice_json)
    text = invoice_json(replace(invoice, buyer=replace(invoice.buyer, title="Somebody Else Inc.")))
    return replace(row, invoice_json=text, sha256=sha256_hex(text))


def less_billed(row: SliceRecord) -> SliceRecord:
    """A millisecond less is charged."""
    return replace(row, billed_milli_gpu_ms=row.billed_milli_gpu_ms - 1_000)


def receivable(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Change the legs of what acme owes."""
    return lambda row: change(row) if row.account == "receivable:acme" else row


FORGERIES: dict[str, tuple[type[Any], Callable[[Any], Any], set[str]]] = {
    "text": (InvoiceRecord, of_acme(cheaper), {"sha256", "bytes", "total payable_won"}),
    "text and hash": (InvoiceRecord, of_acme(cheaper_with_its_hash), {"fact", "bytes", "total payable_won"}),
    "another buyer, with the hash that fits": (InvoiceRecord, of_acme(another_buyer), {"fact"}),
    "hash": (InvoiceRecord, of_acme(lambda row: replace(row, sha256="0" * 64)), {"fact", "sha256"}),
    "no invoice at all": (InvoiceRecord, of_acme(lambda row: replace(row, invoice_json="{}")), {"form", "sha256"}),
    "a slice": (SliceRecord, of_acme(less_billed), {"bytes", "ledger usage"}),
    "a slice's price": (SliceRecord, of_acme(lambda row: replace(row, rate_card="card-9")), {"inputs"}),
    "a slice is gone": (SliceRecord, of_acme(lambda row: None), {"bytes", "lines"}),
    "a leg": (
        LedgerEntryRecord,
        receivable(lambda row: replace(row, amount=row.amount - 1)),
        {"ledger usage", "ledger balance"},
    ),
    "a leg is gone": (LedgerEntryRecord, receivable(lambda row: None), {"ledger usage", "ledger balance"}),
    "a transaction is gone": (
        LedgerTxRecord,
        lambda row: None if row.kind == "vat" else row,
        {"ledger closing", "ledger balance"},
    ),
    "the period": (PeriodRecord, lambda row: replace(row, close_seq=0), {"sources"}),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_found(closed: ControlPlane, forgery: str) -> None:
    kind, change, checks = FORGERIES[forgery]
    forge(closed.store, kind, change)
    body = verify(closed)
    assert not body.ok
    assert checks <= wrong(body)


def test_an_invoice_of_a_period_that_is_gone(closed: ControlPlane) -> None:
    forge(closed.store, PeriodRecord, lambda row: None)
    assert wrong(verify(closed)) == {"period"}


def test_the_text_is_canonical(closed: ControlPlane) -> None:
    with closed.store.read() as view:
        text = invoices.get_invoice(view, closed.actor(), ACME).text
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text


def test_the_policy_at_the_close_says_how_an_invoice_is_rounded(plane: ControlPlane) -> None:
    """acme: 2 x 3,600 x 0.1 = 720 is 720 in tens; tax 72 in tens, half up, is 70. The invoice says so and verifies."""
    billing = "{calendar: manual, line_rounding: {quantum: 10}, vat_rounding: {mode: half-up, quantum: 10}}"
    plane.apply(POLICY.replace("{calendar: manual}", billing))
    close_an_hour(plane)
    invoice = parse_invoice(plane.rows(InvoiceRecord)[0].invoice_json)
    assert (invoice.totals.tenant_won, invoice.totals.vat_won, invoice.totals.payable_won) == (720, 70, 790)
    terms = invoice.terms
    assert (terms.line_rounding, terms.line_quantum_won) == ("down", 10)
    assert (terms.vat_rounding, terms.vat_quantum_won) == ("half-up", 10)
    plane.apply(POLICY)  # a later policy changes nothing of what was issued
    assert verify(plane).ok
