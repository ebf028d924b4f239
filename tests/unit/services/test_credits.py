"""Credit notes: two administrators, one note, nothing taken off twice; forgeries are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.accounting import books, ledger
from scheduler.core.errors import DureError, Fatal, Retry
from scheduler.core.records import (
    CounterRecord,
    CreditNoteRecord,
    CreditProposalRecord,
    InvoiceRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    PeriodRecord,
)
from scheduler.schema.bodies import CreditBody, CreditRequest, VerifyBody
from scheduler.services import credits, pdfs, verification
from scheduler.services.actors import Forbidden
from scheduler.services.submit import Conflict, Invalid, NotFound
from scheduler.services.verification import Witnesses
from scheduler.store.memory import MemoryStore
from tests.support.control_plane import ControlPlane
from tests.support.invoiced import ACME, UNI, close_an_hour, second_admin
from tests.support.invoiced import forge as below

NOTE = "DURE-CN-2026-000001"
HALF = 3_600_000_000
"""One of the two GPU-hours that acme's one line bills, in milli-GPU-ms."""


class FakeRenderer:
    """Makes the text itself its PDF; counts."""

    def __init__(self, name: str = "fake 1") -> None:
        self.name = name
        self.mark = b""
        self.made = 0

    def pdf(self, text: str, lang: str) -> bytes:
        """The language and the text, and the mark that a changed renderer would leave."""
        if not text.startswith("{"):
            raise ValueError("it is no JSON")
        self.made += 1
        return f"{lang} {text}".encode() + self.mark


@pytest.fixture
def closed(plane: ControlPlane) -> ControlPlane:
    """Two invoices, and a second administrator."""
    close_an_hour(plane)
    second_admin(plane)
    plane.pass_ms(60_000)
    return plane


def propose(plane: ControlPlane, user: str = "admin", invoice: str = ACME, **fields: Any) -> CreditBody:
    """Ask to take something off; all of it for reason 01 unless the fields say otherwise."""
    values = {"invoice": invoice, "reason": "01", "explanation": "the wrong organisation", **fields}
    request = CreditRequest.model_validate(values)
    return credits.propose(plane.store, plane.actor(user), request, plane.now_ms)[0]


def half(plane: ControlPlane, user: str = "admin", left: int = HALF, explanation: str = "slow") -> CreditBody:
    """Ask to leave one GPU-hour of acme's line."""
    lines = [{"number": 1, "left_milli_gpu_ms": left}]
    return propose(plane, user, reason="02", explanation=explanation, lines=lines)


def approve(plane: ControlPlane, proposal: str, user: str = "second") -> CreditBody:
    """Agree to it."""
    return credits.approve(plane.store, plane.policies, plane.actor(user), proposal, plane.now_ms)[0]


def verify(plane: ControlPlane, number: str = NOTE, renderer: Any = None) -> VerifyBody:
    """Recompute a note."""
    chosen = renderer or pdfs.NoRenderer()
    return verification.verify_credit(plane.store, plane.policies, plane.actor(), number, chosen)


def verify_invoice(plane: ControlPlane, witnesses: Witnesses | None = None) -> VerifyBody:
    """Recompute acme's invoice with everything beside it."""
    chosen = witnesses or Witnesses(pdfs.NoRenderer())
    return verification.verify_invoice(plane.store, plane.policies, plane.actor(), ACME, chosen)


def balances(plane: ControlPlane) -> dict[tuple[str, str], int]:
    """What the ledger says by account and unit, without what is 0."""
    rows, entries = plane.rows(LedgerTxRecord), plane.rows(LedgerEntryRecord)
    assert books.check(rows, entries) == []
    return {place: amount for place, amount in ledger.balances(entries).items() if amount}


