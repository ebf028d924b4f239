"""The frozen picture that a cycle decides on: everything that may influence a plan, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.core.allocator.lines import LeafLines
from scheduler.core.codec import canonical, sha256_hex
from scheduler.core.model import Flavor, LiveAttempt, Node, PendingJob
from scheduler.core.tree import Tree


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Input of ``decide``.

    chain: hash over all facts up to ``fact_seq``, the identity of what was folded.
    live: attempts that hold GPUs, sorted by job.
    lines: queued jobs that may start, by leaf and shape. delayed: queued jobs in back-off, by sequence.
    usage: decayed average of GPUs held per leaf, in millionths of a GPU of exchange rate 1 (decision 0001, rule 5).
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

    @property
    def pending(self) -> tuple[PendingJob, ...]:
        """All queued jobs, those in back-off included, in the order of submission."""
        waiting = (job for lines in self.lines.values() for line in lines for job in line.jobs)
        return tuple(sorted((*waiting, *self.delayed), key=lambda job: job.seq))

    @property
    def input_hash(self) -> str:
        """Identity of the input: facts, instant, policy version and registry sequence (S12)."""
        return sha256_hex(canonical([self.chain, self.at_ms, self.policy_version, self.registry_seq]))
