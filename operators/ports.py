"""The operator's two sides: the backend that runs attempts, the control plane that decides them.

Everything here is data or a small protocol. The operator is level-based: it pulls the attempts
that should exist, observes those that do, and acts on the difference; every act is repeatable
by the attempt's name ``d-<job>-a<attempt>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from scheduler.core.errors import DureError
from scheduler.core.model import Rank


def attempt_name(job: str, attempt: int) -> str:
    """The one name of an attempt in every backend."""
    return f"d-{job}-a{attempt}"


@dataclass(frozen=True, slots=True)
class StopOrder:
    """The control plane wants the attempt ended: ``reason`` is a core.lifecycle.StopReason."""

    reason: str
    grace_ms: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """An attempt that should exist on this cluster until it is reported gone.

    entrypoint: ``script`` runs ``run`` on every rank, ``ray`` runs it once as the Ray driver.
    checkpoint_key: names the folder or volume that all attempts of the job share.
    hold_on_failure_ms: how long the attempt keeps its GPUs after a rank has failed; 0: not at all.
    begun: the control plane has been told that it began, so it may never begin again.
    token: what its processes show at the control plane when they report a checkpoint; a secret.
    """

    job: str
    attempt: int
    org: str
    project: str
    user: str
    tier: str
    flavor: str
    ranks: tuple[Rank, ...]
    entrypoint: str
    run: str
    setup: str
    env: tuple[tuple[str, str], ...]
    package_sha256: str
    time_limit_ms: int
    grace_ms: int
    checkpoint_key: str
    hold_on_failure_ms: int = 0
    begun: bool = False
    token: str = ""
    stop: StopOrder | None = None

    @property
    def name(self) -> str:
        """The attempt's name in the backend."""
        return attempt_name(self.job, self.attempt)


class ObservationKind(StrEnum):
    """What a cluster can report about a node or an attempt."""

    NODE = "node"
    STARTING = "starting"
    RANK_STARTED = "rank-started"
    HELD = "held"
    NOTICE = "notice"
    RANK_ENDED = "rank-ended"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing seen, with an id made from the observed object, so that a repeat is the same fact.

    at_ms is on the cluster's own clock. Fields that do not apply are 0, -1 or "".
    NODE: node, flavor, gpus (healthy), registered, schedulable.
    STARTING, GONE: the attempt. RANK_STARTED: rank. RANK_ENDED: rank, exit_code, evidence
    (``observed``, or ``lost`` when at_ms is the last heartbeat). NOTICE: reason.
    HELD: rank, exit_code of the rank that has failed; it counts as ended only when the hold is over.
    FAILED: message (the attempt could not be started; GONE follows).
    GONE: exit_code of the attempt (first non-zero of its ranks, or 0), evidence.
    """

    id: str
    kind: ObservationKind
    at_ms: int
    job: str = ""
    attempt: int = 0
    rank: int = -1
    node: str = ""
    flavor: str = ""
    gpus: int = 0
    registered: int = 0
    schedulable: bool = True
    exit_code: int | None = None
    reason: str = ""
    evidence: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What runs right now, for the second opinion: GPUs a rank holds and, on real devices, their use."""

    job: str
    attempt: int
    rank: int
    org: str
    project: str
    flavor: str
    tier: str
    gpus: int
    running: bool
    utilisation_percent: int | None = None
    memory_bytes: int | None = None
    energy_mj: int | None = None


class Failure(NamedTuple):
    """A call that did not succeed: ``where`` is ``report``, ``pull``, ``observe`` or an attempt's name."""

    where: str
    error: DureError


@dataclass(frozen=True, slots=True)
class View:
    """All that a backend sees at ``at_ms``: every observation not yet acknowledged, and what runs.

    attempts: names that exist in the backend in any form and are not forgotten.
    observed_through_ms: everything that happened before this instant is in some observation, but for attempts that
    the backend has lost every trace of: the loop knows those, and does not report it while one is missing.
    failures: attempts that could not be looked at. They exist, and observed_through_ms does not pass them by.
    """

    at_ms: int
    observed_through_ms: int
    attempts: frozenset[str]
    observations: tuple[Observation, ...]
    samples: tuple[Sample, ...] = field(default=())
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that an attempt hands over: its path in the attempt's artifacts folder, with ``/`` between names."""

    path: str
    size: int
    sha256: str


class LeftOut(NamedTuple):
    """A file that it does not hand over, and why in a few words."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Artifacts:
    """All that an attempt hands over, by path; left_out_more: what was left out beside that which is named."""

    files: tuple[Artifact, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    left_out_more: int = 0


class Backend(Protocol):
    """Runs attempts. Every call is repeatable; none blocks longer than a second or two."""

    def observe(self, now_ms: int) -> View:
        """Look at everything; proves lost attempts gone before it says so."""

    def start(self, assignment: Assignment, package: bytes | None) -> None:
        """Begin the attempt unless it exists; raises Retry when it could not be begun now.

        One that is to stop already begins nothing and is observed GONE: only the backend can prove that nothing runs.
        One that has ``begun`` and does not exist has lost its traces: it begins nothing, whatever runs of it is killed,
        and then it is observed GONE with evidence ``lost`` (decision 0006).
        ``package`` is None when none is needed, or when the one named will never come: it is then observed FAILED.
        """

    def stop(self, name: str, order: StopOrder, now_ms: int) -> None:
        """Give notice once: the first order decides; unknown names are no error."""

    def forget(self, name: str) -> None:
        """The control plane has settled this attempt: its record may be archived."""

    def log_chunk(self, name: str, rank: int, offset: int, limit: int) -> bytes:
        """Bytes of a rank's output from ``offset``; empty when there are none."""


class ArtifactSource(Protocol):
    """A backend that has files of attempts that are gone; nothing writes to those any more."""

    def artifacts(self, name: str) -> Artifacts:
        """What the attempt hands over, the same at every call; nothing of an unknown one. Raises Retry."""

    def artifact_chunk(self, name: str, path: str, offset: int, limit: int) -> bytes:
        """Bytes of a listed file from ``offset``; empty when there are none. Raises Retry."""


@dataclass(frozen=True, slots=True)
class Pull:
    """What the control plane wants of a cluster now; ``known`` lists attempts it still waits for or may forget."""

    assignments: tuple[Assignment, ...]
    forget: tuple[str, ...]


class ControlPlane(Protocol):
    """The side that decides, as one cluster's operator sees it. Raises Retry when it cannot be reached."""

    def pull(self, cluster: str, existing: Sequence[str]) -> Pull:
        """Attempts that should exist; ``existing`` are the backend's, so that those settled can be forgotten."""

    def report(self, cluster: str, at_ms: int, observed_through_ms: int, observations: Sequence[Observation]) -> None:
        """Push observations; returns once they are durable. Repeats change nothing."""

    def push_log(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Append output at ``offset``; returns the length the control plane now has."""

    def package(self, sha256: str) -> bytes:
        """The work directory's zip; raises Retry or Fatal."""


class ArtifactSink(Protocol):
    """The side that keeps artifacts. Raises Retry for what may pass, Fatal for what it will never take."""

    def list_artifacts(self, job: str, attempt: int, found: Artifacts) -> Sequence[int]:
        """Tell what an attempt hands over, once and for all; returns how many bytes of each file are there."""

    def push_artifact(self, job: str, attempt: int, number: int, offset: int, content: bytes) -> int:
        """Append to the file at this place of the list; returns the length now: 0 again when its sum was wrong."""
