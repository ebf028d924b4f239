"""The checks can fail: each well-known mistake, put into the real code, is found within a few seeds."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from operators.loop import OperatorLoop
from operators.ports import Observation, ObservationKind, View
from scheduler.core.accounting import ledger
from scheduler.core.accounting.usage import AttemptUsage, cut
from scheduler.core.allocator.plan import Plan, Step
from scheduler.core.effective import EffectivePolicy
from scheduler.core.errors import Retry
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import AttemptRecord, IdempotencyRecord, JobRecord, NodeRecord, ObservationRecord
from scheduler.services import assignments, attempts, cycle, jobs, leases, observe, settle, submit
from scheduler.services.attempts import ObservedAttempt
from scheduler.services.cycle import Allocator, CycleReport
from scheduler.services.ports import Writer
from scheduler.sim.world import Parts, run
from scheduler.sim.world.backend import FakeBackend
from scheduler.sim.world.chance import Rates
from scheduler.sim.world.shelves import MemoryLogs
from scheduler.store.memory import MemoryWriter
from tests.support.mutants import JOBS, Mutant, Patch, assert_found, no_change


class GoneTooEarly(FakeBackend):
    """Says that an attempt is gone as soon as its first rank has started."""

    def observe(self, now_ms: int) -> View:
        """The truth and the lie."""
        view = super().observe(now_ms)
        seen = {(item.job, item.attempt, item.kind) for item in view.observations}
        lies = []
        for item in view.observations:
            known = (item.job, item.attempt, ObservationKind.GONE) in seen
            if item.kind is ObservationKind.RANK_STARTED and item.rank == 0 and not known:
                gone = replace(item, id=item.id.replace("rank-started/0", "gone"), kind=ObservationKind.GONE, rank=-1)
                lies.append(replace(gone, exit_code=1, evidence="observed"))
        return replace(view, observations=(*view.observations, *lies))


class WatermarkLies(FakeBackend):
    """Vouches for an hour that it has not seen yet."""

    def observe(self, now_ms: int) -> View:
        """The truth up to a watermark that is too late."""
        view = super().observe(now_ms)
        return replace(view, observed_through_ms=view.observed_through_ms + 3_600_000)


class TwoNames(FakeBackend):
    """Gives each observation another id whenever its operator looks."""

    numbers = itertools.count()

    def observe(self, now_ms: int) -> View:
        """The truth under new names."""
        view = super().observe(now_ms)
        return replace(view, observations=tuple(self._renamed(item) for item in view.observations))

    def _renamed(self, item: Observation) -> Observation:
        return replace(item, id=f"{item.id}#{next(self.numbers)}")


class Hasty(Allocator):
    """Takes what it has decided for done, also when it could not be written."""

    has_stumbled = False

    def _cycle(self, lead: Any, effective: EffectivePolicy, now_ms: int) -> CycleReport:
        try:
            return super()._cycle(lead, effective, now_ms)
        except Retry:
            lead.decided_for = self._question(lead, effective)
            raise

    def _apply(self, lead: Any, effective: EffectivePolicy, plan: Plan, now_ms: int) -> tuple[list[Step], list[str]]:
        if plan.steps and not self.has_stumbled:
            self.has_stumbled = True
            raise Retry("DURE-8020", "the database could not commit")
        return super()._apply(lead, effective, plan, now_ms)


def over_commit(patch: Patch) -> None:
    """Admits without taking the GPUs from the nodes."""
    honest = MemoryWriter.change

    def change(self: MemoryWriter, record: Any, *, version: int) -> bool:
        before = self.get(NodeRecord, record.cluster, record.name) if isinstance(record, NodeRecord) else None
        if before is not None and record.held > before.held:
            return True
        return honest(self, record, version=version)

    patch.setattr(MemoryWriter, "change", change)


def half_a_gang(patch: Patch) -> None:
    """Admits all workers of a gang but the last."""
    honest = cycle.admit

    def admit(tx: Writer, step: Any, effective: Any, number: int, now_ms: int) -> None:
        honest(tx, replace(step, ranks=step.ranks[:-1] or step.ranks), effective, number, now_ms)

    patch.setattr(cycle, "admit", admit)


def no_fence(patch: Patch) -> None:
    """Lets a stale leader write."""
    patch.setattr(MemoryWriter, "fence", lambda self, lease, epoch: None)


def everybody_leads(patch: Patch) -> None:
    """Gives the lease to whoever asks, without a new epoch."""
    honest = leases.acquire

    def acquire(store: Any, name: str, holder: str, now_ms: int, lease_ms: int = 15_000) -> int | None:
        return honest(store, name, holder, now_ms, lease_ms) or 1

    patch.setattr(cycle, "acquire", acquire)


def post_twice(patch: Patch) -> None:
    """Books every usage a second time under another key."""
    honest = settle._book

    def book(tx: Writer, transaction: ledger.Transaction, group: Any, period: str, now_ms: int) -> None:
        honest(tx, transaction, group, period, now_ms)
        again = replace(transaction, idem_key=f"{transaction.idem_key}:again")
        honest(tx, again, (), period, now_ms)

    patch.setattr(settle, "_book", book)


def bill_from_the_first_start(patch: Patch) -> None:
    """Charges a gang from its first rank's start on."""
    first = property(lambda self: min((rank.started_at_ms for rank in self.ranks if rank.started_at_ms), default=0))
    patch.setattr(AttemptUsage, "charged_from_ms", first)


