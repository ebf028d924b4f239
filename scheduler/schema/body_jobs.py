"""Bodies about jobs, what they may use and who asks: tasks, jobs, reasons, quota, usage, tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from scheduler.schema.arrays import TEXT_LENGTH_MAX, ArrayRange, parse_array
from scheduler.schema.body_base import (
    Answer,
    Body,
    EnvName,
    EnvValue,
    Listing,
    Name,
    RoleName,
    Sent,
    Sha256,
    ShellText,
    TierName,
    UserName,
)


def _an_array(text: str) -> str:
    return parse_array(text).text if text else text


class TaskBody(Sent):
    """A task as the CLI sends it after reading the task file; see schema/task.py for the file."""

    name: Name
    project: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$", max_length=81)]
    """ORG/PROJECT."""
    gpus: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,39}:[1-9][0-9]{0,3}$")]
    """FLAVOR:N per node; FLAVOR is a flavor of the policy or its unique prefix."""
    nodes: Annotated[int, Field(ge=1, le=4096)] = 1
    time_seconds: Annotated[int, Field(ge=1, le=90 * 86_400)] | None = None
    """Time limit of one attempt; None takes the policy's default."""
    tiers: Annotated[list[TierName], Field(min_length=1, max_length=3)] = Field(default=["guaranteed", "borrow"])
    """In the order in which the job accepts them."""
    entrypoint: Literal["script", "ray"] = "script"
    """``script`` runs ``run`` on every rank, ``ray`` runs it once as the Ray driver."""
    run: Annotated[ShellText, Field(min_length=1)]
    setup: ShellText = ""
    env: Annotated[dict[EnvName, EnvValue], Field(max_length=256)] = Field(default={})
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    package_sha256: Sha256 | None = None
    """The work directory's package, sent before with PUT /packages; None when nothing travels."""
    hold: bool = False
    hold_on_failure_seconds: Annotated[int, Field(ge=0, le=90 * 86_400)] = 0
    """How long an attempt whose rank failed keeps its GPUs; 0: not at all."""
    array: Annotated[str, StringConstraints(max_length=TEXT_LENGTH_MAX), AfterValidator(_an_array)] = ""
    """Indices of a job array, such as ``1-20`` or ``1-20%4``; "" for a single job."""

    @property
    def range(self) -> ArrayRange | None:
        """The array's indices; None for a single job."""
        return parse_array(self.array) if self.array else None


class ArrayBody(Body):
    """What a job has to do with a job array: one member of it, or the whole of it in one row."""

    id: str
    indices: str
    """As they were asked for, such as ``1-20%4``."""
    size: int
    index: int | None = None
    """This member's index; None where the row stands for the whole array."""
    states: dict[str, int] = Field(default={})
    """Members by state, where the row stands for the whole array."""


class JobBody(Answer):
    """A job with its newest attempt."""

    kind: Literal["Job"] = "Job"
    id: str
    name: str
    org: str
    project: str
    user: str
    class_name: str
    state: str
    reason: str = ""
    """First reason while it waits; the attempt's state while it is active."""
    flavor: str
    nodes: int
    gpus_per_node: int
    gpus: int
    tiers: list[str]
    tier: str = ""
    """Tier of the newest attempt, "" before the first."""
    attempt: int
    attempt_state: str = ""
    time_seconds: int
    submitted_at: str
    started_at: str = ""
    ended_at: str = ""
    exit_code: int | None = None
    checkpoint_at: str = ""
    """When the newest attempt last said that it had saved its work."""
    checkpoint_step: int | None = None
    """The job's own count then, where it gave one."""
    message: str = ""
    held_gpu_seconds: int = 0
    held_until: str = ""
    """Until when the newest attempt, which has failed, keeps its GPUs to be looked at; "" when it does not."""
    array: ArrayBody | None = None


