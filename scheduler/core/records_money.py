"""Records of slices, ledger, periods and invoices; see ``scheduler.core.records`` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scheduler.core.model import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """Usage of one rank inside one hour (and one period): [start, end) on the cluster's clock.

    held: gpus times the held part (from Admitted to proven gone); billed: the charged part of it.
    """

    KEY: ClassVar = ("id",)
    APPEND_ONLY: ClassVar = True
    id: str
    job: str
    attempt: int
    rank: int
    cluster: str
    class_name: str
    org: str
    project: str
    user: str
    flavor: str
    tier: Tier
    start_ms: int
    end_ms: int
    gpus: int
    held_milli_gpu_ms: int
    billed_milli_gpu_ms: int
    rate_card: str
    policy_version: int
    evidence: str
    period: str
    """The billing period it is invoiced in: that of its start, or the open one when it came late."""
    ledger_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTxRecord:
    """A balanced set of entries. ``seq`` is gapless; ``idem_key`` makes a repeat a no-op."""

    KEY: ClassVar = ("seq",)
    APPEND_ONLY: ClassVar = True
    seq: int
    idem_key: str
    kind: str
    occurred_from_ms: int
    occurred_to_ms: int
    booked_at_ms: int
    period: str
    reverses_seq: int
    """0 unless it reverses an earlier transaction."""
    body_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntryRecord:
    """One leg of a transaction; legs of one (seq, unit) sum to zero."""

    KEY: ClassVar = ("seq", "line")
    APPEND_ONLY: ClassVar = True
    seq: int
    line: int
    account: str
    unit: str
    """``microwon`` or ``milli_gpu_ms:<flavor>``."""
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRecord:
    """A billing period: open -> closing (its end is fixed) -> closed (its invoices are issued)."""

    KEY: ClassVar = ("id",)
    APPEND_ONLY: ClassVar = False
    id: str
    calendar: str
    """``month`` (Asia/Seoul) or ``manual``."""
    start_ms: int
    end_ms: int = 0
    """Exclusive; 0 while a manual period is open."""
    state: str = "open"
    close_seq: int = 0
    """Ledger sequence up to which usage was booked when it closed."""
    close_policy_version: int = 0
    """The policy version whose tax and calendar closed it."""
    closed_at_ms: int = 0
    closed_by: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRecord:
    """A usage invoice as issued: canonical JSON and its SHA-256; never changed."""

    KEY: ClassVar = ("number",)
    APPEND_ONLY: ClassVar = True
    number: str
    org: str
    period: str
    issued_at_ms: int
    invoice_json: str
    sha256: str
    issued_seq: int
    """Sequence of its InvoiceIssued fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditProposalRecord:
    """What an administrator asks to take off an invoice, before another one approves; never changed."""

    KEY: ClassVar = ("id",)
    APPEND_ONLY: ClassVar = True
    id: str
    """Made from what is asked: the same question is the same proposal."""
    invoice: str
    org: str
    reason: str
    text: str
    left_json: str
    """Canonical JSON: number of a line -> milli-GPU-ms that stay billed; empty for a whole invoice."""
    notes_before: int
    """Credit notes that the invoice had; with another number of them the proposal is outdated."""
    proposed_by: str
    proposed_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteRecord:
    """A credit note as issued: canonical JSON and its SHA-256; never changed."""

    KEY: ClassVar = ("number",)
    APPEND_ONLY: ClassVar = True
    number: str
    invoice: str
    place: int
    """The first note of its invoice is 1."""
    proposal: str
    org: str
    period: str
    """The open period in which it is booked."""
    issued_at_ms: int
    note_json: str
    sha256: str
    issued_seq: int
    """Sequence of its CreditNoteIssued fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderingRecord:
    """A PDF that was handed out: whose, in which language, made by what, with which bytes (decision 0010)."""

    KEY: ClassVar = ("document", "lang", "renderer")
    APPEND_ONLY: ClassVar = True
    document: str
    """Number of the invoice or credit note."""
    lang: str
    renderer: str
    sha256: str
    at_ms: int
