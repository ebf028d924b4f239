"""The allocator: folds new facts into its state, decides on a snapshot, applies guarded steps.

One process holds the lease; its epoch fences every write. The state is rebuilt from facts when
the lease is won. A step whose guard fails is dropped, never the plan: the next cycle sees why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.plan import Admit, Plan, Reclaim, Release, Step
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.codec import canonical
from scheduler.core.effective import EffectivePolicy
from scheduler.core.errors import ConstraintBroken, DuplicateRecord, StaleEpoch
from scheduler.core.facts import AttemptAdmitted, AttemptStopping, EarmarkReleased, GpusEarmarked
from scheduler.core.lifecycle import AttemptState, JobState, StopReason, step_attempt
from scheduler.core.model import Tier, gpus_by_node
from scheduler.core.records import (
    AttemptRecord,
    CheckpointRecord,
    CycleRecord,
    JobRecord,
    NodeRecord,
    PolicyRecord,
    RankRecord,
    WaitingRecord,
)
from scheduler.core.state import AllocatorState
from scheduler.services.effective import EffectivePolicies, newest_policy
from scheduler.services.leases import LEASE_MS, acquire
from scheduler.services.ports import Store, Writer

LEASE = "allocator"
FACTS_A_STEP = 10_000
CHECKPOINT_EVERY = 1_000
REBUILD_BATCHES_MAX = 10_000
DROPPED_PAUSE_MS = 1_000
GUARANTEED = Tier.GUARANTEED
EVICTED = "its GPUs ({tier}) were lent and are taken back for a job of class {class_name} inside its guarantee"
NEWEST = "newest"
"""The one row of reasons."""


class Dropped(Exception):
    """A step's guard failed: what it was decided on has changed."""


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What one step did: whether it led, decided, how many steps held and were dropped, how long it thought.

    evicted: (job, attempt) of those that were asked to leave.
    """

    leading: bool
    decided: bool = False
    admitted: tuple[str, ...] = ()
    evicted: tuple[tuple[str, int], ...] = ()
    dropped: tuple[str, ...] = ()
    duration_us: int = 0


@dataclass(slots=True)
class _Lead:
    """What a leader keeps in memory between cycles; all of it can be rebuilt from the database."""

    epoch: int
    state: AllocatorState
    cycle: int
    decided_for: tuple[int, int, int, int] | None = None
    waiting: str = ""
    """Why jobs wait, as last written."""
    latest_ms: int = 0
    """The newest instant it knows of: a process that stood still never decides before what it decides on."""
    wake_ms: int | None = None
    effective: EffectivePolicy | None = None


class Allocator:
    """``step(now_ms)`` runs at most one cycle; no thread, sleep or clock inside."""

    def __init__(
        self,
        store: Store,
        policies: EffectivePolicies,
        holder: str,
        code_version: str,
        elapsed_us: Callable[[], int] = lambda: 0,
        lease_ms: int = LEASE_MS,
        decide: Callable[[Snapshot], Plan] = decide,
    ) -> None:
        """decide: a pure function of its snapshot; the world looks at every decision through it."""
        self._store = store
        self._policies = policies
        self._holder = holder
        self._code_version = code_version
        self._elapsed_us = elapsed_us
        self._lease_ms = lease_ms
        self._decide = decide
        self._lead: _Lead | None = None

    def step(self, now_ms: int) -> CycleReport:
        """Renew the lease, take in new facts, and decide if anything is new or due."""
        epoch = acquire(self._store, LEASE, self._holder, now_ms, self._lease_ms)
        if epoch is None:
            self._lead = None
            return CycleReport(leading=False)
        if self._lead is None or self._lead.epoch != epoch:
            self._lead = self._rebuild(epoch)
        lead = self._lead
        effective = self._take_in(lead, now_ms)
        now_ms = max(now_ms, lead.latest_ms)
        if effective is None or not self._due(lead, effective, now_ms):
            return CycleReport(leading=True)
        try:
            return self._cycle(lead, effective, now_ms)
        except StaleEpoch:
            self._lead = None
            return CycleReport(leading=False)

    def _rebuild(self, epoch: int) -> _Lead:
        with self._store.read() as view:
            checkpoints = view.select(CheckpointRecord, order=("-cycle",), limit=1)
            cycles = view.select(CycleRecord, order=("-number",), limit=1)
            waiting = view.get(WaitingRecord, NEWEST)
        state = AllocatorState.from_json(json.loads(checkpoints[0].state_json)) if checkpoints else AllocatorState()
        lead = _Lead(epoch, state, cycle=0)
        if cycles:
            lead.cycle, lead.latest_ms = cycles[0].number, cycles[0].at_ms
        if waiting is not None:
            lead.waiting = waiting.reasons_json
        for _ in range(REBUILD_BATCHES_MAX):
            with self._store.read() as view:
                facts = view.facts(state.fact_seq, limit=FACTS_A_STEP)
            for fact in facts:
                state.apply(fact)
                lead.latest_ms = max(lead.latest_ms, fact.at_ms)
            if len(facts) < FACTS_A_STEP:
                break
        return lead

    def _take_in(self, lead: _Lead, now_ms: int) -> EffectivePolicy | None:
        with self._store.read() as view:
            for fact in view.facts(lead.state.fact_seq, limit=FACTS_A_STEP):
                lead.state.apply(fact)
                lead.latest_ms = max(lead.latest_ms, fact.at_ms)
            lead.effective = self._policies.current(view, max(now_ms, lead.latest_ms))
        return lead.effective

    def _due(self, lead: _Lead, effective: EffectivePolicy, now_ms: int) -> bool:
        asked = self._question(lead, effective)
        woken = lead.wake_ms is not None and now_ms >= lead.wake_ms
        return asked != lead.decided_for or woken

    @staticmethod
    def _question(lead: _Lead, effective: EffectivePolicy) -> tuple[int, int, int, int]:
        return (lead.state.news_seq, effective.policy_version, effective.registry_seq, effective.until_ms)

    def _cycle(self, lead: _Lead, effective: EffectivePolicy, now_ms: int) -> CycleReport:
        started_us = self._elapsed_us()
        snapshot = lead.state.snapshot(now_ms, effective)
        plan = self._decide(snapshot)
        duration_us = self._elapsed_us() - started_us
        # Decided is only what is written: a write that raises leaves the question open for the next step.
        asked, lead.decided_for = self._question(lead, effective), None
        lead.wake_ms = lead.state.next_wake_ms(now_ms, effective)
        waiting = plan.waiting()
        if plan.steps or waiting != lead.waiting:
            self._write(lead, snapshot, plan, waiting, duration_us)
            lead.waiting = waiting
        done, dropped = self._apply(lead, effective, plan, now_ms)
        lead.decided_for = asked
        if dropped:
            # What a dropped step was decided on has changed, so a fact is coming; should it be long in coming
            # (facts wait for the oldest transaction), the question is asked again, but not without a pause.
            lead.wake_ms = min(now_ms + DROPPED_PAUSE_MS, lead.wake_ms or now_ms + DROPPED_PAUSE_MS)
        return CycleReport(
            leading=True,
            decided=True,
            admitted=tuple(step.job for step in done if isinstance(step, Admit)),
            evicted=tuple(victim for step in done if isinstance(step, Reclaim) for victim in step.victims),
            dropped=tuple(dropped),
            duration_us=duration_us,
        )

    def _write(self, lead: _Lead, snapshot: Snapshot, plan: Plan, waiting: str, duration_us: int) -> None:
        """Record the cycle if it takes steps, and why jobs wait if that is news."""
        if plan.steps:
            lead.cycle += 1  # used up, even if nobody can say whether the write was one
        with self._store.write() as tx:
            tx.fence(LEASE, lead.epoch)
            if plan.steps:
                tx.add(self._record(lead, snapshot, plan.recorded(waiting), duration_us))
                if lead.cycle % CHECKPOINT_EVERY == 0:
                    state_json = canonical(lead.state.to_json())
                    tx.add(CheckpointRecord(cycle=lead.cycle, fact_seq=snapshot.fact_seq, state_json=state_json))
            if waiting != lead.waiting:
                _tell(tx, lead.cycle, snapshot, waiting)

    def _record(self, lead: _Lead, snapshot: Snapshot, plan_json: str, duration_us: int) -> CycleRecord:
        return CycleRecord(
            number=lead.cycle,
            epoch=lead.epoch,
            at_ms=snapshot.at_ms,
            fact_seq=snapshot.fact_seq,
            policy_version=snapshot.policy_version,
            registry_seq=snapshot.registry_seq,
            code_version=self._code_version,
            input_hash=snapshot.input_hash,
            plan_json=plan_json,
            duration_us=duration_us,
        )

    def _apply(self, lead: _Lead, effective: EffectivePolicy, plan: Plan, now_ms: int) -> tuple[list[Step], list[str]]:
        done: list[Step] = []
        dropped = []
        for step in plan.steps:
            try:
                with self._store.write() as tx:
                    tx.fence(LEASE, lead.epoch)
                    take(tx, step, effective, lead.cycle, now_ms)
                done.append(step)
            except (Dropped, ConstraintBroken, DuplicateRecord):
                dropped.append(step.job)
        return done, dropped


def _tell(tx: Writer, cycle: int, snapshot: Snapshot, waiting: str) -> None:
    """Put the newest reasons in place of those before; the lease's fence keeps other writers away."""
    known = tx.get(WaitingRecord, NEWEST)
    fresh = WaitingRecord(
        name=NEWEST,
        cycle=cycle,
        at_ms=snapshot.at_ms,
        policy_version=snapshot.policy_version,
        reasons_json=waiting,
        version=known.version if known else 1,
    )
    if known is None:
        tx.add(fresh)
    else:
        tx.change(fresh, version=known.version)


