"""Bodies between the control plane and the operator of a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from scheduler.schema.body_base import Answer, Body, Sent

NUMBER_MAX = 2**31 - 1
Instant = Annotated[int, Field(ge=0, le=2**53)]
"""Milliseconds since 1970."""
Label = Annotated[str, StringConstraints(max_length=253)]
"""A name as a cluster gives it."""


class RankBody(Body):
    """A worker's place."""

    rank: int
    node: str
    gpus: int


class StopBody(Body):
    """An order to stop."""

    reason: str
    grace_ms: int


class AssignmentBody(Body):
    """operators.ports.Assignment on the wire."""

    job: str
    attempt: int
    org: str
    project: str
    user: str
    tier: str
    flavor: str
    ranks: list[RankBody]
    entrypoint: Literal["script", "ray"]
    run: str
    setup: str
    env: dict[str, str]
    package_sha256: str
    time_limit_ms: int
    grace_ms: int
    checkpoint_key: str
    hold_on_failure_ms: int = 0
    begun: bool = False
    token: str = ""
    """What the attempt's own processes show when they say that they saved their work."""
    stop: StopBody | None = None


class PullRequest(Sent):
    """What a cluster's operator has; the answer says what it should have."""

    existing: Annotated[list[str], Field(max_length=10_000)] = Field(default=[])
    protocol: Literal[1] = 1


class PullBody(Answer):
    """operators.ports.Pull on the wire."""

    kind: Literal["Pull"] = "Pull"
    assignments: list[AssignmentBody]
    forget: list[str]


class ObservationBody(Sent):
    """operators.ports.Observation on the wire."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    kind: Literal["node", "starting", "rank-started", "held", "notice", "rank-ended", "failed", "gone"]
    at_ms: Instant
    job: Label = ""
    attempt: Annotated[int, Field(ge=0, le=NUMBER_MAX)] = 0
    rank: Annotated[int, Field(ge=-1, le=NUMBER_MAX)] = -1
    node: Label = ""
    flavor: Label = ""
    gpus: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    registered: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    schedulable: bool = True
    exit_code: Annotated[int, Field(ge=-NUMBER_MAX, le=NUMBER_MAX)] | None = None
    reason: Literal["", "finish", "cancel", "evict", "timeout", "fail", "lost"] = ""
    evidence: Label = ""
    message: Annotated[str, StringConstraints(max_length=4_000)] = ""

    @model_validator(mode="after")
    def _a_node_has_a_name(self) -> ObservationBody:
        if self.kind == "node" and not self.node:
            raise ValueError("an observation of a node needs the node's name")
        return self


class ReportRequest(Sent):
    """A batch of observations and the watermark that follows them."""

    at_ms: Instant
    observed_through_ms: Instant
    observations: Annotated[list[ObservationBody], Field(max_length=1_000)]
    protocol: Literal[1] = 1


class ReportBody(Answer):
    """How many observations were new, repeated, or in conflict with a stored one."""

    kind: Literal["Report"] = "Report"
    new: int
    repeated: int
    conflicts: int


class LogAck(Answer):
    """The length of a log after an append."""

    kind: Literal["LogAck"] = "LogAck"
    size: int
