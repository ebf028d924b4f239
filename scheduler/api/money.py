"""Routes of money: periods and invoices."""

from __future__ import annotations

from fastapi import APIRouter, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import also, raw_answer, reads
from scheduler.api.documents import Lang, csv_answer, pdf_answer
from scheduler.api.params import Filter, PathName
from scheduler.schema.bodies import InvoiceBody, InvoiceSummary, Listing, PeriodBody, VerifyBody
from scheduler.services import invoices, periods, verification
from scheduler.services.actors import require

router = APIRouter(prefix="/api/v1", tags=["money"])


@router.get("/periods", responses=reads())
def list_periods(deps: D, actor: Caller) -> Listing[PeriodBody]:
    """Billing periods, oldest first."""
    require(actor.reads_all, "read billing periods", "an administrator or auditor of the pool")
    with deps.store.read() as view:
        return Listing[PeriodBody](kind="PeriodList", items=periods.list_periods(view))


@router.post(
    "/periods/close", responses=also(202, "It is closing; waiting_for says for what.", PeriodBody) | reads(404, 409)
)
def close_period(deps: D, actor: Caller, response: Response, id: Filter = "") -> PeriodBody:
    """Close a period by its id, or the oldest open one; a repeat says how far that is."""
    body = periods.close_period(deps.store, deps.policies, actor, id, deps.clock())
    response.status_code = 200 if body.state == "closed" else 202
    return body


@router.get("/invoices", responses=reads())
def list_invoices(deps: D, actor: Caller, period: Filter = "", org: Filter = "") -> Listing[InvoiceSummary]:
    """Invoices that the caller may read, newest first."""
    with deps.store.read() as view:
        return Listing[InvoiceSummary](kind="InvoiceList", items=invoices.list_invoices(view, actor, period, org))


@router.get("/invoices/{number}.csv", response_class=Response, responses=raw_answer("text/csv") | reads(404))
def get_invoice_csv(deps: D, actor: Caller, number: PathName) -> Response:
    """An invoice's lines and totals as CSV."""
    with deps.store.read() as view:
        text = invoices.invoice_csv_text(view, actor, number)
    return csv_answer(text, number)


@router.get(
    "/invoices/{number}.pdf", response_class=Response, responses=raw_answer("application/pdf") | reads(404, 409)
)
def get_invoice_pdf(deps: D, actor: Caller, number: PathName, lang: Lang = "ko") -> Response:
    """An invoice as PDF, in Korean or English; the same bytes each time."""
    return pdf_answer(deps, actor, "invoice", number, lang)


@router.get("/invoices/{number}", responses=reads(404))
def get_invoice(deps: D, actor: Caller, number: PathName) -> InvoiceBody:
    """An invoice with its canonical text."""
    with deps.store.read() as view:
        return invoices.get_invoice(view, actor, number)


@router.get("/invoices/{number}/verify", responses=reads(404))
def verify_invoice(deps: D, actor: Caller, number: PathName) -> VerifyBody:
    """Recompute an invoice from slices, rate card, policy and ledger; compare its PDFs, and Prometheus."""
    return verification.verify_invoice(deps.store, deps.policies, actor, number, deps.witnesses)