def take(tx: Writer, step: Step, effective: EffectivePolicy, cycle: int, now_ms: int) -> None:
    """Take one step, all of it or nothing; raises Dropped when something is not as it was decided on."""
    match step:
        case Admit():
            admit(tx, step, effective, cycle, now_ms)
        case Reclaim():
            reclaim(tx, step, effective, cycle, now_ms)
        case Release():
            _still_waiting(tx, step)
            tx.append(EarmarkReleased(step.job, step.attempt), now_ms)


def _decided_under(tx: Writer, effective: EffectivePolicy) -> PolicyRecord:
    """The policy in force; raises Dropped when it is another one than that of the decision."""
    policy = newest_policy(tx)
    if policy is None or policy.version != effective.policy_version:
        raise Dropped("the policy changed")
    return policy


def _waiting(tx: Writer, step: Step) -> JobRecord:
    """The step's job; raises Dropped when it no longer waits for this attempt."""
    job = tx.get(JobRecord, step.job)
    if job is None or job.state is not JobState.QUEUED or job.attempt != step.attempt - 1:
        raise Dropped("the job is no longer waiting for this attempt")
    return job


def _still_waiting(tx: Writer, step: Step) -> JobRecord:
    """The step's job, written as it is: whoever cancels or holds it at the same moment loses, or this step is dropped.

    A fact about a job that has left its line would be one that nobody can fold.
    """
    job = _waiting(tx, step)
    if not tx.change(job, version=job.version):
        raise Dropped("the job changed")
    return job