class CheckpointRequest(Sent):
    """A running attempt has saved its work; ``step`` is the job's own count, if it has one."""

    step: Annotated[int, Field(ge=0, le=2**53)] | None = None


class CheckpointBody(Answer):
    """The newest checkpoint that is written down; is_leaving: the attempt has been asked to stop."""

    kind: Literal["Checkpoint"] = "Checkpoint"
    job: str
    attempt: int
    step: int | None
    saved_at: str
    is_leaving: bool


class EventBody(Body):
    """One line of a job's history."""

    at: str
    event: str
    detail: str


class BlockerBody(Body):
    """One reason why a job waits, in numbers and in a sentence."""

    reason: str
    tier: str = ""
    tree_node: str = ""
    flavor: str = ""
    need: int
    have: int
    limit: int
    actor: str
    sentence: str
    remedies: list[str] = Field(default=[])


class WhyBody(Answer):
    """Why a job waits (or that it does not), and what would start it sooner."""

    kind: Literal["Why"] = "Why"
    job: str
    state: str
    summary: str
    blockers: list[BlockerBody] = Field(default=[])
    would_help: list[str] = Field(default=[])
    ahead_in_project: int = 0
    pending_in_pool: int = 0
    cycle: int = 0
    decided_at: str = ""
    policy_version: int = 0


class QuotaLine(Body):
    """Entitlement and use of one tree node and flavor, in milli-GPUs."""

    tree_node: str
    level: str
    name: str
    flavor: str
    weight_ppm: int
    guarantee: int
    effective_guarantee: int
    borrowing_limit: int | None
    lending_limit: int | None
    held_guaranteed: int
    held_borrow: int
    held_scavenge: int
    pending: int
    fair_share: int
    """Milli-GPUs the tree would give it now if everybody who waits or runs asked for all."""


class UsageLine(Body):
    """Usage of a project, user, flavor and tier over a time."""

    org: str
    project: str
    user: str
    flavor: str
    tier: str
    jobs: int
    held_milli_gpu_ms: int
    billed_milli_gpu_ms: int
    posted_microwon: int
    """The tenant's part that the ledger has."""
    unposted_milli_gpu_ms: int
    """Held so far by attempts whose slices are not in the ledger yet."""
    day: str = ""
    """A date in the policy's time zone. Every property by which the usage is not grouped is ""."""


class UsageList(Listing[UsageLine]):
    """Usage by group, and the sums."""

    by: tuple[str, ...] = ()
    """The properties by which it is grouped, in their order."""
    totals: UsageLine | None = None


class GpuLine(Body):
    """GPUs of one cluster and flavor."""

    cluster: str
    flavor: str
    nodes: int
    total: int
    healthy: int
    held: int
    free: int
    largest_gang: str
    """Largest gang that could start now, such as ``3x4``."""
    pending_jobs: int


class TokenRequest(Sent):
    """A new token for oneself, or by an admin for another user or an operator."""

    user: UserName | Literal[""] = ""
    note: Annotated[str, StringConstraints(max_length=200)] = ""
    expires_seconds: Annotated[int, Field(ge=60, le=366 * 86_400)] | None = None


class TokenBody(Answer):
    """A token; ``secret`` is shown once, when it is made."""

    kind: Literal["Token"] = "Token"
    id: str
    user: str
    note: str = ""
    created_at: str
    expires_at: str = ""
    revoked: bool = False
    secret: str = ""


class GrantBody(Body):
    """A role in a scope."""

    role: RoleName
    scope: str


class WhoamiBody(Answer):
    """Who the token speaks for."""

    kind: Literal["Whoami"] = "Whoami"
    user: str
    grants: list[GrantBody]


class VersionBody(Answer):
    """Versions of the server."""

    kind: Literal["Version"] = "Version"
    version: str
    api: str = "v1"


class PackageAck(Answer):
    """A package is stored."""

    kind: Literal["Package"] = "Package"
    sha256: str
    size: int
    new: bool
