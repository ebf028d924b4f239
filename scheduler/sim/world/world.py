"""The deterministic world: the real services and the real operator loop, under virtual time, on one seed.

One process, one thread. State is in the memory store and on the machines; everything else may be thrown away at any
transaction and is built anew. docs/world.md says what is real, what is played, and what is checked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from operators.loop import OperatorLoop
from operators.ports import Assignment
from scheduler.core.accounting.invoice_model import Party
from scheduler.core.allocator.cycle import decide
from scheduler.core.codec import canonical
from scheduler.core.lifecycle import TERMINAL_JOB_STATES, JobState
from scheduler.core.records import RECORD_KINDS, AttemptRecord, CycleRecord, JobRecord, MemberRecord, PeriodRecord
from scheduler.schema.bodies import MemberRequest
from scheduler.services import registry
from scheduler.services.actors import actor_of
from scheduler.services.cycle import Allocator
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import Where
from scheduler.services.settle import Settler
from scheduler.sim.world import verdicts
from scheduler.sim.world.agenda import Agenda
from scheduler.sim.world.auditor import Auditor
from scheduler.sim.world.backend import FakeBackend
from scheduler.sim.world.chance import Crashed, Dice, Rates, pick
from scheduler.sim.world.ground import Ground
from scheduler.sim.world.hardship import NETWORK, STORE, draw_hardship
from scheduler.sim.world.inspector import Decide, Inspector
from scheduler.sim.world.people import ADMIN, People
from scheduler.sim.world.plane import LATE_MS_MAX, FlakyPlane, Server
from scheduler.sim.world.promises import Promises
from scheduler.sim.world.replay import replay
from scheduler.sim.world.report import WorldReport
from scheduler.sim.world.scenario import MINUTE_MS, START_MS, Scenario, Site, draw
from scheduler.sim.world.shelves import MemoryLogs, MemoryPackages
from scheduler.sim.world.stage import Process, Stage, Trace
from scheduler.sim.world.watched import Commit, WatchedStore
from scheduler.sim.world.watchman import LOOK_EVERY_MS, Watchman
from scheduler.store.memory import MemoryStore

STEPS_MAX = 200_000
ROUNDS_MAX = 20_000
RESTLESS_MAX = 100
"""Rounds in a row that may write something while nothing happens on the machines."""
QUIET_MS = 120_000
"""So long nothing may be written by a world at rest; longer than any lease and any back-off of an operator."""
QUIET_STEP_MS = 5_000
CYCLES_REPLAYED_MAX = 25
JOBS_DEFAULT = 40
CODE_VERSION = "world"
TOLD_EVERY = 8
"""One look of the watchman in so many checks what people read, too."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a world is made of; a test puts a broken part in place to prove that it is found."""

    backend: type[FakeBackend] = FakeBackend
    allocator: type[Allocator] = Allocator
    decide: Decide = decide
    settler: type[Settler] = Settler
    rates: Rates = field(default_factory=Rates)
    dice: type[Dice] = Dice
    patience_ms: int = 6 * MINUTE_MS
    """So long a job that could start may be let wait while allocators die, stand still and lose their lease."""
    findings_max: int = 20
    """So many findings end the run."""