def reclaim(tx: Writer, step: Reclaim, effective: EffectivePolicy, cycle: int, now_ms: int) -> None:
    """Ask the victims to leave and keep the gang's places; raises Dropped when one of them leaves already."""
    _decided_under(tx, effective)
    job = _still_waiting(tx, step)
    for name, number in sorted(step.victims):
        victim = tx.get(AttemptRecord, name, number)
        if victim is None or victim.state in (AttemptState.STOPPING, AttemptState.GONE) or victim.tier is GUARANTEED:
            raise Dropped("a victim leaves already")
        stopping = replace(
            victim,
            state=step_attempt(victim.state, AttemptState.STOPPING),
            stop_reason=StopReason.EVICT,
            stop_at_ms=now_ms,
            message=EVICTED.format(tier=victim.tier, class_name=job.class_name),
        )
        if not tx.change(stopping, version=victim.version):
            raise Dropped("a victim changed")
        tx.append(AttemptStopping(name, number, StopReason.EVICT), now_ms)
    tx.append(GpusEarmarked(step.job, step.attempt, step.cluster, step.ranks, step.victims, cycle), now_ms)


def admit(tx: Writer, step: Admit, effective: EffectivePolicy, cycle: int, now_ms: int) -> None:
    """Give the gang its GPUs, all or none; raises Dropped when job, policy or nodes are not as decided on."""
    policy = _decided_under(tx, effective)
    job = _waiting(tx, step)
    wanted = gpus_by_node(step.ranks)
    for name in sorted(wanted):
        node = tx.get(NodeRecord, step.cluster, name)
        if node is None or not node.schedulable or node.held + wanted[name] > node.healthy:
            raise Dropped("a node has less room")
        if not tx.change(replace(node, held=node.held + wanted[name]), version=node.version):
            raise Dropped("a node changed")
    if not tx.change(replace(job, state=JobState.ACTIVE, attempt=step.attempt), version=job.version):
        raise Dropped("the job changed")
    tx.add(
        AttemptRecord(
            job=job.id,
            number=step.attempt,
            org=job.org,
            project=job.project,
            user=job.user,
            state=AttemptState.ADMITTED,
            tier=step.tier,
            cluster=step.cluster,
            flavor=job.flavor,
            gpus=sum(wanted.values()),
            ranks_json=canonical(step.ranks),
            admitted_at_ms=now_ms,
            cycle=cycle,
            policy_version=policy.version,
            rate_card=policy.rate_card,
        )
    )
    for rank in step.ranks:
        tx.add(RankRecord(job=job.id, attempt=step.attempt, rank=rank.rank, node=rank.node, gpus=rank.gpus))
    tx.append(AttemptAdmitted(job.id, step.attempt, step.tier, step.cluster, step.ranks, cycle), now_ms)