def lose_the_last_slice(patch: Patch) -> None:
    """Never posts an attempt's last slice of several."""

    def wrong(usage: AttemptUsage, through_ms: int, boundaries: Any = (), *, since_ms: int = 0) -> Any:
        slices = cut(usage, through_ms, boundaries, since_ms=since_ms)
        return [part for part in slices if not usage.gone_at_ms or part.end_ms != usage.gone_at_ms]

    patch.setattr(settle, "cut", wrong)


def free_at_the_order(patch: Patch) -> None:
    """Frees GPUs when an attempt is told to stop, not when it is gone."""

    def freed(tx: Writer, attempt: AttemptRecord, now_ms: int) -> AttemptRecord:
        stopped = honest(tx, attempt, now_ms)
        ObservedAttempt(tx, stopped, now_ms)._free_nodes()
        return stopped

    honest = jobs._stop
    patch.setattr(jobs, "_stop", freed)


def lost_is_well(patch: Patch) -> None:
    """Takes a lost attempt for a good end."""
    honest = attempts.job_after

    def job_after(job: JobRecord, gone: AttemptRecord, now_ms: int) -> JobRecord:
        if gone.stop_reason is StopReason.LOST:
            return replace(job, state=JobState.SUCCEEDED, ended_at_ms=now_ms)
        return honest(job, gone, now_ms)

    patch.setattr(attempts, "job_after", job_after)


def cancel_without_a_fact(patch: Patch) -> None:
    """Changes a record and tells nobody."""
    honest = MemoryWriter.append

    def append(self: MemoryWriter, body: Any, at_ms: int) -> int:
        return 0 if type(body).__name__ == "JobEnded" else honest(self, body, at_ms)

    patch.setattr(MemoryWriter, "append", append)


def no_key(patch: Patch) -> None:
    """Submits again whatever the key."""
    patch.setattr(submit, "_answered", lambda view, user, key, body: None)
    numbers = itertools.count()

    def record(**fields: Any) -> IdempotencyRecord:
        return IdempotencyRecord(**{**fields, "key": f"{fields['key']}-{next(numbers)}"})

    patch.setattr(submit, "IdempotencyRecord", record)


def overtaken_nodes(patch: Patch) -> None:
    """Takes an old report of a node for a new one."""
    honest = observe._see_node

    def see(tx: Writer, cluster: str, seen: Any, now_ms: int) -> None:
        known = tx.get(NodeRecord, cluster, seen.node)
        if known is not None and seen.at_ms < known.seen_at_ms:
            seen = seen.model_copy(update={"at_ms": known.seen_at_ms})
        honest(tx, cluster, seen, now_ms)

    patch.setattr(observe, "_see_node", see)


def first_word_of_anybody(patch: Patch) -> None:
    """Keeps observations of all clusters under one set of names."""
    honest = observe._record

    def record(cluster: str, observation: Any, now_ms: int) -> ObservationRecord:
        return replace(honest(cluster, observation, now_ms), id=f"node/{observation.id.rpartition('/')[2]}")

    patch.setattr(observe, "_record", record)


def believe_every_watermark(patch: Patch) -> None:
    """Takes a cluster's word for time that has not passed."""
    patch.setattr(observe, "_vouched_ms", lambda tx, cluster, batch, before_ms, now_ms: batch.observed_through_ms)


