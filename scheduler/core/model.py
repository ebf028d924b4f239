"""The words of the allocator as frozen values: requests, nodes, placements, live attempts, pending jobs.

A *tree node* is named by its path: ``/`` is the pool, then class, organisation, project, user:
``/sme/hanbit-ai/nlp/kim``. A *queue* is a project's line, named by the project's path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.units import MILLI_PER_GPU


class Tier(StrEnum):
    """A job's service level; fixes price and reclaim for an attempt's whole life."""

    GUARANTEED = "guaranteed"
    BORROW = "borrow"
    SCAVENGE = "scavenge"


@dataclass(frozen=True, slots=True)
class Flavor:
    """One kind of GPU with its own quota.

    exchange_ppm: its value in GPU units, for share and forecast (not for money).
    selector: sorted ``(label, value)`` pairs a node must carry to be of this flavor.
    """

    name: str
    exchange_ppm: int
    resource: str = "nvidia.com/gpu"
    selector: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class GangRequest:
    """What one attempt needs: ``nodes`` workers of ``gpus_per_node`` whole GPUs of one flavor.

    tiers: in the order in which the job accepts them. time_limit_ms: per attempt.
    """

    flavor: str
    nodes: int
    gpus_per_node: int
    tiers: tuple[Tier, ...]
    time_limit_ms: int

    @property
    def gpus(self) -> int:
        """Whole GPUs of the gang."""
        return self.nodes * self.gpus_per_node

    @property
    def milli_gpus(self) -> int:
        """The gang in milli-GPUs, the unit of entitlements."""
        return self.gpus * MILLI_PER_GPU


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """One machine of a cluster: healthy GPUs of one flavor; ``schedulable`` is false when cordoned."""

    cluster: str
    name: str
    flavor: str
    gpus: int
    schedulable: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """Worker ``rank`` of a gang on machine ``node`` with ``gpus`` whole GPUs; several may share a node."""

    rank: int
    node: str
    gpus: int


def gpus_by_node(ranks: Iterable[Rank]) -> dict[str, int]:
    """GPUs of these workers on each machine, in the order of the workers."""
    found: dict[str, int] = {}
    for rank in ranks:
        found[rank.node] = found.get(rank.node, 0) + rank.gpus
    return found


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A queued job as the allocator sees it.

    leaf: path of the user's tree node. seq: the fact that submitted it; the order of a line.
    attempt: the number its next attempt would have. not_before_ms: back-off after a failure.
    """

    job: str
    leaf: str
    request: GangRequest
    seq: int
    submitted_at_ms: int
    attempt: int
    not_before_ms: int = 0

    @property
    def queue(self) -> str:
        """Path of the project whose line it waits in."""
        return self.leaf.rsplit("/", 1)[0]


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that holds GPUs: from Admitted until proven Gone."""

    job: str
    attempt: int
    leaf: str
    request: GangRequest
    tier: Tier
    cluster: str
    ranks: tuple[Rank, ...]
    admitted_at_ms: int
    state: AttemptState = AttemptState.ADMITTED
    stop_reason: StopReason | None = None
    running_at_ms: int | None = None
    stopping_at_ms: int | None = None
    checkpoint_at_ms: int | None = None
    """When the job last said that it has saved its work."""


@dataclass(frozen=True, slots=True)
class Earmark:
    """Room that is being made for a queued gang inside its guarantee: its places, kept from everybody else.

    seq: the fact that made it; earlier ones come first.
    """

    job: PendingJob
    cluster: str
    ranks: tuple[Rank, ...]
    seq: int
