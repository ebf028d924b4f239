"""What a cycle decided: steps to take, and for every job that waits all reasons with their numbers.

A step is all or nothing and its own guarded write. Reasons are stored per size of gang and tree
node with rules, not per job: jobs that ask for the same under the same rules wait for the same (S13).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, cast

from scheduler.core.allocator.tiers import PHASES
from scheduler.core.codec import canonical, from_json, sha256_hex, to_json
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


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Make room for one gang inside its guarantee: ask the victims to leave, and keep these places for it.

    victims: (job, attempt); empty where enough leaves anyway.
    """

    kind: ClassVar[str] = "reclaim"
    job: str
    attempt: int
    cluster: str
    ranks: tuple[Rank, ...]
    victims: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Keep nothing for a gang any more: the room that was being made for it comes to nothing; it stands in its line."""

    kind: ClassVar[str] = "release"
    job: str
    attempt: int


Step = Admit | Reclaim | Release
"""One element of a plan: whoever applies plans dispatches on its type."""
STEP_KINDS: dict[str, type[Step]] = {kind.kind: kind for kind in (Admit, Reclaim, Release)}


class Room(NamedTuple):
    """Room that is being made for a gang: how much of it is free already, and until when the rest should be.

    by_ms: after that instant nobody who has not left by then is waited for any longer.
    nodes: of the cluster, one for each worker.
    """

    flavor: str
    need: int
    free: int
    by_ms: int
    cluster: str
    nodes: tuple[str, ...]


class BlockerKey(NamedTuple):
    """Gangs that wait for the same things: same size and flavor, same nearest tree node with rules of its own."""

    tree_node: str
    flavor: str
    nodes: int
    gpus_per_node: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Output of ``decide``.

    blockers: every size of gang that waits somewhere -> all reasons, of every tier there is.
    backoff: job -> when its back-off ends; gangs of its size have an entry in ``blockers`` all the same.
    awaited: job -> the room that is being made for it; it waits for nothing else.
    """

    steps: tuple[Step, ...] = ()
    blockers: Mapping[BlockerKey, tuple[Blocker, ...]] = field(default_factory=dict)
    backoff: Mapping[str, Blocker] = field(default_factory=dict)
    awaited: Mapping[str, Room] = field(default_factory=dict)

    @property
    def starts(self) -> tuple[Admit, ...]:
        """The steps that start a gang."""
        return tuple(step for step in self.steps if isinstance(step, Admit))

    @property
    def placed(self) -> tuple[Admit | Reclaim, ...]:
        """The steps that give a gang its places, now or later."""
        return tuple(step for step in self.steps if not isinstance(step, Release))

    @property
    def reclaims(self) -> tuple[Reclaim, ...]:
        """The steps that take lent GPUs back."""
        return tuple(step for step in self.steps if isinstance(step, Reclaim))

    def reasons(self, job: PendingJob) -> tuple[Blocker, ...]:
        """All reasons why this job waits; empty when the plan starts it or has never seen its like.

        A job that could start if it did not wait out a back-off has that one reason.
        """
        if any(step.job == job.job for step in self.starts):
            return ()
        if job.job in self.awaited:
            return (_awaits(self.awaited[job.job]),)
        found = self._found(job)
        own = _for_tiers(found or (), job.request.tiers)
        if job.job not in self.backoff:
            return own
        is_open = any(not _closes(own, tier) for tier in job.request.tiers)
        return (self.backoff[job.job],) if is_open else (self.backoff[job.job], *own)

    def open_tiers(self, job: PendingJob) -> tuple[Tier, ...]:
        """Tiers that the job does not list and in which it could start, were it not before its time."""
        found = self._found(job)
        if found is None or job.job in self.awaited:
            return ()
        return tuple(tier for tier in PHASES if tier not in job.request.tiers and not _closes(found, tier))

    def _found(self, job: PendingJob) -> tuple[Blocker, ...] | None:
        """What stops gangs of this size where the job waits, in every tier; None when the plan says nothing of them."""
        request = job.request
        shape = (request.flavor, request.nodes, request.gpus_per_node)
        keys = (BlockerKey(path, *shape) for path in lineage(job.leaf))
        return next((self.blockers[key] for key in keys if key in self.blockers), None)

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
            "steps": self._steps(),
            "blockers": [_row(blocker) for blocker in blockers],
            "reasons": reasons,
            "waiting": waiting,
            "backoff": {job: _row(blocker) for job, blocker in sorted(self.backoff.items())},
            "awaited": {job: list(room) for job, room in sorted(self.awaited.items())},
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
        awaited = {job: Room(*row)._replace(nodes=tuple(row[-1])) for job, row in value["awaited"].items()}
        return cls(tuple(_step(item) for item in value["steps"]), blockers, backoff, awaited)

    def canonical(self) -> str:
        """The one text of the plan: equal plans have equal bytes (S12)."""
        return canonical(self.to_json())

    def waiting(self) -> str:
        """The text of a plan that has these reasons and no steps."""
        return replace(self, steps=()).canonical()

    def recorded(self, waiting: str) -> str:
        """What a cycle's record keeps: the steps, and the hash of ``waiting``, which is ``self.waiting()``."""
        return canonical({"steps": self._steps(), "waiting_sha256": sha256_hex(waiting)})

    def _steps(self) -> list[dict[str, Any]]:
        return [{"kind": step.kind, **to_json(step)} for step in self.steps]


def _awaits(room: Room) -> Blocker:
    """What a gang waits for that room is being made for: ``limit`` is all that it will have."""
    return Blocker(Reason.NO_CAPACITY, "", room.flavor, room.need, room.free, room.need, Actor.PLATFORM)


def _row(blocker: Blocker) -> list[Any]:
    """A blocker as the list of its fields: plans hold many, and their names say nothing new."""
    reason, actor = str(blocker.reason), str(blocker.actor)
    numbers = [blocker.need, blocker.have, blocker.limit]
    return [reason, blocker.tree_node, blocker.flavor, *numbers, actor, str(blocker.tier), blocker.left, blocker.over]


def _blocker(row: list[Any]) -> Blocker:
    reason, node, flavor, need, have, limit, actor, tier, left, over = row
    return Blocker(Reason(reason), node, flavor, need, have, limit, Actor(actor), tier, left, over)


def _step(value: Mapping[str, Any]) -> Step:
    fields = {name: item for name, item in value.items() if name != "kind"}
    return cast(Step, from_json(STEP_KINDS[value["kind"]], fields))


def _closes(blockers: Iterable[Blocker], tier: Tier) -> bool:
    """Whether one of the reasons closes the tier; to be behind others says only who comes first."""
    return any(
        blocker.tier in ("", tier) and blocker.reason is not Reason.BEHIND_HIGHER_PRIORITY for blocker in blockers
    )


def _for_tiers(blockers: tuple[Blocker, ...], tiers: tuple[Tier, ...]) -> tuple[Blocker, ...]:
    """What concerns a job that accepts these tiers; that others come first only in the one it would start in."""
    first = next((tier for tier in tiers if not any(_closes([item], tier) and item.tier for item in blockers)), None)
    behind = Reason.BEHIND_HIGHER_PRIORITY
    return tuple(
        item
        for item in blockers
        if (item.tier == first if item.reason is behind else not item.tier or item.tier in tiers)
    )
