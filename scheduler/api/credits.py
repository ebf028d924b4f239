"""Routes of credit notes: propose, approve, list, read, verify."""

from __future__ import annotations

from fastapi import APIRouter, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import also, raw_answer, reads, writes
from scheduler.api.documents import Lang, csv_answer, pdf_answer
from scheduler.api.params import Filter, PathName
from scheduler.schema.bodies import CreditBody, CreditRequest, CreditSummary, Listing, VerifyBody
from scheduler.services import credits, verification

router = APIRouter(prefix="/api/v1", tags=["money"])


@router.post(
    "/credits", status_code=201, responses=also(200, "It was proposed already.", CreditBody) | writes(404, 409)
)
def propose_credit(deps: D, actor: Caller, request: CreditRequest, response: Response) -> CreditBody:
    """Propose a credit note of an invoice; another administrator approves it. A repeat changes nothing."""
    body, is_new = credits.propose(deps.store, actor, request, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.post(
    "/credits/{proposal}/approve",
    status_code=201,
    responses=also(200, "It was issued already.", CreditBody) | reads(404, 409),
)
def approve_credit(deps: D, actor: Caller, proposal: PathName, response: Response) -> CreditBody:
    """Issue and book the credit note that somebody else proposed; a repeat changes nothing."""
    body, is_new = credits.approve(deps.store, deps.policies, actor, proposal, deps.clock())
    response.status_code = 201 if is_new else 200
    return body


@router.get("/credits", responses=reads(409))
def list_credits(deps: D, actor: Caller, invoice: Filter = "", org: Filter = "") -> Listing[CreditSummary]:
    """Credit notes that the caller may read, newest first; proposals too for who reads everything."""
    with deps.store.read() as view:
        items = credits.list_credits(view, actor, invoice, org)
    return Listing[CreditSummary](kind="CreditList", items=items)


@router.get("/credits/{number}.csv", response_class=Response, responses=raw_answer("text/csv") | reads(404, 409))
def get_credit_csv(deps: D, actor: Caller, number: PathName) -> Response:
    """A credit note's lines and totals as CSV."""
    with deps.store.read() as view:
        text = credits.credit_csv_text(view, actor, number)
    return csv_answer(text, number)


@router.get("/credits/{number}.pdf", response_class=Response, responses=raw_answer("application/pdf") | reads(404, 409))
def get_credit_pdf(deps: D, actor: Caller, number: PathName, lang: Lang = "ko") -> Response:
    """A credit note as PDF, in Korean or English; the same bytes each time."""
    return pdf_answer(deps, actor, "credit", number, lang)


@router.get("/credits/{name}", responses=reads(404, 409))
def get_credit(deps: D, actor: Caller, name: PathName) -> CreditBody:
    """A credit by the number of its note or the id of its proposal."""
    with deps.store.read() as view:
        return credits.get_credit(view, actor, name)


@router.get("/credits/{number}/verify", responses=reads(404))
def verify_credit(deps: D, actor: Caller, number: PathName) -> VerifyBody:
    """Recompute a credit note from its invoice, the notes before it, its proposal and the ledger."""
    return verification.verify_credit(deps.store, deps.policies, actor, number, deps.witnesses.renderer)
