"""Records of jobs, attempts, nodes, clusters and cycles; see ``scheduler.core.records`` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.model import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job and its current state. ``task_json`` is the task as accepted, defaults filled in."""

    KEY: ClassVar = ("id",)
    APPEND_ONLY: ClassVar = False
    id: str
    org: str
    project: str
    user: str
    class_name: str
    name: str
    state: JobState
    flavor: str
    nodes: int
    gpus_per_node: int
    tiers: str
    """Accepted tiers in order, comma-separated."""
    time_limit_ms: int
    task_json: str
    submitted_at_ms: int
    submitted_seq: int = 0
    """Sequence of its JobSubmitted fact: the order of its line."""
    attempt: int = 0
    """Number of its newest attempt; 0 before the first."""
    losses: int = 0
    """Attempts that were lost through no fault of the job."""
    max_losses: int = 20
    """How many lost attempts are repeated before the job fails; from the policy at submission."""
    failures: int = 0
    """Attempts that failed by themselves, counted against ``retries``."""
    package_sha256: str = ""
    held_by: str = ""
    """``user`` or ``admin`` while Held or to be Held once its attempt is Gone; ``array``: its turn has not come."""
    cancelled_by: str = ""
    not_before_ms: int = 0
    ended_at_ms: int = 0
    message: str = ""
    """One sentence about how it ended, for people."""
    array: str = ""
    """The array that it is a member of, "" for a single job; array_text is what was asked for, such as ``1-20%4``."""
    array_index: int = 0
    array_text: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One execution of a job; ``ranks_json`` is its placement, a list of core.model.Rank."""

    KEY: ClassVar = ("job", "number")
    APPEND_ONLY: ClassVar = False
    job: str
    number: int
    org: str
    project: str
    user: str
    state: AttemptState
    tier: Tier
    cluster: str
    flavor: str
    gpus: int
    ranks_json: str
    admitted_at_ms: int
    cycle: int
    policy_version: int
    rate_card: str
    starting_at_ms: int = 0
    running_at_ms: int = 0
    stop_reason: StopReason | None = None
    stop_at_ms: int = 0
    """When the control plane asked for or learned of the stop."""
    notice_at_ms: int = 0
    """When the cluster gave the job its notice, on the cluster's clock; 0 without one."""
    gone_at_ms: int = 0
    """When it was proven gone, on the cluster's clock."""
    checkpoint_at_ms: int = 0
    """When it last said that it had saved its work; 0: never."""
    checkpoint_step: int | None = None
    """The job's own count at that moment, where it gave one."""
    settled: bool = False
    """Every slice of it is in the ledger."""
    exit_code: int | None = None
    """Of the whole attempt when it is Gone; while it is held after a failure, the failed rank's."""
    hold_until_ms: int = 0
    """A rank has failed and its GPUs are held until then, on the cluster's clock, to be looked at; 0: not so."""
    unproven: bool = False
    message: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRecord:
    """A GPU-holding worker of an attempt, with its start and end on the cluster's clock (0: not yet)."""

    KEY: ClassVar = ("job", "attempt", "rank")
    APPEND_ONLY: ClassVar = False
    job: str
    attempt: int
    rank: int
    node: str
    gpus: int
    started_at_ms: int = 0
    ended_at_ms: int = 0
    exit_code: int | None = None
    evidence: str = ""
    """``observed`` or, where the end is the last heartbeat, ``lost``."""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """GPUs of one node: 0 <= healthy <= registered always; a write that raises held needs held <= healthy.

    Held may be above both when GPUs fail, or the whole node vanishes, under an attempt that is not proven gone.
    """

    KEY: ClassVar = ("cluster", "name")
    APPEND_ONLY: ClassVar = False
    cluster: str
    name: str
    flavor: str
    registered: int
    healthy: int
    held: int = 0
    schedulable: bool = True
    seen_at_ms: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """A cluster and the instant (its own clock) up to which everything on it has been observed."""

    KEY: ClassVar = ("name",)
    APPEND_ONLY: ClassVar = False
    name: str
    observed_through_ms: int = 0
    reported_at_ms: int = 0
    """Control plane's clock at its last report."""
    clock_offset_ms: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationRecord:
    """A raw observation as a cluster reported it; the id comes from the observed object."""

    KEY: ClassVar = ("id",)
    APPEND_ONLY: ClassVar = True
    id: str
    cluster: str
    kind: str
    job: str
    attempt: int
    rank: int
    at_ms: int
    received_at_ms: int
    body_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRecord:
    """Something that people should look at: a conflict, an unknown status, a clock offset."""

    KEY: ClassVar = ("id",)
    APPEND_ONLY: ClassVar = True
    id: str
    code: str
    subject: str
    message: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord:
    """One allocator cycle that took steps: enough to replay it and to say whether the replay is the same (S12).

    plan_json: ``Plan.recorded``: the steps, and a hash over the reasons of everything that waits.
    """

    KEY: ClassVar = ("number",)
    APPEND_ONLY: ClassVar = True
    number: int
    epoch: int
    at_ms: int
    fact_seq: int
    policy_version: int
    registry_seq: int
    code_version: str
    input_hash: str
    plan_json: str
    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRecord:
    """Why jobs wait, as the newest cycle found it (S13): one row, named ``newest``, for everybody who asks.

    Older reasons are made anew from facts where somebody needs them; kept, they would be most of the database.
    """

    KEY: ClassVar = ("name",)
    APPEND_ONLY: ClassVar = False
    name: str
    cycle: int
    """The newest cycle that took steps, 0 before the first."""
    at_ms: int
    policy_version: int
    reasons_json: str
    """``Plan.waiting``: a plan without steps."""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """The allocator's whole folded state after a cycle, every 1,000 cycles: where a replay may begin."""

    KEY: ClassVar = ("cycle",)
    APPEND_ONLY: ClassVar = True
    cycle: int
    fact_seq: int
    state_json: str
