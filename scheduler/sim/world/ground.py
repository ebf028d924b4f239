"""What really happens on the machines: attempts with their own instants, kept apart from what anybody was told.

The checks compare the control plane's books with this. Instants are on the cluster's own clock.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from operators.ports import Assignment, Observation, ObservationKind, attempt_name


class Event(NamedTuple):
    """An observation that comes true at its own instant and can be seen from ``visible_ms`` on."""

    at_ms: int
    order: int
    visible_ms: int
    what: Observation


def observed(assignment: Assignment, kind: ObservationKind, at_ms: int, rank: int = -1) -> Observation:
    """An observation of an attempt with an id made from what is observed."""
    place = f"/{rank}" if rank >= 0 else ""
    identity = f"{assignment.name}/{kind}{place}"
    return Observation(identity, kind, at_ms, assignment.job, assignment.attempt, rank)


@dataclass(slots=True)
class GroundAttempt:
    """One attempt as the machines run it: what will happen if nobody interferes, and what has happened.

    starts and ends: rank -> instant; of a lost rank the end is its last heartbeat. exits: in the order of the ends.
    """

    assignment: Assignment
    cluster: str
    begun_at_ms: int
    future: list[Event] = field(default_factory=list)
    past: list[Event] = field(default_factory=list)
    starts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    exits: dict[int, int] = field(default_factory=dict)
    notice: str = ""
    gone_at_ms: int = 0
    is_starting: bool = False
    has_failed: bool = False
    is_lost: bool = False
    is_forgotten: bool = False
    erased_at_ms: int = 0
    """When its cluster lost every trace of it while it ran: then all that is seen of it is its end; 0: it did not."""
    is_untraced: bool = False
    """It was erased, and nobody has looked for what is left of it yet."""
    died_at_ms: int = 0
    """When its supervisor died, somewhat after the last heartbeat; 0: it did not."""
    doom_ms: int = 0
    """When its supervisor dies, if it lives so long; 0: it does not."""
    _arrivals: int = 0

    @property
    def is_gone(self) -> bool:
        """Nothing of it holds a GPU any more."""
        return self.gone_at_ms > 0

    @property
    def was_erased(self) -> bool:
        """Its cluster lost every trace of it."""
        return self.erased_at_ms > 0

    @property
    def running(self) -> list[int]:
        """Ranks that have started and not ended."""
        return [rank for rank in sorted(self.starts) if rank not in self.ends]

    @property
    def exit_code(self) -> int | None:
        """The first code that is not 0, 0 when all ranks ended well, None when not all ends are known."""
        for code in self.exits.values():
            if code:
                return code
        return 0 if len(self.exits) == len(self.assignment.ranks) else None

    @property
    def last_ms(self) -> int:
        """The newest instant at which something of it happened."""
        return max([self.begun_at_ms, *(event.at_ms for event in self.past)])

    def plan(self, what: Observation, visible_ms: int = 0) -> None:
        """Let something happen at its instant."""
        self._arrivals += 1
        insort(self.future, Event(what.at_ms, self._arrivals, max(visible_ms, what.at_ms), what))

    def drop_plans(self) -> None:
        """What was to happen will not."""
        self.future.clear()

    def advance(self, now_ms: int) -> None:
        """Let everything happen that is due."""
        while self.future and self.future[0].at_ms <= now_ms:
            event = self.future.pop(0)
            self.past.append(event)
            self._happen(event.what)

    def seen(self, horizon_ms: int) -> list[Observation]:
        """What can be seen of everything before the horizon."""
        seen = [event.what for event in self.past if event.at_ms < horizon_ms and event.visible_ms < horizon_ms]
        return [what for what in seen if what.kind is ObservationKind.GONE or not self.was_erased]

    def hidden_ms(self, horizon_ms: int) -> int:
        """The earliest instant of something that has happened and cannot be seen yet, or the horizon."""
        return min([horizon_ms, *(event.at_ms for event in self.past if event.visible_ms >= horizon_ms)])

    def _happen(self, what: Observation) -> None:
        match what.kind:
            case ObservationKind.STARTING:
                self.is_starting = True
            case ObservationKind.RANK_STARTED:
                self.starts[what.rank] = what.at_ms
            case ObservationKind.NOTICE:
                self.notice = what.reason
            case ObservationKind.RANK_ENDED:
                self.ends[what.rank] = what.at_ms
                if what.exit_code is not None:
                    self.exits[what.rank] = what.exit_code
            case ObservationKind.FAILED:
                self.has_failed = True
            case ObservationKind.GONE:
                self.gone_at_ms = what.at_ms
                self.is_lost = what.evidence == "lost"


class Ground:
    """All attempts of all clusters there ever were, and the mistakes that only the machines can see."""

    def __init__(self, found: Callable[[str], None]) -> None:
        self.attempts: dict[str, GroundAttempt] = {}
        self.found = found

    def begin(self, attempt: GroundAttempt, capacity: dict[str, int]) -> None:
        """An attempt takes its GPUs; capacity: GPUs by node of its cluster, broken ones included."""
        wanted = attempt.assignment
        for other in self.live():
            if other.assignment.job == wanted.job:
                self.found(f"{wanted.name} begins on {attempt.cluster} while {other.assignment.name} lives")
        if wanted.attempt > 1 and attempt_name(wanted.job, wanted.attempt - 1) not in self.attempts:
            self.found(f"{wanted.name} begins but the attempt before it never reached a cluster")
        self.attempts[wanted.name] = attempt
        held = self.held(attempt.cluster)
        for node in sorted({rank.node for rank in wanted.ranks}):
            if held[node] > capacity.get(node, 0):
                has = f"{held[node]} GPUs of {node} are in use and it has {capacity.get(node, 0)}"
                self.found(f"{wanted.name} begins on {attempt.cluster}: {has}")

    @property
    def happened(self) -> int:
        """How many things have happened."""
        return sum(len(attempt.past) for attempt in self.attempts.values())

    def live(self) -> Iterator[GroundAttempt]:
        """Attempts that hold GPUs."""
        return (attempt for attempt in self.attempts.values() if not attempt.is_gone)

    def held(self, cluster: str) -> dict[str, int]:
        """GPUs in use by node of a cluster."""
        held: dict[str, int] = {}
        for attempt in self.live():
            for rank in attempt.assignment.ranks if attempt.cluster == cluster else ():
                held[rank.node] = held.get(rank.node, 0) + rank.gpus
        return held

    def of_cluster(self, cluster: str) -> Iterable[GroundAttempt]:
        """Attempts of one cluster that its operator still knows."""
        known = (item for item in self.attempts.values() if not item.is_forgotten and not item.is_untraced)
        return (item for item in known if item.cluster == cluster)

    def next_event_ms(self, cluster: str) -> int | None:
        """When something will happen next on a cluster, on its clock."""
        live = [item for item in self.of_cluster(cluster) if not item.is_gone]
        dooms = [item.doom_ms for item in live if item.doom_ms]
        return min([*dooms, *(item.future[0].at_ms for item in live if item.future)], default=None)