def logs_twice(patch: Patch) -> None:
    """Appends output whatever its offset."""

    def append(self: MemoryLogs, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        kept = self._content.setdefault((job, attempt, rank), bytearray())
        kept += content
        return len(kept)

    patch.setattr(MemoryLogs, "append", append)


def forget_what_began(patch: Patch) -> None:
    """Does not tell an operator which of its attempts have begun."""
    honest = assignments._assignment

    def body(view: Any, attempt: AttemptRecord, policy: Any, tokens: Any) -> Any:
        return honest(view, attempt, policy, tokens).model_copy(update={"begun": False})

    patch.setattr(assignments, "_assignment", body)


def vouch_for_what_is_not_seen(patch: Patch) -> None:
    """Moves the watermark though nothing is seen of an attempt that began."""
    honest = OperatorLoop._report

    def report(self: OperatorLoop, step: Any) -> None:
        self._awaited = set()
        honest(self, step)

    patch.setattr(OperatorLoop, "_report", report)


def charge_until_gone(patch: Patch) -> None:
    """Leaves what left no trace without an end."""
    patch.setattr(ObservedAttempt, "_end_untraced", lambda self: None)


def settle_too_early(patch: Patch) -> None:
    """Calls an attempt settled when it is stopping."""
    honest = settle.Settler._work

    def work(self: settle.Settler, view: Any) -> Any:
        stopping = view.select(AttemptRecord, ("state", "=", AttemptState.STOPPING))
        return [*honest(self, view), *(settle._Work(attempt, (), True, ()) for attempt in stopping)]

    patch.setattr(settle.Settler, "_work", work)


ROUGH = Rates(request_late=1_500, node_trouble=1_500)
MUTANTS = {
    "gone too early": Mutant(
        no_change, "GPUs of n. are in use|begins on .* while", Parts(GoneTooEarly, findings_max=99)
    ),
    "watermark lies": Mutant(no_change, "ledger has|slice of|DURE-", Parts(WatermarkLies, findings_max=1)),
    "observations under new names": Mutant(no_change, "DURE-6012|rest", Parts(TwoNames, findings_max=99)),
    "what failed is not done again": Mutant(
        no_change, "could start", Parts(allocator=Hasty, rates=Rates().scaled(0), patience_ms=60_000, findings_max=1)
    ),
    "over-commit": Mutant(over_commit, "its live attempts hold"),
    "half a gang": Mutant(half_a_gang, "workers"),
    "no fence": Mutant(
        no_fence, "without lease|old epoch|DuplicateRecord", Parts(rates=Rates(pause=600), findings_max=1)
    ),
    "everybody leads": Mutant(everybody_leads, "without lease|StaleEpoch"),
    "posts twice": Mutant(post_twice, "the ledger has"),
    "bills from the first start": Mutant(bill_from_the_first_start, "the ledger has"),
    "loses the last slice": Mutant(lose_the_last_slice, "the ledger has|slice of"),
    "frees at the order": Mutant(free_at_the_order, "live attempts hold|ConstraintBroken"),
    "lost is well": Mutant(lost_is_well, "has Succeeded and its last attempt did not"),
    "cancel without a fact": Mutant(cancel_without_a_fact, "by the facts"),
    "no key": Mutant(no_key, "was answered with job"),
    "overtaken nodes": Mutant(overtaken_nodes, "said last|known is", Parts(rates=ROUGH, findings_max=1)),
    "first word of anybody": Mutant(first_word_of_anybody, "DURE-6010"),
    "believes every watermark": Mutant(
        believe_every_watermark, "the ledger has|slice of", Parts(WatermarkLies, findings_max=99)
    ),
    "logs twice": Mutant(logs_twice, "printed"),
    "forgets what began": Mutant(
        forget_what_began, "begin once more", Parts(rates=Rates(traces_lost=600), findings_max=1)
    ),
    "vouches for what it does not see": Mutant(
        vouch_for_what_is_not_seen, "after it was erased", Parts(rates=Rates(traces_lost=600), findings_max=99)
    ),
    "charges until gone": Mutant(charge_until_gone, "DURE-9042", Parts(rates=Rates(traces_lost=600), findings_max=1)),
    "settles too early": Mutant(settle_too_early, "the ledger has|forgotten while it lives|settled"),
}


@pytest.mark.world
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_mistake_is_found(mutant: Mutant, monkeypatch: Patch) -> None:
    assert_found(mutant, monkeypatch)


def test_nothing_is_found_without_a_mistake() -> None:
    assert [run(seed, jobs=JOBS).findings for seed in range(2)] == [(), ()]