def test_a_part_is_proposed_by_one_and_approved_by_another(closed: ControlPlane) -> None:
    proposal = half(closed)
    # 2 GPU-hours x 3600 = 7200, tenant 720, VAT 72; one is left: 3600, 360, 36
    assert (proposal.state, proposal.product_won, proposal.supply_won, proposal.vat_won) == (
        "proposed",
        3_600,
        360,
        36,
    )
    assert (proposal.payable_won, proposal.number, proposal.text) == (396, "", "")
    note = approve(closed, proposal.id)
    assert (note.state, note.number, note.approved_by, note.booked_in) == ("issued", NOTE, "second", "manual-0002")
    assert (note.proposed_by, note.payable_won, note.explanation) == ("admin", 396, "slow")
    assert balances(closed)["receivable:acme", "microwon"] == 396_000_000
    assert balances(closed)["billed:acme/nlp", "milli_gpu_ms:h100-80g"] == HALF
    assert balances(closed)["used:acme/nlp", "milli_gpu_ms:h100-80g"] == 2 * HALF
    assert closed.facts()[-1] == "CreditNoteIssued"
    assert verify(closed).ok
    seen = verify_invoice(closed)
    assert (seen.ok, seen.credit_notes, seen.credited_won) == (True, (NOTE,), 396)


def test_the_whole_invoice_goes_back(closed: ControlPlane) -> None:
    approve(closed, propose(closed, reason="06").id)
    rest = {account for account, _ in balances(closed) if "acme" in account or account in ("rounding", "vat_payable")}
    assert rest == {"used:acme/nlp"}
    assert verify(closed).ok and verify_invoice(closed).credited_won == 792


def test_repeats_are_the_same_proposal_and_the_same_note(closed: ControlPlane) -> None:
    first = half(closed)
    closed.pass_ms(1_000)
    assert half(closed) == first
    note = approve(closed, first.id)
    before = closed.rows(LedgerEntryRecord)
    assert approve(closed, first.id) == note
    assert closed.rows(LedgerEntryRecord) == before
    assert closed.rows(CounterRecord, ("name", "=", "credit:2026"))[0].value == 1


def test_a_later_note_takes_from_what_is_left(closed: ControlPlane) -> None:
    approve(closed, half(closed).id)
    with pytest.raises(Invalid, match=r"1\.000000 GPU-hours are billed now"):
        half(closed, left=HALF)
    second = approve(closed, half(closed, left=0, explanation="gone").id)
    assert (second.number, second.payable_won) == ("DURE-CN-2026-000002", 396)
    with pytest.raises(Invalid, match="nothing is left"):
        propose(closed)
    assert [verify(closed, number).ok for number in (NOTE, second.number)] == [True, True]
    assert verify_invoice(closed).credited_won == 792


def test_nobody_agrees_with_himself_or_with_what_has_changed(closed: ControlPlane) -> None:
    first, second = half(closed), propose(closed)
    with pytest.raises(Conflict, match="two people") as refused:
        approve(closed, first.id, "admin")
    assert refused.value.code == "DURE-6051"
    approve(closed, first.id)
    with pytest.raises(Conflict, match="credited since") as refused:
        approve(closed, second.id)
    assert refused.value.code == "DURE-6052"
    with closed.store.read() as view:
        states = {body.id: body.state for body in credits.list_credits(view, closed.actor(), ACME, "")}
    assert states == {first.id: "issued", second.id: "outdated"}
    assert len(closed.rows(CreditNoteRecord)) == 1


