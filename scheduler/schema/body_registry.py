"""Bodies about the registry, billing periods and invoices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from scheduler.schema.body_base import Answer, Body, Name, RoleName, Sent, UserName


class OrgRequest(Sent):
    """A new organisation, or a change of one."""

    name: Name
    class_name: Name
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    registration_number: Annotated[str, StringConstraints(max_length=20)] = ""
    tax_treatment: Literal["taxable", "zero_rated", "exempt"] = "taxable"


class OrgBody(Answer):
    """An organisation."""

    kind: Literal["Organisation"] = "Organisation"
    name: str
    class_name: str
    title: str
    state: str
    registration_number: str
    tax_treatment: str


class ProjectRequest(Sent):
    """A new project of an organisation."""

    org: Name
    name: Name
    title: Annotated[str, StringConstraints(max_length=200)] = ""


class ProjectBody(Answer):
    """A project."""

    kind: Literal["Project"] = "Project"
    org: str
    name: str
    title: str
    state: str


class MemberRequest(Sent):
    """Grant or remove a role: scope ``all``, ``org:NAME``, ``project:ORG/NAME`` or ``cluster:NAME``."""

    user: UserName
    role: RoleName
    scope: Annotated[
        str, StringConstraints(pattern=r"^(all|org:[a-z0-9-]+|project:[a-z0-9-]+/[a-z0-9-]+|cluster:[a-z0-9-]+)$")
    ]


class MemberBody(Answer):
    """A role of a user in a scope."""

    kind: Literal["Member"] = "Member"
    user: str
    role: str
    scope: str
    state: str
    granted_at: str
    granted_by: str


class PeriodBody(Answer):
    """A billing period."""

    kind: Literal["Period"] = "Period"
    id: str
    calendar: str
    start: str
    end: str = ""
    state: str
    closed_at: str = ""
    closed_by: str = ""
    waiting_for: str = ""
    """What a closing period still waits for, in a sentence."""


class InvoiceSummary(Answer):
    """An invoice as lists show it."""

    kind: Literal["InvoiceSummary"] = "InvoiceSummary"
    number: str
    org: str
    period: str
    issued_at: str
    list_won: int
    subsidy_won: int
    supply_won: int
    vat_won: int
    payable_won: int
    sha256: str


class InvoiceBody(InvoiceSummary):
    """An invoice with its canonical text, from which the sha256 is made."""

    kind: Literal["Invoice"] = "Invoice"  # type: ignore[assignment]  # the same field with a narrower literal
    text: str


class CheckBody(Body):
    """One check of a verification."""

    name: str
    ok: bool
    detail: str
    asked: bool = True
    """False: there was nothing to ask, so that it is neither right nor wrong."""


class VerifyBody(Answer):
    """Result of recomputing an invoice or a credit note from slices, rate card, policy and ledger."""

    kind: Literal["Verification"] = "Verification"
    number: str
    ok: bool
    checks: list[CheckBody]
    lines: int = 0
    lines_ok: int = 0
    """Lines of which usage, quantity, price, amounts and arithmetic are as recomputed."""
    intervals: int = 0
    """Slices of usage that the lines were recomputed from."""
    total_won: int = 0
    """Payable by the invoice, or credited by the note; -1 where the text cannot be read."""
    closed_at: str = ""
    closed_by: str = ""
    credit_notes: tuple[str, ...] = ()
    """Numbers of the invoice's credit notes."""
    credited_won: int = 0
    pdfs: tuple[CheckBody, ...] = ()
    """Each PDF that was handed out, against the one that is made now."""
    prometheus: CheckBody | None = None
    """The second opinion on the usage; absent for a credit note."""
