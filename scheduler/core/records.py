"""What is stored: one frozen dataclass a table, shared by every store and every service.

``KEY`` names the primary key. ``APPEND_ONLY`` tables refuse UPDATE and DELETE in the database.
Records with a ``version`` change only through a guarded write that names the version it read;
the store sets the next one. ``*_json`` fields hold canonical JSON (``codec.canonical``).
Instants end in ``_ms`` (UTC milliseconds). Money is micro-won, usage milli-GPU-milliseconds.
"""

from __future__ import annotations

from scheduler.core.records_artifacts import ArtifactRecord
from scheduler.core.records_jobs import (
    AttemptRecord,
    CheckpointRecord,
    ClusterRecord,
    CycleRecord,
    FindingRecord,
    JobRecord,
    NodeRecord,
    ObservationRecord,
    RankRecord,
    WaitingRecord,
)
from scheduler.core.records_money import (
    CreditNoteRecord,
    CreditProposalRecord,
    InvoiceRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    PeriodRecord,
    RenderingRecord,
    SliceRecord,
)
from scheduler.core.records_registry import (
    CounterRecord,
    IdempotencyRecord,
    KeyRecord,
    LeaseRecord,
    MemberRecord,
    OrgRecord,
    PolicyRecord,
    ProjectRecord,
    RateCardRecord,
    TokenRecord,
)

Record = (
    JobRecord
    | ArtifactRecord
    | AttemptRecord
    | RankRecord
    | NodeRecord
    | ClusterRecord
    | ObservationRecord
    | FindingRecord
    | PolicyRecord
    | RateCardRecord
    | OrgRecord
    | ProjectRecord
    | MemberRecord
    | TokenRecord
    | KeyRecord
    | IdempotencyRecord
    | LeaseRecord
    | CounterRecord
    | CycleRecord
    | CheckpointRecord
    | WaitingRecord
    | SliceRecord
    | LedgerTxRecord
    | LedgerEntryRecord
    | PeriodRecord
    | InvoiceRecord
    | CreditProposalRecord
    | CreditNoteRecord
    | RenderingRecord
)

RECORD_KINDS: tuple[type[Record], ...] = Record.__args__

__all__ = [
    "ArtifactRecord",
    "AttemptRecord",
    "CheckpointRecord",
    "ClusterRecord",
    "CounterRecord",
    "CreditNoteRecord",
    "CreditProposalRecord",
    "CycleRecord",
    "FindingRecord",
    "IdempotencyRecord",
    "InvoiceRecord",
    "JobRecord",
    "KeyRecord",
    "LeaseRecord",
    "LedgerEntryRecord",
    "LedgerTxRecord",
    "MemberRecord",
    "NodeRecord",
    "ObservationRecord",
    "OrgRecord",
    "PeriodRecord",
    "PolicyRecord",
    "ProjectRecord",
    "RECORD_KINDS",
    "RankRecord",
    "RateCardRecord",
    "Record",
    "RenderingRecord",
    "SliceRecord",
    "TokenRecord",
    "WaitingRecord",
]