REFUSED: dict[str, tuple[dict[str, Any], type[DureError], str]] = {
    "no such invoice": ({"invoice": "DURE-2026-000009"}, NotFound, "DURE-3008"),
    "a part without lines": ({"reason": "02"}, Invalid, "DURE-6050"),
    "a whole with lines": ({"lines": [{"number": 1, "left_milli_gpu_ms": 0}]}, Invalid, "DURE-6050"),
    "no such line": ({"reason": "02", "lines": [{"number": 2, "left_milli_gpu_ms": 0}]}, Invalid, "DURE-6050"),
    "a line twice": ({"reason": "02", "lines": [{"number": 1, "left_milli_gpu_ms": 0}] * 2}, Invalid, "DURE-6050"),
    "as much as before": (
        {"reason": "02", "lines": [{"number": 1, "left_milli_gpu_ms": 2 * HALF}]},
        Invalid,
        "DURE-6050",
    ),
    "who is no administrator": ({"user": "org-admin"}, Forbidden, "DURE-4003"),
    "an auditor": ({"user": "auditor"}, Forbidden, "DURE-4003"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(closed: ControlPlane, name: str) -> None:
    fields, kind, code = REFUSED[name]
    with pytest.raises(kind) as refused:
        propose(closed, **fields)
    assert refused.value.code == code
    assert closed.rows(CreditProposalRecord) == []


def test_who_sees_what(closed: ControlPlane) -> None:
    proposal = half(closed)
    with closed.store.read() as view:
        for user in ("org-admin", "org-auditor"):
            assert credits.list_credits(view, closed.actor(user), "", "") == []
            with pytest.raises(NotFound):
                credits.get_credit(view, closed.actor(user), proposal.id)
        assert [body.id for body in credits.list_credits(view, closed.actor("auditor"), "", "")] == [proposal.id]
    approve(closed, proposal.id)
    with closed.store.read() as view:
        for user in ("org-admin", "org-auditor", "auditor"):
            assert credits.get_credit(view, closed.actor(user), NOTE).number == NOTE
            assert credits.get_credit(view, closed.actor(user), proposal.id).text
        assert credits.list_credits(view, closed.actor("admin"), UNI, "") == []
        for user in ("member", "stranger"):
            with pytest.raises(NotFound):
                credits.found_note(view, closed.actor(user), NOTE)
        assert NOTE in credits.credit_csv_text(view, closed.actor("org-admin"), NOTE)


def forge(plane: ControlPlane, record: Any, **changes: Any) -> None:
    """Replace a row below the store, as somebody with a database shell would."""
    assert isinstance(plane.store, MemoryStore)
    below(plane.store, type(record), lambda row: replace(row, **changes) if row == record else row)


def _first(plane: ControlPlane, kind: type[Any], *where: tuple[str, str, object]) -> Any:
    return plane.rows(kind, *where)[0]


def _other_words(plane: ControlPlane) -> None:
    record = _first(plane, CreditNoteRecord)
    forge(plane, record, note_json=record.note_json.replace("slow", "old"))


def _other_entry(plane: ControlPlane) -> None:
    [seq] = [row.seq for row in plane.rows(LedgerTxRecord, ("kind", "=", "credit"))]
    forge(plane, _first(plane, LedgerEntryRecord, ("account", "=", "receivable:acme"), ("seq", "=", seq)), amount=-1)


FORGERIES: dict[str, tuple[Callable[[ControlPlane], None], set[str]]] = {
    "the text": (_other_words, {"sha256", "consent", "bytes"}),
    "no text": (lambda plane: forge(plane, _first(plane, CreditNoteRecord), note_json="{"), {"inputs"}),
    "the hash": (lambda plane: forge(plane, _first(plane, CreditNoteRecord), sha256="ab" * 32), {"fact", "sha256"}),
    "the proposal": (lambda plane: forge(plane, _first(plane, CreditProposalRecord), text="x"), {"consent", "bytes"}),
    "the period": (lambda plane: forge(plane, _first(plane, CreditNoteRecord), period="manual-0001"), {"fact"}),
    "an entry": (_other_entry, {"ledger"}),
    "the invoice": (lambda plane: forge(plane, _first(plane, InvoiceRecord), sha256="ab" * 32), {"invoice", "bytes"}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found(closed: ControlPlane, name: str) -> None:
    approve(closed, half(closed).id)
    change, named = FORGERIES[name]
    change(closed)
    found = verify(closed)
    assert not found.ok
    assert named <= {check.name for check in found.checks if not check.ok}


def test_an_invoice_that_does_not_follow_any_more_is_not_credited(closed: ControlPlane) -> None:
    record = _first(closed, InvoiceRecord, ("number", "=", ACME))
    proposal = half(closed)
    forge(closed, record, invoice_json=record.invoice_json.replace('"slices":2,', '"slices":3,'))
    with pytest.raises(Conflict) as refused:
        approve(closed, proposal.id)
    assert refused.value.code == "DURE-6054"
    forge(closed, _first(closed, InvoiceRecord, ("number", "=", ACME)), invoice_json="{")
    with pytest.raises(Conflict) as refused:
        propose(closed)
    assert refused.value.code == "DURE-6022"


def test_without_an_open_period_nothing_is_booked(closed: ControlPlane) -> None:
    proposal = half(closed)
    for period in closed.rows(PeriodRecord, ("state", "=", "open")):
        forge(closed, period, state="closed")
    with pytest.raises(Conflict) as refused:
        approve(closed, proposal.id)
    assert refused.value.code == "DURE-6055"


def pdf(plane: ControlPlane, renderer: FakeRenderer, number: str = ACME, what: str = "invoice") -> bytes:
    """The PDF in Korean."""
    return pdfs.pdf(plane.store, renderer, plane.actor("org-admin"), what, number, "ko", plane.now_ms)


def test_what_is_handed_out_is_recorded_and_compared(closed: ControlPlane) -> None:
    renderer = FakeRenderer()
    [nothing] = verify_invoice(closed, Witnesses(renderer)).pdfs
    assert not nothing.asked
    assert pdf(closed, renderer) == pdf(closed, renderer)
    [same] = verify_invoice(closed, Witnesses(renderer)).pdfs
    assert same.ok and same.asked and "= the record" in same.detail
    [newer] = verify_invoice(closed, Witnesses(FakeRenderer("fake 2"))).pdfs
    assert newer.ok and not newer.asked and "fake 2" in newer.detail
    renderer.mark = b"!"
    seen = verify_invoice(closed, Witnesses(renderer))
    assert not seen.ok and not seen.pdfs[0].ok
    with pytest.raises(Fatal) as refused:
        pdf(closed, renderer)
    assert refused.value.code == "DURE-9060"


def test_a_credit_note_has_a_pdf_and_what_is_damaged_has_none(closed: ControlPlane) -> None:
    renderer = FakeRenderer()
    approve(closed, half(closed).id)
    assert pdf(closed, renderer, NOTE, "credit").startswith(b'ko {"apiVersion"')
    assert verify(closed, renderer=renderer).pdfs[0].asked
    forge(closed, _first(closed, CreditNoteRecord), note_json="x")
    with pytest.raises(Conflict) as refused:
        pdf(closed, renderer, NOTE, "credit")
    assert refused.value.code == "DURE-6053"
    with pytest.raises(NotFound) as absent:
        pdf(closed, pdfs.NoRenderer())  # type: ignore[arg-type]  # another renderer
    assert absent.value.code == "DURE-3020"
    with pytest.raises(NotFound):
        pdfs.pdf(closed.store, renderer, closed.actor("stranger"), "invoice", ACME, "ko", closed.now_ms)


class FakeWitness:
    """Says what it is told to, or that it cannot."""

    def __init__(self, ok: bool | None) -> None:
        self.ok = ok
        self.asked: tuple[str, int, int, int] = ("", 0, 0, 0)

    def compare(self, org: str, ledger_milli_gpu_ms: int, since_ms: int, until_ms: int) -> tuple[bool, str]:
        """Its answer."""
        self.asked = (org, ledger_milli_gpu_ms, since_ms, until_ms)
        if self.ok is None:
            raise Retry("DURE-8040", "Prometheus cannot be reached", "")
        return self.ok, "+0.21 % (limit 1 %)"


@pytest.mark.parametrize(("answer", "ok", "asked"), [(True, True, True), (False, False, True), (None, True, False)])
def test_prometheus_is_a_second_opinion(closed: ControlPlane, answer: bool | None, ok: bool, asked: bool) -> None:
    witness = FakeWitness(answer)
    seen = verify_invoice(closed, Witnesses(pdfs.NoRenderer(), witness))
    assert seen.prometheus is not None
    assert (seen.ok, seen.prometheus.ok, seen.prometheus.asked) == (ok, ok, asked)
    period = closed.period()
    assert witness.asked == ("acme", 2 * HALF, period.start_ms, period.end_ms)


def test_the_summary_of_a_verification(closed: ControlPlane) -> None:
    seen = verify_invoice(closed)
    assert (seen.lines, seen.lines_ok, seen.total_won, seen.closed_by) == (1, 1, 792, "admin")
    assert seen.intervals == 2  # an hour that begins inside an hour has two slices
    assert seen.prometheus is not None and not seen.prometheus.asked