class World:
    """A control plane with two allocators and two settlers, a cluster or two, and their people."""

    def __init__(self, scenario: Scenario, parts: Parts, steps_max: int = STEPS_MAX) -> None:
        self.scenario = scenario
        self.dice = parts.dice(scenario.seed, parts.rates.scaled(scenario.trouble_percent))
        self.hardship = draw_hardship(self.dice, scenario)
        self.agenda = Agenda(START_MS, steps_max)
        self.stage = Stage(self.agenda, self.dice, Trace(), parts.findings_max)
        self.ground = Ground(self.stage.found)
        self.auditor = Auditor(self.stage.found)
        self.inspector = Inspector(self.stage.found, self.auditor.premise)
        self.logs = MemoryLogs()
        self.inner = MemoryStore()
        self.news = self.looks = 0
        patience_ms = self.hardship.patience_ms(parts.patience_ms)
        self.watchman = Watchman(self.inner.read, self.stage.found, patience_ms)
        self.store = WatchedStore(
            self.inner, self.dice, self.stage.pause_point, self._committed, lambda: self._is_out(STORE)
        )
        packages = MemoryPackages()
        self.people = People(scenario, self.store, packages, self.agenda, self.stage.acting, self.stage.found)
        self.promises = Promises(self.people.memory, self.stage.found, self.auditor.premise)
        server = Server(
            self.store, EffectivePolicies(), packages, self.logs, lambda: self.agenda.now_ms, self.promises.pulled
        )
        self.backends = {site.name: self._backend(site, parts) for site in scenario.sites}
        self.processes: list[Process[Any]] = [
            *(self._allocator(f"allocator-{letter}", parts) for letter in "ab"),
            *(self._settler(f"settler-{letter}", parts) for letter in "ab"),
            *(self._operator(site.name, server) for site in scenario.sites),
            *(self._operator(site.name, server, "-too") for site in scenario.sites if self.hardship.has_two_operators),
        ]

    def run(self, until_ms: int | None = None) -> None:
        """Begin, let the busy time pass with all its trouble, come to rest, close the books, and judge."""
        self._begin()
        busy_ms = self.scenario.busy_ms if until_ms is None else until_ms
        self.agenda.run_until(START_MS + busy_ms)
        if self.agenda.is_spent and not self.stage.is_over:
            self.stage.found(f"the bound of steps is reached after {self.agenda.now_ms - START_MS} ms")
        self.dice.calm = True
        self.agenda.run_until(self.agenda.now_ms + 2 * LATE_MS_MAX)
        for backend in self.backends.values():
            if pick(self.dice.of("calm"), (True, True, False)):
                backend.restore()
        for phase in (self._rest, self._finish, self._verdict):
            if not self.stage.is_over:
                self.stage.guarded("world", phase)

    def _begin(self) -> None:
        """Nodes are seen, the first policy is applied, organisations are registered: without any trouble."""
        self.dice.calm = True
        now_ms = self.agenda.now_ms
        with self.store.write() as tx:
            tx.add(MemberRecord(user=ADMIN, role="admin", scope="all", granted_at_ms=now_ms, granted_by=ADMIN))
        for site in self.scenario.sites:
            request = MemberRequest(user=f"operator-{site.name}", role="operator", scope=f"cluster:{site.name}")
            registry.add_member(self.store, self.people.actor(ADMIN), request, now_ms)
        for process in self.processes:
            process.step()
        self.people.apply_policy()
        for tenant in self.scenario.tenants:
            self.people.register(tenant)
        self.dice.calm = False
        self.people.plan()
        for process in self.processes:
            process.fire()
        self._watch()

    def _rest(self) -> None:
        """Come to rest; then nobody is left behind, everybody who waits knows why, and every node is known as it is."""
        self._come_to_rest("after the busy time")
        admin = self.people.actor(ADMIN)
        with self.inner.read() as view:
            self._judge(verdicts.explained(view, admin, self.agenda.now_ms))
            self._judge(verdicts.told_true(view, EffectivePolicies(), admin, self.agenda.now_ms))
            for name, backend in self.backends.items():
                self._judge(verdicts.nodes_true(view, name, backend.machines.values()))

        for job in self.watchman.startable(self.agenda.now_ms):
            self.stage.found(f"job {job} could start in a world at rest and nobody starts it")

    def _watch(self) -> None:
        self.watchman.look(self.agenda.now_ms)
        self.looks += 1
        if self.looks % TOLD_EVERY == 0:
            with self.inner.read() as view:
                admin = actor_of(view, ADMIN)
                self._judge(verdicts.told_true(view, EffectivePolicies(), admin, self.agenda.now_ms))
        self.agenda.at(self.agenda.now_ms + LOOK_EVERY_MS, self._watch)

    def _finish(self) -> None:
        """Cancel what still waits, close the books, and come to rest once more."""
        with self.inner.read() as view:
            waiting = Where("state", "in", (JobState.QUEUED, JobState.HELD, JobState.ACTIVE))
            left = view.select(JobRecord, waiting, limit=verdicts.ALL)
        for job in left:
            self.people.cancel(job.id)
        self._come_to_rest("after everything left was cancelled")
        self.people.close_period()
        self._come_to_rest("after the last period's close")

    def _verdict(self) -> None:
        admin = self.people.actor(ADMIN)
        with self.inner.read() as view:
            self._judge(verdicts.jobs_kept(view, self.people.memory))
            self._judge(verdicts.at_rest(view))
            self._judge(verdicts.outcomes(view, self.ground))
            self._judge(self.promises.kept(view, self.ground, self.auditor.admitted, self.auditor.evicted))
            self._judge(verdicts.ledger_sound(view))
            self._judge(
                verdicts.usage_true(
                    view, self.ground, self.auditor.admitted, self.auditor.vouched, self.auditor.evicted
                )
            )
            self._judge(verdicts.erased_ends_known(view, self.ground, self.auditor.vouched))
            self._judge(verdicts.invoices_verify(view, EffectivePolicies(), admin))
            if not self.hardship.has_two_operators:
                self._judge(verdicts.logs_whole(self.ground, self.logs))
            self._judge(verdicts.all_forgotten(self.ground))
            for job in view.select(JobRecord, limit=verdicts.ALL):
                if job.state not in TERMINAL_JOB_STATES:
                    self.stage.found(f"job {job.id} is {job.state} after everything was cancelled")
            for period in view.select(PeriodRecord, Where("state", "=", "closing")):
                self.stage.found(f"period {period.id} is never closed")
            cycles = [cycle.number for cycle in view.select(CycleRecord, limit=verdicts.ALL)]
            sample = self.dice.of("replay").sample(cycles, min(len(cycles), CYCLES_REPLAYED_MAX))
            for replayed in replay(view, frozenset(sample), CODE_VERSION):
                if replayed.fault:
                    self.stage.found(replayed.fault)
            for kind in RECORD_KINDS:
                for record in view.select(kind, limit=verdicts.ALL):
                    self.stage.trace.add(self.agenda.now_ms, kind.__name__, canonical(record))

    def report(self, arguments: str = "") -> WorldReport:
        """What this world has to say so far; arguments: of the command that repeats it."""
        with self.inner.read() as view:
            counts = verdicts.tally(view)
        counts |= {f"trouble {name}": count for name, count in self.dice.counts.items()}
        counts |= {f"refused {code}": count for code, count in self.people.memory.refused.items()}
        counts["erased"] = sum(attempt.was_erased for attempt in self.ground.attempts.values())
        counts["steps"] = self.agenda.done + sum(process.steps for process in self.processes)
        return WorldReport(
            seed=self.scenario.seed,
            arguments=arguments or f"--seed {self.scenario.seed} --jobs {self.scenario.jobs}",
            findings=tuple(self.stage.findings),
            counts=counts,
            premises=dict(self.auditor.premises),
            virtual_ms=self.agenda.now_ms - START_MS,
            trace_sha256=self.stage.trace.sha256,
            trace=tuple(self.stage.trace.lines),
        )

    def _come_to_rest(self, when: str) -> None:
        """Step everything in turn, from one event to the next, until nothing is written for QUIET_MS."""
        quiet_since_ms = self.agenda.now_ms
        restless, happened = 0, 0
        for _ in range(ROUNDS_MAX):
            before = self._writes()
            for process in self.processes:
                process.step()
            now_ms = self.agenda.now_ms
            if self._writes() != before:
                quiet_since_ms = now_ms
                self.agenda.move_to(now_ms + 1_000)
                restless = restless + 1 if self.ground.happened == happened else 0
                happened = self.ground.happened
            elif (due_ms := self._next_event_ms()) is not None:
                quiet_since_ms = max(now_ms + 1, due_ms)
                self.agenda.move_to(quiet_since_ms)
            elif now_ms - quiet_since_ms >= QUIET_MS:
                return
            else:
                self.agenda.move_to(now_ms + QUIET_STEP_MS)
            if self.stage.is_over:
                return
            if restless > RESTLESS_MAX:
                break
        self.stage.found(f"the world does not come to rest {when}: something is written all the time")

    def _writes(self) -> int:
        """How often something was written, to the database or to a cluster."""
        return self.news + sum(backend.writes for backend in self.backends.values())

    def _next_event_ms(self) -> int | None:
        """When something happens next by itself: on the machines, or at the end of a back-off."""
        found = []
        for site in self.scenario.sites:
            due_ms = self.ground.next_event_ms(site.name)
            if due_ms is not None:
                found.append(due_ms - site.offset_ms)
        with self.inner.read() as view:
            where = (Where("state", "=", JobState.QUEUED), Where("not_before_ms", ">", self.agenda.now_ms))
            found += [job.not_before_ms for job in view.select(JobRecord, *where, limit=verdicts.ALL)]
        return min(found, default=None)

    def _judge(self, sentences: Iterator[str]) -> None:
        for sentence in sentences:
            self.stage.found(sentence)

    def _committed(self, commit: Commit) -> None:
        if commit.is_news:
            self.news += 1
        for fact in commit.facts:
            self.stage.say(canonical([fact.seq, fact.kind, fact.body]))
        names = ", ".join(f"{len(rows)} {kind.__name__}" for kind, rows in commit.written.items())
        self.stage.say(f"commits {names}")
        self.auditor.committed(commit, self.stage.who)
        self.promises.committed(commit)
        self.watchman.committed(commit.facts)

    def _backend(self, site: Site, parts: Parts) -> FakeBackend:
        def clock() -> int:
            return self.agenda.now_ms + site.offset_ms

        nodes, between_calls = list(site.nodes), self.stage.between_calls
        return parts.backend(site.name, nodes, self.ground, self.dice, clock, between_calls, self._is_known_running)

    def _is_known_running(self, wanted: Assignment) -> bool:
        if self.hardship.has_two_operators:
            return False  # what one of them has not seen yet, the other may have told: see Hardship
        with self.inner.read() as view:
            attempt = view.get(AttemptRecord, wanted.job, wanted.attempt)
        return attempt is not None and attempt.running_at_ms > 0

    def _is_out(self, what: str) -> bool:
        is_out = not self.dice.calm and self.hardship.is_out(what, self.agenda.now_ms)
        if is_out:
            self.auditor.premise(f"the {what} was away")
        return is_out

    def _allocator(self, name: str, parts: Parts) -> Process[Allocator]:
        def build(holder: str) -> Allocator:
            lease_ms, decide = self.scenario.lease_ms, self.inspector.around(parts.decide)
            return parts.allocator(
                self.store, EffectivePolicies(), holder, CODE_VERSION, lease_ms=lease_ms, decide=decide
            )

        offset_ms = self.hardship.offset_ms(name, self.dice)
        return Process(self.stage, name, build, lambda part, now_ms: part.step(now_ms + offset_ms), (1_000, 8_000))

    def _settler(self, name: str, parts: Parts) -> Process[Settler]:
        def build(holder: str) -> Settler:
            return parts.settler(self.store, EffectivePolicies(), holder, Party("dure"), self.scenario.lease_ms)

        offset_ms = self.hardship.offset_ms(name, self.dice)
        return Process(self.stage, name, build, lambda part, now_ms: part.step(now_ms + offset_ms), (5_000, 40_000))

    def _operator(self, cluster: str, server: Server, which: str = "") -> Process[OperatorLoop]:
        plane = FlakyPlane(
            cluster, server, self.dice, self.stage.between_calls, self._later, lambda: self._is_out(NETWORK)
        )

        def build(holder: str) -> OperatorLoop:
            self.stage.say(f"{holder} begins")
            return OperatorLoop(cluster, self.backends[cluster], plane)

        return Process(
            self.stage, f"operator-{cluster}{which}", build, lambda part, now_ms: part.step(now_ms), (2_000, 12_000)
        )

    def _later(self, delay_ms: int, request: Callable[[], object]) -> None:
        self.agenda.at(self.agenda.now_ms + delay_ms, lambda: self._deliver(request))

    def _deliver(self, request: Callable[[], object]) -> None:
        with contextlib.suppress(Crashed):
            self.stage.guarded("late request", request)


def run(
    seed: int,
    until_ms: int | None = None,
    *,
    jobs: int = JOBS_DEFAULT,
    steps_max: int = STEPS_MAX,
    parts: Parts | None = None,
) -> WorldReport:
    """Run the world of a seed. until_ms: end of its busy time, by default as the seed says."""
    world = World(draw(seed, jobs), parts or Parts(), steps_max)
    world.run(until_ms)
    minutes = f" --minutes {until_ms // MINUTE_MS}" if until_ms is not None else ""
    bound = f" --steps-max {steps_max}" if steps_max != STEPS_MAX else ""
    return world.report(f"--seed {seed} --jobs {jobs}{minutes}{bound}")
