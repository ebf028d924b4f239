"""Bodies about credit notes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from scheduler.schema.body_base import Answer, Body, Sent

LINES_MAX = 10_000
USAGE_MAX = 2**62
DocumentNumber = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")]


class LineLeft(Body):
    """A line of an invoice, and what of it stays billed."""

    number: Annotated[int, Field(ge=1, le=LINES_MAX)]
    left_milli_gpu_ms: Annotated[int, Field(ge=0, le=USAGE_MAX)]


class CreditRequest(Sent):
    """What to take off an invoice: all of it (reasons 01 and 06), or parts of lines (reason 02)."""

    invoice: DocumentNumber
    reason: Literal["01", "02", "06"]
    """01: wrong entry corrected; 02: supply value changed; 06: issued twice by mistake."""
    explanation: Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
    lines: Annotated[tuple[LineLeft, ...], Field(max_length=LINES_MAX)] = ()


class CreditSummary(Answer):
    """A credit: proposed, or issued as a credit note. Amounts are what is taken off, in won."""

    kind: Literal["CreditSummary"] = "CreditSummary"
    id: str
    """Of the proposal; the same question is the same proposal."""
    state: Literal["proposed", "issued", "outdated"]
    """outdated: another credit note of the invoice came first."""
    number: str = ""
    """Of the credit note, once it is issued."""
    invoice: str
    org: str
    reason: str
    explanation: str
    proposed_by: str
    proposed_at: str
    approved_by: str = ""
    issued_at: str = ""
    booked_in: str = ""
    product_won: int
    subsidy_won: int
    supply_won: int
    vat_won: int
    payable_won: int
    sha256: str = ""


class CreditBody(CreditSummary):
    """A credit with what it takes off line by line, and its canonical text once it is issued."""

    kind: Literal["Credit"] = "Credit"  # type: ignore[assignment]  # the same field with a narrower literal
    lines: list[CreditLineBody]
    text: str = ""


class CreditLineBody(Body):
    """A line of which less is billed; amounts are by how much each falls."""

    number: int
    project: str
    flavor: str
    tier: str
    before_milli_gpu_ms: int
    after_milli_gpu_ms: int
    product_won: int
    funder_won: int
    discount_won: int
    tenant_won: int
