"""The client's calls about credit notes."""

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


class CreditCalls:
    """Propose, approve, read and verify; every call may be repeated."""

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
