"""The shape of a usage invoice. Its canonical JSON has these names; PDF, CSV and pages are renderings of it.

Instants are RFC 3339 in UTC, money is whole won unless a name ends in ``_microwon``, factors are
decimals as text. ``scheduler.core.accounting.invoice`` fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scheduler.core.accounting.rounding import RoundingMode


class TaxTreatment(StrEnum):
    """How an organisation's supplies are taxed; only ``taxable`` carries value added tax."""

    TAXABLE = "taxable"
    ZERO_RATED = "zero_rated"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Party:
    """Who issues or who receives: ``title`` is the legal name, ``registration_number`` NNN-NN-NNNNN or ""."""

    name: str
    title: str = ""
    registration_number: str = ""


@dataclass(frozen=True, slots=True)
class InvoicePeriod:
    """The billing period [start, end), instants in UTC."""

    id: str
    calendar: str
    start: str
    end: str
    timezone: str = "Asia/Seoul"


@dataclass(frozen=True, slots=True)
class Terms:
    """How this invoice was made from usage: what is charged, how it is rounded and taxed."""

    billing_rule: str
    line_rounding: RoundingMode
    line_quantum_won: int
    tax_treatment: TaxTreatment
    vat_factor: str
    vat_rounding: RoundingMode
    vat_quantum_won: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Usage of one project at one price. product = tenant + funder + discount, all in whole won."""

    number: int
    project: str
    flavor: str
    tier: str
    class_name: str
    rate_card: str
    policy_versions: tuple[int, ...]
    slices: int
    billed_milli_gpu_ms: int
    gpu_hours: str
    """The quantity for people, cut off at 6 places; amounts come from ``billed_milli_gpu_ms``."""
    list_won_per_gpu_hour: int
    tier_factor: str
    class_factor: str
    funder: str
    in_supply_value: bool
    list_won: int
    product_won: int
    tenant_won: int
    funder_won: int
    discount_won: int


@dataclass(frozen=True, slots=True)
class Funding:
    """What one fund pays for this organisation, and whether that belongs to the supply value."""

    fund: str
    won: int
    in_supply_value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums of the lines, then tax. payable = tenant + vat; subsidy = funder + discount."""

    list_won: int
    product_won: int
    funder_won: int
    discount_won: int
    subsidy_won: int
    tenant_won: int
    supply_value_won: int
    vat_won: int
    payable_won: int


@dataclass(frozen=True, slots=True)
class Difference:
    """By how many micro-won the invoice differs from an account's usage entries; booked as ``rounding``."""

    account: str
    microwon: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxInvoice:
    """The hand-over for a Korean tax invoice (document: tax_invoice, exempt_invoice, or none for a supply of 0)."""

    document: str
    supplier_registration_number: str
    supplier_title: str
    buyer_registration_number: str
    buyer_title: str
    supply_value_won: int
    vat_won: int
    written_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the invoice was made from: slices by hash, ledger sequences, policy versions and rate cards."""

    slices: int
    slices_sha256: str
    held_milli_gpu_ms: int
    billed_milli_gpu_ms: int
    first_seq: int
    last_seq: int
    transactions: int
    close_seq: int
    policy_versions: tuple[int, ...]
    rate_cards: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """One organisation's usage in one period. Its canonical JSON is the invoice; all else are renderings."""

    apiVersion: str = "dure.dev/v1alpha1"
    kind: str = "Invoice"
    number: str
    issued_at: str
    currency: str = "KRW"
    period: InvoicePeriod
    issuer: Party
    buyer: Party
    buyer_class: str
    terms: Terms
    lines: tuple[Line, ...]
    funding: tuple[Funding, ...]
    totals: Totals
    rounding: tuple[Difference, ...]
    tax_invoice: TaxInvoice
    sources: Sources
