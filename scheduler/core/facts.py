"""Facts: immutable records of what happened, in one sequence; each kind has one writer.

A fact is a frozen dataclass; ``encode`` and ``decode`` turn it to and from JSON values. State
(``scheduler.core.state``) is a fold over facts, so a rebuilt state equals an incremental one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scheduler.core.codec import from_json, to_json
from scheduler.core.lifecycle import JobState, StopReason
from scheduler.core.model import GangRequest, Rank, Tier


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """services.submit: a job was accepted and is Queued."""

    job: str
    leaf: str
    request: GangRequest


@dataclass(frozen=True, slots=True)
class JobHeld:
    """services.hold: a queued job waits until it is released; by ``user`` or ``admin``."""

    job: str
    by: str


@dataclass(frozen=True, slots=True)
class JobReleased:
    """services.hold: a held job is Queued again."""

    job: str


@dataclass(frozen=True, slots=True)
class AttemptAdmitted:
    """services.cycle: an attempt holds its GPUs from here on."""

    job: str
    attempt: int
    tier: Tier
    cluster: str
    ranks: tuple[Rank, ...]
    cycle: int


@dataclass(frozen=True, slots=True)
class AttemptStarting:
    """services.observe: the backend has begun to start it."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptRunning:
    """services.observe: all ranks of the gang run."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptStopping:
    """services.cancel, cycle or observe: the first reason to stop; later ones change nothing."""

    job: str
    attempt: int
    reason: StopReason


@dataclass(frozen=True, slots=True)
class AttemptGone:
    """services.observe: proven gone; its GPUs are free. ``job_state`` is the job's state after it.

    not_before_ms: when a job that is Queued again may start next (back-off), else 0.
    """

    job: str
    attempt: int
    job_state: JobState
    not_before_ms: int = 0


@dataclass(frozen=True, slots=True)
class GpusEarmarked:
    """services.cycle: these places are kept for a gang inside its guarantee until it starts or leaves its line.

    victims: (job, attempt) of those that were asked to leave for it; may be empty when enough leave anyway.
    """

    job: str
    attempt: int
    cluster: str
    ranks: tuple[Rank, ...]
    victims: tuple[tuple[str, int], ...]
    cycle: int


@dataclass(frozen=True, slots=True)
class EarmarkReleased:
    """services.cycle: nothing is kept for the gang any more; it waits in its line again."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CheckpointReported:
    """services.checkpoints: a running attempt has saved its work; ``step`` is the job's own count, if it gave one."""

    job: str
    attempt: int
    step: int | None = None


@dataclass(frozen=True, slots=True)
class JobEnded:
    """services.cancel or observe: a job without a live attempt reached a terminal state."""

    job: str
    state: JobState


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """services.observe: a node is new or its healthy GPUs or its cordon changed."""

    cluster: str
    name: str
    flavor: str
    gpus: int
    schedulable: bool


@dataclass(frozen=True, slots=True)
class PolicyApplied:
    """services.policy: a policy version is in force."""

    version: int


@dataclass(frozen=True, slots=True)
class RegistryChanged:
    """services.registry: an organisation, project or member changed; ``sequence`` counts changes.

    ``change`` is ``org``, ``project`` or ``member``; ``record_json`` the record after it, so that the
    registry at any sequence can be folded from facts.
    """

    sequence: int
    change: str = ""
    record_json: str = ""


@dataclass(frozen=True, slots=True)
class InvoiceIssued:
    """services.invoices: an invoice was issued with this hash of its text.

    Facts are chained, and every cycle's record holds the chain: an invoice cannot be replaced with its hash alone.
    """

    number: str
    org: str
    period: str
    sha256: str


@dataclass(frozen=True, slots=True)
class CreditNoteIssued:
    """services.credits: a credit note of an invoice was issued with this hash of its text."""

    number: str
    invoice: str
    org: str
    period: str
    sha256: str


FactBody = (
    JobSubmitted
    | JobHeld
    | JobReleased
    | AttemptAdmitted
    | AttemptStarting
    | AttemptRunning
    | AttemptStopping
    | AttemptGone
    | GpusEarmarked
    | EarmarkReleased
    | CheckpointReported
    | JobEnded
    | NodeSeen
    | PolicyApplied
    | RegistryChanged
    | InvoiceIssued
    | CreditNoteIssued
)

FACT_KINDS: dict[str, type[FactBody]] = {kind.__name__: kind for kind in FactBody.__args__}


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact at its place: ``seq`` orders all facts, ``at_ms`` is the control plane's clock."""

    seq: int
    at_ms: int
    body: FactBody

    @property
    def kind(self) -> str:
        """The name of the fact's kind."""
        return type(self.body).__name__


def encode(body: FactBody) -> dict[str, Any]:
    """The fact's fields as JSON values."""
    encoded: dict[str, Any] = to_json(body)
    return encoded


def decode(kind: str, value: dict[str, Any]) -> FactBody:
    """The fact of ``kind`` with these fields; raises KeyError for an unknown kind, ValueError for a bad field."""
    decoded: FactBody = from_json(FACT_KINDS[kind], value)
    return decoded
