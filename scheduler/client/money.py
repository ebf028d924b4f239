"""The client's calls about periods, invoices and credit notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from scheduler.client.address import segment
from scheduler.schema import bodies
from scheduler.schema.bodies import Body, Listing

B = TypeVar("B", bound=Body)
CREDITS = "/api/v1/credits"


class Caller(Protocol):
    """What a client gives its calls."""

    def _get(self, answer: type[B], path: str, params: Mapping[str, str | int] | None = None) -> B: ...

    def _post(
        self,
        answer: type[B],
        path: str,
        body: Body | None = None,
        params: Mapping[str, str | int] | None = None,
        *,
        repeatable: bool = False,
    ) -> B: ...

    def _file(self, path: str, params: Mapping[str, str | int]) -> bytes: ...


class MoneyCalls:
    """Propose, approve, read and verify; every call may be repeated."""

    def periods(self: Caller) -> Listing[bodies.PeriodBody]:
        """Billing periods."""
        return self._get(Listing[bodies.PeriodBody], "/api/v1/periods")

    def close_period(self: Caller, period: str = "") -> bodies.PeriodBody:
        """Close a period, or the oldest open one: closed, or closing with what it waits for.

        With an id a repeat asks how far it is; without one a repeat could close the next period, so it is sent once.
        """
        params = {"id": period}
        return self._post(bodies.PeriodBody, "/api/v1/periods/close", None, params, repeatable=bool(period))

    def invoices(self: Caller, *, period: str = "", org: str = "") -> Listing[bodies.InvoiceSummary]:
        """Invoices the caller may see."""
        return self._get(Listing[bodies.InvoiceSummary], "/api/v1/invoices", {"period": period, "org": org})

    def invoice(self: Caller, number: str) -> bodies.InvoiceBody:
        """An invoice with its canonical text."""
        return self._get(bodies.InvoiceBody, f"/api/v1/invoices/{segment(number)}")

    def invoice_csv(self: Caller, number: str) -> bytes:
        """An invoice's lines as the server writes them in CSV."""
        return self._file(f"/api/v1/invoices/{segment(number)}.csv", {})

    def invoice_pdf(self: Caller, number: str, lang: str = "ko") -> bytes:
        """An invoice as PDF, in a language."""
        return self._file(f"/api/v1/invoices/{segment(number)}.pdf", {"lang": lang})

    def verify_invoice(self: Caller, number: str) -> bodies.VerifyBody:
        """Recompute an invoice from slices, rate card and policy."""
        return self._get(bodies.VerifyBody, f"/api/v1/invoices/{segment(number)}/verify")

    def propose_credit(self: Caller, request: bodies.CreditRequest) -> bodies.CreditBody:
        """Ask to take something off an invoice; the same question again is the same proposal."""
        return self._post(bodies.CreditBody, f"{CREDITS}", request, repeatable=True)

    def approve_credit(self: Caller, proposal: str) -> bodies.CreditBody:
        """Issue the credit note that somebody else proposed; a repeat changes nothing."""
        return self._post(bodies.CreditBody, f"{CREDITS}/{segment(proposal)}/approve", repeatable=True)

    def credits(self: Caller, *, invoice: str = "", org: str = "") -> Listing[bodies.CreditSummary]:
        """Credit notes and proposals the caller may see."""
        return self._get(Listing[bodies.CreditSummary], f"{CREDITS}", {"invoice": invoice, "org": org})

    def credit(self: Caller, name: str) -> bodies.CreditBody:
        """A credit by the number of its note or the id of its proposal."""
        return self._get(bodies.CreditBody, f"{CREDITS}/{segment(name)}")

    def credit_csv(self: Caller, number: str) -> bytes:
        """A credit note's lines as the server writes them in CSV."""
        return self._file(f"{CREDITS}/{segment(number)}.csv", {})

    def credit_pdf(self: Caller, number: str, lang: str = "ko") -> bytes:
        """A credit note as PDF, in a language."""
        return self._file(f"{CREDITS}/{segment(number)}.pdf", {"lang": lang})

    def verify_credit(self: Caller, number: str) -> bodies.VerifyBody:
        """Recompute a credit note from its invoice and the ledger."""
        return self._get(bodies.VerifyBody, f"{CREDITS}/{segment(number)}/verify")
