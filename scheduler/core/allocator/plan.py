"""What a cycle decided: steps to take, and for every job that waits all reasons with their numbers.

A step is all or nothing and its own guarded write. Reasons are stored per size of gang and tree
node with rules, not per job: jobs that ask for the same under the same rules wait for the same (S13).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, cast

from scheduler.core.codec import canonical, from_json, to_json
from scheduler.core.model import PendingJob, Rank, Tier
from scheduler.core.reasons import Actor, Blocker, Reason
from scheduler.core.tree import lineage


@dataclass(frozen=True, slots=True)
class Admit:
    """Give one gang its GPUs: all workers at once, in one cluster, for the attempt's whole life in this tier."""

    kind: ClassVar[str] = "admit"
    job: str
    attempt: int
    tier: Tier
    cluster: str
    ranks: tuple[Rank, ...]


Step = Admit
"""One element of a plan. A union in waiting: whoever applies plans dispatches on ``kind`` (STEP_KINDS)."""
STEP_KINDS: dict[str, type[Step]] = {Admit.kind: Admit}


class BlockerKey(NamedTuple):
    """Gangs that wait for the same things: same size and flavor, same nearest tree node with rules of its own."""

    tree_node: str
    flavor: str
    nodes: int
    gpus_per_node: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Output of ``decide``.

    blockers: every size of gang that waits somewhere -> all reasons, of all its tiers.
    backoff: job -> when its back-off ends; it has an entry in ``blockers`` too where more would stop it.
    """

    steps: tuple[Step, ...] = ()
    blockers: Mapping[BlockerKey, tuple[Blocker, ...]] = field(default_factory=dict)
    backoff: Mapping[str, Blocker] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Nothing to do: such a plan is never written (S15)."""
        return not self.steps

    def reasons(self, job: PendingJob) -> tuple[Blocker, ...]:
        """All reasons why this job waits; empty when the plan starts it or has never seen its like."""
        if any(step.job == job.job for step in self.steps):
            return ()
        request = job.request
        shape = (request.flavor, request.nodes, request.gpus_per_node)
        keys = (BlockerKey(path, *shape) for path in lineage(job.leaf))
        found = next((self.blockers[key] for key in keys if key in self.blockers), ())
        own = _for_tiers(found, request.tiers)
        return (self.backoff[job.job], *own) if job.job in self.backoff else own

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values. Each blocker and each set of blockers is written once and named by its number."""
        blockers: dict[Blocker, int] = {}
        sets: dict[tuple[Blocker, ...], int] = {}
        waiting = []
        for key in sorted(self.blockers):
            found = self.blockers[key]
            number = sets.setdefault(found, len(sets))
            waiting.append([*key, number])
        reasons = [[blockers.setdefault(blocker, len(blockers)) for blocker in found] for found in sets]
        return {
            "steps": [{"kind": step.kind, **to_json(step)} for step in self.steps],
            "blockers": [_row(blocker) for blocker in blockers],
            "reasons": reasons,
            "waiting": waiting,
            "backoff": {job: _row(blocker) for job, blocker in sorted(self.backoff.items())},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """The plan with these JSON values; raises ValueError, TypeError or KeyError when they are none."""
        known = [_blocker(row) for row in value["blockers"]]
        reasons = [tuple(known[number] for number in numbers) for numbers in value["reasons"]]
        blockers = {
            BlockerKey(node, flavor, nodes, gpus): reasons[number]
            for node, flavor, nodes, gpus, number in value["waiting"]
        }
        backoff = {job: _blocker(row) for job, row in value["backoff"].items()}
        return cls(tuple(_step(item) for item in value["steps"]), blockers, backoff)

    def canonical(self) -> str:
        """The one text of the plan: equal plans have equal bytes (S12)."""
        return canonical(self.to_json())


def _row(blocker: Blocker) -> list[Any]:
    """A blocker as the list of its fields: plans hold many, and their names say nothing new."""
    reason, actor = str(blocker.reason), str(blocker.actor)
    numbers = [blocker.need, blocker.have, blocker.limit]
    return [reason, blocker.tree_node, blocker.flavor, *numbers, actor, str(blocker.tier)]


def _blocker(row: list[Any]) -> Blocker:
    reason, node, flavor, need, have, limit, actor, tier = row
    return Blocker(Reason(reason), node, flavor, need, have, limit, Actor(actor), tier)


def _step(value: Mapping[str, Any]) -> Step:
    fields = {name: item for name, item in value.items() if name != "kind"}
    return cast(Step, from_json(STEP_KINDS[value["kind"]], fields))


def _for_tiers(blockers: tuple[Blocker, ...], tiers: tuple[Tier, ...]) -> tuple[Blocker, ...]:
    """What concerns a job that accepts these tiers; of places lost to others only its own first choice."""
    own = [blocker for blocker in blockers if not blocker.tier or blocker.tier in tiers]
    lost = [blocker for blocker in own if blocker.reason is Reason.BEHIND_HIGHER_PRIORITY]
    first = min(lost, key=lambda blocker: tiers.index(Tier(blocker.tier)), default=None)
    return tuple(blocker for blocker in own if blocker is first or blocker not in lost)
