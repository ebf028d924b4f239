"""The shape of a credit note. Its canonical JSON has these names; PDF and CSV are renderings of it.

A credit note takes back a part of an issued invoice, or all of it; the invoice itself is never touched. Amounts are
what is taken off, in whole won. A fund's or a discount's amount may be -1: where the tenant's whole won falls and the
product's does not, the rest of it rises.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scheduler.core.accounting.invoice_model import Funding, InvoicePeriod, Party, Terms, Totals


class CreditReason(StrEnum):
    """Why, in the codes of the Korean amended tax invoice; 01 and 06 take the whole invoice back, 02 parts of lines."""

    WRONG_ENTRY = "01"
    SUPPLY_CHANGED = "02"
    ISSUED_TWICE = "06"


WHOLE = frozenset({CreditReason.WRONG_ENTRY, CreditReason.ISSUED_TWICE})
"""Reasons that take back all that is left of an invoice."""


@dataclass(frozen=True, slots=True)
class CreditedInvoice:
    """The invoice that is credited, by number and hash; ``place``: its first credit note is 1, its second 2."""

    number: str
    sha256: str
    issued_at: str
    period: InvoicePeriod
    place: int


@dataclass(frozen=True, slots=True)
class Consent:
    """Who asked for it and why in words, and who approved: two different people. Instants in UTC."""

    proposal: str
    reason: CreditReason
    text: str
    proposed_by: str
    proposed_at: str
    approved_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditLine:
    """One line of the invoice of which less is billed now. Amounts: by how much each falls."""

    number: int
    project: str
    flavor: str
    tier: str
    class_name: str
    rate_card: str
    list_won_per_gpu_hour: int
    tier_factor: str
    class_factor: str
    funder: str
    in_supply_value: bool
    before_milli_gpu_ms: int
    after_milli_gpu_ms: int
    gpu_hours: str
    """What is taken off, for people, cut off at 6 places."""
    list_won: int
    product_won: int
    tenant_won: int
    funder_won: int
    discount_won: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendedTaxInvoice:
    """The hand-over for an amended tax invoice: amounts are negative, as such an invoice has them.

    written_on: that of the original for 01 and 06, the day of approval in Korea for 02.
    """

    document: str
    reason: CreditReason
    original_written_on: str
    supplier_registration_number: str
    supplier_title: str
    buyer_registration_number: str
    buyer_title: str
    supply_value_won: int
    vat_won: int
    written_on: str


@dataclass(frozen=True, slots=True)
class Booking:
    """One entry of its ledger transaction."""

    account: str
    unit: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """What is taken off one invoice. Its canonical JSON is the credit note; all else are renderings."""

    apiVersion: str = "dure.dev/v1alpha1"
    kind: str = "CreditNote"
    number: str
    issued_at: str
    currency: str = "KRW"
    invoice: CreditedInvoice
    consent: Consent
    issuer: Party
    buyer: Party
    buyer_class: str
    terms: Terms
    lines: tuple[CreditLine, ...]
    funding: tuple[Funding, ...]
    totals: Totals
    tax_invoice: AmendedTaxInvoice
    booked_in: str
    """The open period in which it is booked."""
    bookings: tuple[Booking, ...]
