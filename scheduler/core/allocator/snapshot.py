"""The frozen picture that a cycle decides on: everything that may influence a plan, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.core.allocator.lines import LeafLines
from scheduler.core.codec import canonical, sha256_hex
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.model import Earmark, Flavor, LiveAttempt, Node, PendingJob, Tier
from scheduler.core.tree import Tree


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Input of ``decide``.

    chain: hash over all facts up to ``fact_seq``, the identity of what was folded.
    live: attempts that hold GPUs, sorted by job.
    lines: queued jobs that may start, by leaf and shape. delayed: queued jobs in back-off, by sequence.
    usage: decayed average of GPUs held per leaf, in millionths of a GPU of exchange rate 1 (decision 0001, rule 5).
    earmarks: queued jobs that room is being made for, by sequence; they are in no line.
    leave_ms: by tier, how long after it was asked to stop an attempt may be expected to be gone.
    loss_max_ms: so much work since its last checkpoint counts at most as lost when an attempt is evicted.
    """

    at_ms: int
    fact_seq: int
    chain: str
    policy_version: int
    registry_seq: int
    flavors: Mapping[str, Flavor]
    tree: Tree
    nodes: tuple[Node, ...]
    live: tuple[LiveAttempt, ...]
    lines: Mapping[str, LeafLines]
    delayed: tuple[PendingJob, ...]
    usage: Mapping[str, int]
    earmarks: tuple[Earmark, ...] = ()
    leave_ms: Mapping[Tier, int] = field(default_factory=dict)
    loss_max_ms: int = 0

    @property
    def pending(self) -> tuple[PendingJob, ...]:
        """All queued jobs, those in back-off included, in the order of submission."""
        waiting = (job for lines in self.lines.values() for line in lines for job in line.jobs)
        awaited = (earmark.job for earmark in self.earmarks)
        return tuple(sorted((*waiting, *awaited, *self.delayed), key=lambda job: job.seq))

    def leaves_by_ms(self, attempt: LiveAttempt) -> int | None:
        """When an attempt that is stopping may be expected to be gone; None for one that nobody can say it of.

        That of a lost one is not known until it is proven, and one that is overdue is waited for no longer.
        """
        if attempt.state is not AttemptState.STOPPING or attempt.stop_reason is StopReason.LOST:
            return None
        by_ms = (attempt.stopping_at_ms or 0) + self.leave_ms.get(attempt.tier, 0)
        return by_ms if by_ms > self.at_ms else None

    def loss(self, attempt: LiveAttempt) -> int:
        """GPU-milliseconds of work that an eviction now would lose, at most ``loss_max_ms`` of each GPU (S14)."""
        since_ms = max(attempt.running_at_ms or self.at_ms, attempt.checkpoint_at_ms or 0)
        return attempt.request.gpus * min(max(0, self.at_ms - since_ms), self.loss_max_ms)

    @property
    def leaves(self) -> tuple[str, ...]:
        """Paths of the leaves that hold, wait or have used something; some may be there twice."""
        jobs = (*self.delayed, *(earmark.job for earmark in self.earmarks))
        return (*self.lines, *self.usage, *(job.leaf for job in jobs), *(attempt.leaf for attempt in self.live))

    @property
    def input_hash(self) -> str:
        """Identity of the input: facts, instant, policy version and registry sequence (S12)."""
        return sha256_hex(canonical([self.chain, self.at_ms, self.policy_version, self.registry_seq]))
