"""Credit notes on every store: booked in balance, numbered without gaps, and once, however many approve at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core.accounting import books, ledger
from scheduler.core.errors import Fatal
from scheduler.core.records import CreditNoteRecord, LedgerEntryRecord, LedgerTxRecord, PeriodRecord
from scheduler.schema.bodies import CreditBody, CreditRequest
from scheduler.services import credits, pdfs, periods, verification
from scheduler.services.ports import Store
from tests.stores.test_concurrency import at_once, repeated
from tests.support import control_plane
from tests.support.control_plane import ControlPlane
from tests.support.invoiced import ACME, close_an_hour, second_admin

pytestmark = pytest.mark.store
HALF = 3_600_000_000
FIRST = "DURE-CN-2026-000001"


@pytest.fixture
def plane(store: Store, monkeypatch: pytest.MonkeyPatch) -> ControlPlane:
    """Two invoices and two administrators on each of the stores."""
    monkeypatch.setattr(control_plane, "MemoryStore", lambda: store)
    made = ControlPlane()
    close_an_hour(made)
    second_admin(made)
    return made


def propose(plane: ControlPlane, left: int, why: str = "slow") -> CreditBody:
    """Ask to leave so much of acme's one line."""
    lines = [{"number": 1, "left_milli_gpu_ms": left}]
    request = CreditRequest.model_validate({"invoice": ACME, "reason": "02", "explanation": why, "lines": lines})
    return credits.propose(plane.store, plane.actor(), request, plane.now_ms)[0]


def approve(plane: ControlPlane, proposal: str) -> str:
    """The number of the note, or the code of the refusal."""
    actor = plane.actor("second")
    try:
        return repeated(lambda: credits.approve(plane.store, plane.policies, actor, proposal, plane.now_ms))[0].number
    except Fatal as refused:
        return refused.code


def sound(plane: ControlPlane) -> dict[tuple[str, str], int]:
    """The ledger's balances, once it is known to be sound."""
    rows, entries = plane.rows(LedgerTxRecord), plane.rows(LedgerEntryRecord)
    assert books.check(rows, entries) == []
    return ledger.balances(entries)


def test_two_parts_leave_nothing_of_the_invoice(plane: ControlPlane) -> None:
    assert approve(plane, propose(plane, HALF).id) == FIRST
    assert sound(plane)["receivable:acme", "microwon"] == 396_000_000
    assert approve(plane, propose(plane, 0).id) == "DURE-CN-2026-000002"
    left = {place: amount for place, amount in sound(plane).items() if amount and "acme" in place[0]}
    assert left == {("used:acme/nlp", "milli_gpu_ms:h100-80g"): 2 * HALF}
    for number in (FIRST, "DURE-CN-2026-000002"):
        seen = verification.verify_credit(plane.store, plane.policies, plane.actor(), number, pdfs.NoRenderer())
        assert seen.ok, [check for check in seen.checks if not check.ok]
    whole = verification.verify_invoice(
        plane.store, plane.policies, plane.actor(), ACME, verification.Witnesses(pdfs.NoRenderer())
    )
    assert (whole.ok, whole.credited_won) == (True, 792)


def test_many_approvals_at_once_are_one_note(plane: ControlPlane) -> None:
    proposal = propose(plane, HALF).id
    assert set(at_once(lambda _: approve(plane, proposal))) == {FIRST}
    assert [row.place for row in plane.rows(CreditNoteRecord)] == [1]
    assert sound(plane)["receivable:acme", "microwon"] == 396_000_000


def test_of_many_proposals_at_once_one_is_issued_and_the_rest_are_outdated(plane: ControlPlane) -> None:
    proposals = [propose(plane, HALF, f"why {number}").id for number in range(8)]
    outcomes = at_once(lambda number: approve(plane, proposals[number % 8]))
    assert {outcome for outcome in outcomes if outcome != FIRST} == {"DURE-6052"}
    assert len(plane.rows(CreditNoteRecord)) == 1
    assert sound(plane)["receivable:acme", "microwon"] == 396_000_000


def test_a_note_is_booked_in_a_period_that_is_open(plane: ControlPlane) -> None:
    proposal = propose(plane, HALF).id
    plane.pass_ms(1_000)
    periods.close_period(plane.store, plane.policies, plane.actor(), "", plane.now_ms)
    assert approve(plane, proposal) == FIRST
    assert plane.rows(CreditNoteRecord)[0].period == "manual-0003"
    with plane.store.write() as tx:
        period = plane.rows(PeriodRecord, ("id", "=", "manual-0003"))[0]
        assert tx.change(replace(period, state="closing"), version=period.version)
    assert approve(plane, propose(plane, 0).id) == "DURE-6055"
