"""A backend that lags and fails by seed (operators.ports.Backend): a cluster of machines that outlives its operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from operators.ports import Assignment, Observation, ObservationKind, Sample, StopOrder, View
from scheduler.core.errors import Fatal, Retry
from scheduler.core.model import Node
from scheduler.sim.world import fate
from scheduler.sim.world.chance import Dice, pick
from scheduler.sim.world.ground import Ground, GroundAttempt

LAG_MS_MAX = 5_000
LOG_BYTES_A_SECOND = 8
LOG_BYTES_MAX = 4_096


@dataclass(slots=True)
class Machine:
    """A node as it is: ``total`` devices, how many are healthy, and everything that was said about it."""

    name: str
    flavor: str
    total: int
    healthy: int
    registered: int
    schedulable: bool = True
    said: list[Observation] = field(default_factory=list)

    def say(self, at_ms: int) -> None:
        """A new observation of what the node is now."""
        said = Observation(
            id=f"node/{self.name}/{len(self.said) + 1}",
            kind=ObservationKind.NODE,
            at_ms=at_ms,
            node=self.name,
            flavor=self.flavor,
            gpus=self.healthy,
            registered=self.registered,
            schedulable=self.schedulable,
        )
        self.said.append(said)

    @property
    def is_whole(self) -> bool:
        """Nothing is wrong with it."""
        return self.schedulable and self.healthy == self.total == self.registered

    def restore(self) -> None:
        """All devices are healthy and take new work."""
        self.healthy = self.registered = self.total
        self.schedulable = True

    def suffer(self, rng: Random) -> None:
        """Vanish, be cordoned, or lose devices."""
        trouble = rng.randrange(4)
        self.schedulable = trouble > 1
        self.registered = 0 if trouble == 0 and rng.randrange(2) else self.total
        self.healthy = 0 if trouble == 0 else self.total if trouble == 1 else rng.randrange(self.total)


class FakeBackend:
    """One cluster. ``clock``: the cluster's own, which may differ from the control plane's by up to two seconds."""

    def __init__(
        self,
        cluster: str,
        nodes: list[Node],
        ground: Ground,
        dice: Dice,
        clock: Callable[[], int],
        meanwhile: Callable[[str], None],
        is_known_running: Callable[[Assignment], bool] = lambda wanted: False,
    ) -> None:
        """meanwhile: called between calls, where the operator's process may die or be paused.

        is_known_running: whether the control plane knows that an attempt runs; no other one is ever erased.
        """
        self.cluster = cluster
        self.machines = {node.name: Machine(node.name, node.flavor, node.gpus, node.gpus, node.gpus) for node in nodes}
        self.writes = 0
        """Calls that changed something: attempts begun, notices given, records archived."""
        self._ground = ground
        self._dice = dice
        self._clock = clock
        self._meanwhile = meanwhile
        self._is_known_running = is_known_running
        self._through_ms = 0
        self._horizon_ms = 0
        """What was seen once stays visible."""
        for machine in self.machines.values():
            machine.say(clock() - LAG_MS_MAX - 1)

    def observe(self, now_ms: int) -> View:
        """Everything before a horizon that lags; a lost attempt's last heartbeat holds the watermark back."""
        del now_ms  # what the operator believes; the cluster has a clock of its own
        self._meanwhile("observe")
        now_ms = self._clock()
        attempts = list(self._ground.of_cluster(self.cluster))
        for attempt in attempts:
            self._advance(attempt)
        self._trouble(now_ms)
        self._erase_one(attempts, now_ms)
        attempts = list(self._ground.of_cluster(self.cluster))
        lag_ms = 0 if self._dice.calm else self._dice.of(f"lag {self.cluster}").randrange(LAG_MS_MAX)
        self._horizon_ms = horizon_ms = max(self._horizon_ms, now_ms - lag_ms)
        self._through_ms = max(self._through_ms, min([horizon_ms, *(item.hidden_ms(horizon_ms) for item in attempts)]))
        observations = [item for machine in self.machines.values() for item in self._said(machine, horizon_ms)]
        for attempt in attempts:
            observations += attempt.seen(horizon_ms)
        return View(
            at_ms=now_ms,
            observed_through_ms=self._through_ms,
            attempts=frozenset(item.assignment.name for item in attempts),
            observations=tuple(observations),
            samples=tuple(sample for item in attempts if not item.is_gone for sample in _samples(item)),
        )

    def start(self, assignment: Assignment, package: bytes | None) -> None:
        """Begin the attempt unless it exists; may fail before it had an effect, or after."""
        self._call("start")
        known = self._ground.attempts.get(assignment.name)
        if known is not None and known.is_forgotten:
            raise Fatal("DURE-8005", f"attempt {assignment.name} is settled and archived; it is not begun again")
        if known is not None and known.is_untraced:
            if not assignment.begun:
                self._ground.found(f"{assignment.name} is to begin once more")
            self.writes += 1
            fate.end_untraced(known, self._clock(), self._dice)
        if known is None:
            if assignment.package_sha256 and package is None and not assignment.stop:
                self._ground.found(f"{assignment.name} is begun without its package")
            self.writes += 1
            attempt = GroundAttempt(assignment, self.cluster, self._clock())
            capacity = {name: machine.total for name, machine in self.machines.items()}
            self._ground.begin(attempt, capacity)
            if assignment.stop is not None:
                fate.never(attempt, self._dice)
            else:
                fate.run(attempt, self._dice)
        self._after_call("start")

    def stop(self, name: str, order: StopOrder, now_ms: int) -> None:
        """Give notice once; unknown names are no error."""
        del now_ms
        self._call("stop")
        known = self._ground.attempts.get(name)
        if known is not None and not known.is_forgotten:
            self._advance(known)
            if not known.notice and not known.is_gone and not known.was_erased:
                self.writes += 1
                fate.stop(known, order, self._clock(), self._dice)
        self._after_call("stop")

    def forget(self, name: str) -> None:
        """The control plane has settled this attempt."""
        self._call("forget")
        known = self._ground.attempts.get(name)
        if known is not None and not known.is_forgotten:
            if not known.is_gone:
                self._ground.found(f"{name} is to be forgotten while it lives")
                return
            self.writes += 1
            known.is_forgotten = True
        self._after_call("forget")

    def log_chunk(self, name: str, rank: int, offset: int, limit: int) -> bytes:
        """Bytes of a rank's output; empty when there are none, or its record is archived or lost."""
        known = self._ground.attempts.get(name)
        if known is None or known.is_forgotten or known.was_erased:
            return b""
        self._advance(known)
        return fate.content(known.assignment, rank, log_size(known, rank, self._clock()))[offset : offset + limit]

    def restore(self) -> None:
        """Every node is as new."""
        for machine in self.machines.values():
            if not machine.is_whole:
                machine.restore()
                machine.say(self._clock())

    def _said(self, machine: Machine, horizon_ms: int) -> list[Observation]:
        """The newest thing that can be seen of a node."""
        return [item for item in machine.said if item.at_ms < horizon_ms][-1:]

    def _call(self, what: str) -> None:
        self._meanwhile(what)
        if self._dice.happens("backend_refuses", self.cluster):
            raise Retry("DURE-8007", f"the cluster did not {what} the attempt", "the operator tries again")

    def _after_call(self, what: str) -> None:
        if self._dice.happens("backend_refuses", self.cluster):
            raise Retry("DURE-8007", f"the cluster's answer to {what} was lost", "the operator tries again")

    def _trouble(self, now_ms: int) -> None:
        """Something happens to a node, by seed."""
        if not self._dice.happens("node_trouble", self.cluster):
            return
        rng = self._dice.of(f"nodes {self.cluster}")
        machine = pick(rng, list(self.machines.values()))
        if machine.is_whole:
            machine.suffer(rng)
        else:
            machine.restore()
        machine.say(now_ms)
        if machine.healthy:
            return
        for attempt in list(self._ground.of_cluster(self.cluster)):
            if any(rank.node == machine.name for rank in attempt.assignment.ranks):
                fate.lose(attempt, now_ms, self._through_ms, self._dice)
                attempt.advance(now_ms)

    def _erase_one(self, attempts: list[GroundAttempt], now_ms: int) -> None:
        """The first attempt that runs loses its traces, by seed."""
        if self._dice.happens("traces_lost", self.cluster):
            any(fate.erase(item, now_ms) for item in attempts if self._is_known_running(item.assignment))

    def _advance(self, attempt: GroundAttempt) -> None:
        """Let time pass for an attempt, and its supervisor die when it is to."""
        now_ms = self._clock()
        if 0 < attempt.doom_ms <= now_ms:
            doom_ms, attempt.doom_ms = attempt.doom_ms, 0
            attempt.advance(doom_ms)
            fate.lose(attempt, doom_ms, self._through_ms, self._dice)
        attempt.advance(now_ms)


def log_size(attempt: GroundAttempt, rank: int, now_ms: int) -> int:
    """How much a rank has printed by an instant."""
    if rank not in attempt.starts:
        return 0
    ended_ms = attempt.ends.get(rank, now_ms)
    if attempt.died_at_ms and rank not in attempt.exits:
        ended_ms = attempt.died_at_ms
    until_ms = min(now_ms, ended_ms)
    return min(LOG_BYTES_MAX, max(0, until_ms - attempt.starts[rank]) // 1_000 * LOG_BYTES_A_SECOND)


def _samples(attempt: GroundAttempt) -> list[Sample]:
    wanted = attempt.assignment
    return [
        Sample(
            wanted.job,
            wanted.attempt,
            rank.rank,
            wanted.org,
            wanted.project,
            wanted.flavor,
            wanted.tier,
            rank.gpus,
            rank.rank in attempt.running,
        )
        for rank in wanted.ranks
    ]
