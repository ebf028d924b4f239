"""The allocator's step: guards that drop one step only, fencing, rebuilding, and nothing written without news."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.plan import Plan
from scheduler.core.codec import sha256_hex
from scheduler.core.errors import Retry, StaleEpoch
from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.records import AttemptRecord, CheckpointRecord, CycleRecord, JobRecord, LeaseRecord, WaitingRecord
from scheduler.core.state import AllocatorState
from scheduler.services import cycle, jobs, leases
from scheduler.services.cycle import Allocator
from scheduler.services.effective import EffectivePolicies
from scheduler.services.pictures import plan_of
from scheduler.sim.world.replay import replay
from scheduler.store.memory import MemoryStore, MemoryWriter
from tests.support.control_plane import POLICY, ControlPlane

Meanwhile = Callable[[ControlPlane, str], None]


def after_the_decision(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Let something happen once, between what the allocator decides and what it writes."""
    honest = cycle.Allocator._apply

    def apply(*arguments: Any) -> Any:
        monkeypatch.setattr(cycle.Allocator, "_apply", honest)
        meanwhile()
        return honest(*arguments)

    monkeypatch.setattr(cycle.Allocator, "_apply", apply)


def cancel(plane: ControlPlane, job: str) -> None:
    """Its owner cancels the job."""
    plane.cancel(job)


def hold(plane: ControlPlane, job: str) -> None:
    """Its owner holds the job."""
    jobs.hold(plane.store, plane.actor("member"), job, plane.now_ms)


def hold_and_release(plane: ControlPlane, job: str) -> None:
    """The job waits again, in another version."""
    hold(plane, job)
    jobs.release(plane.store, plane.actor("member"), job, plane.now_ms)


def node_fails(plane: ControlPlane, job: str) -> None:
    """The only node of its flavor loses its GPUs."""
    del job
    plane.report(plane.node_seen("n3", "a100-80g", 0))


def node_is_cordoned(plane: ControlPlane, job: str) -> None:
    """The only node of its flavor takes no new work."""
    del job
    plane.report(plane.node_seen("n3", "a100-80g", 2, schedulable=False, id="node/n3/cordon"))


# What happens meanwhile to a job of the only A100 node -> whether its step is dropped
GUARDS: dict[str, tuple[Meanwhile, bool]] = {
    "cancelled": (cancel, True),
    "held": (hold, True),
    "held and released": (hold_and_release, False),
    "its node failed": (node_fails, True),
    "its node was cordoned": (node_is_cordoned, True),
}


@pytest.mark.parametrize(("meanwhile", "is_dropped"), GUARDS.values(), ids=GUARDS.keys())
def test_a_guard_drops_its_step_and_no_other(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, meanwhile: Meanwhile, is_dropped: bool
) -> None:
    other, touched = plane.submit(gpus="h100:1").id, plane.submit(gpus="a100:2", tiers=["borrow"]).id
    plane.pass_ms(1_000)
    after_the_decision(plane, monkeypatch, lambda: meanwhile(plane, touched))
    report = plane.cycle()
    assert other in report.admitted
    assert (touched in report.dropped) == is_dropped
    assert plane.job(other).state is JobState.ACTIVE
    assert (plane.job(touched).state is JobState.ACTIVE) == (not is_dropped)
    assert (len(plane.rows(AttemptRecord)), plane.node("n3").held) == ((1, 0) if is_dropped else (2, 2))
    assert plane.cycle().dropped == (), "the next cycle knows better"


def test_a_changed_policy_drops_every_step(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [plane.submit().id, plane.submit().id]
    after_the_decision(plane, monkeypatch, lambda: void(plane.apply(POLICY.replace("price: 0.4", "price: 0.5"))))
    assert plane.cycle().dropped == tuple(waiting)
    assert plane.rows(AttemptRecord) == []
    assert plane.cycle().admitted == tuple(waiting)
    assert {attempt.policy_version for attempt in plane.rows(AttemptRecord)} == {2}


def void(value: object) -> None:
    """Forget a value."""
    del value


def test_an_attempt_that_is_there_drops_the_step(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    job = plane.submit().id
    other = plane.new_allocator("allocator-1")
    after_the_decision(plane, monkeypatch, lambda: void(plane.cycle(other)))
    assert plane.cycle().dropped == (job,)
    assert len(plane.rows(AttemptRecord)) == 1


# Leases and epochs.


def test_one_leads_and_the_other_stands_by(plane: ControlPlane) -> None:
    standby = plane.new_allocator("allocator-2")
    assert plane.cycle().leading
    plane.submit()
    assert not plane.cycle(standby).leading
    assert plane.cycle().admitted


def test_the_other_takes_over_when_the_lease_has_ended(plane: ControlPlane) -> None:
    standby = plane.new_allocator("allocator-2")
    plane.cycle()
    plane.pass_ms(leases.LEASE_MS)
    assert plane.cycle(standby).leading
    assert not plane.cycle().leading
    lease = next(row for row in plane.rows(LeaseRecord) if row.name == "allocator")
    assert (lease.holder, lease.epoch) == ("allocator-2", 2)


def test_a_quiet_holder_writes_its_lease_every_half_of_it_only(plane: ControlPlane) -> None:
    versions = []
    for _ in range(8):
        plane.cycle()
        versions.append(next(row for row in plane.rows(LeaseRecord) if row.name == "allocator").version)
        plane.pass_ms(leases.LEASE_MS // 4)
    # renewed when half of it has passed: at 0, 2/4, 4/4, 6/4
    assert versions == [1, 1, 2, 2, 3, 3, 4, 4]


def test_a_stale_leader_commits_nothing(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stood still after its decision, and another one took over meanwhile."""
    standby = plane.new_allocator("allocator-2")
    plane.cycle()
    job = plane.submit().id

    def take_over() -> None:
        plane.pass_ms(2 * leases.LEASE_MS)
        assert plane.cycle(standby).admitted == (job,)

    after_the_decision(plane, monkeypatch, take_over)
    before = len(plane.rows(CycleRecord))
    report = plane.allocator.step(plane.now_ms)
    assert (report.leading, report.admitted) == (False, ())
    cycles = plane.rows(CycleRecord)
    assert [row.epoch for row in cycles[before:]] == [1, 2], "its record was written while it led"
    assert [attempt.cycle for attempt in plane.rows(AttemptRecord)] == [cycles[-1].number]


def test_every_write_of_a_stale_leader_is_refused(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever transaction it is about to begin."""
    plane.cycle()
    plane.submit()
    honest = plane.store.write
    stolen = itertools.count()

    def write() -> Any:
        if next(stolen) == 0:
            with honest() as tx:
                lease = tx.get(LeaseRecord, "allocator")
                assert lease is not None
                taken = LeaseRecord(name="allocator", holder="thief", epoch=lease.epoch + 1, expires_at_ms=10**15)
                assert tx.change(taken, version=lease.version)
        return honest()

    monkeypatch.setattr(plane.store, "write", write)
    cycles = len(plane.rows(CycleRecord))
    assert not plane.cycle().leading
    assert len(plane.rows(CycleRecord)) == cycles
    assert plane.rows(AttemptRecord) == []


def test_fences(plane: ControlPlane) -> None:
    plane.cycle()
    with plane.store.write() as tx:
        tx.fence("allocator", 1)
    for epoch in (0, 2):
        with pytest.raises(StaleEpoch), plane.store.write() as tx:
            tx.fence("allocator", epoch)


# Nothing without news.


def test_a_cycle_without_news_writes_nothing(plane: ControlPlane) -> None:
    plane.submit(gpus="h100:4", nodes=2)
    plane.submit(tiers=["guaranteed"], gpus="a100:1")
    plane.cycle()
    before = (plane.facts(), plane.rows(CycleRecord))
    plane.cycle()
    after = (plane.facts(), plane.rows(CycleRecord))
    for _ in range(5):
        plane.pass_ms(1_000)
        assert not plane.cycle().admitted
    assert (plane.facts(), plane.rows(CycleRecord)) == after
    assert len(after[1]) - len(before[1]) <= 1, "once more for the reasons, as they stand after the starts"


def test_a_restart_without_news_writes_no_cycle(plane: ControlPlane) -> None:
    plane.submit(gpus="a100:1", tiers=["guaranteed"])
    plane.cycle()
    plane.cycle()
    cycles = plane.rows(CycleRecord)
    plane.pass_ms(2 * leases.LEASE_MS)
    assert plane.cycle(plane.new_allocator("allocator-2")).leading
    assert plane.rows(CycleRecord) == cycles


def test_the_end_of_a_back_off_is_news(plane: ControlPlane) -> None:
    job = plane.started(retries=1)
    plane.ended(job, 1)
    assert plane.job(job).not_before_ms == plane.now_ms + 5_000
    assert plane.cycle().admitted == ()
    plane.pass_ms(4_999)
    assert plane.cycle().admitted == ()
    plane.pass_ms(1)
    assert plane.cycle().admitted == (job,)
    assert plane.attempt(job, 2).state is AttemptState.ADMITTED


def test_nothing_is_decided_before_the_first_policy() -> None:
    report = Allocator(MemoryStore(), EffectivePolicies(), "allocator", "test").step(1)
    assert (report.leading, report.decided) == (True, False)


# A failed write is done again.


@pytest.mark.parametrize("kind", [CycleRecord, AttemptRecord], ids=["the record", "the step"])
def test_what_could_not_be_written_is_decided_again(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    job = plane.submit().id
    honest = MemoryWriter.add

    def add(self: MemoryWriter, record: Any) -> None:
        if isinstance(record, kind):
            raise Retry("DURE-8020", "the database is not there")
        honest(self, record)

    monkeypatch.setattr(MemoryWriter, "add", add)
    with pytest.raises(Retry):
        plane.cycle()
    monkeypatch.undo()
    assert plane.cycle().admitted == (job,), "without any news"


# Rebuilding.


def test_a_new_leader_decides_as_the_old_one_would_have(plane: ControlPlane) -> None:
    first = plane.started(gpus="h100:2", nodes=2)
    plane.pass_ms(3_600_000)
    plane.ended(first)
    for user, project in (("member", "acme/nlp"), ("stranger", "uni/vision"), ("member", "acme/nlp")):
        plane.submit(user, project=project, gpus="h100:4", tiers=["borrow"])
    plane.submit("stranger", project="uni/vision", gpus="a100:1", tiers=["guaranteed", "scavenge"])
    for _ in range(2):
        plane.pass_ms(1_000)
        plane.cycle()
    lead = plane.allocator._lead
    rebuilt = plane.new_allocator("allocator-2")._rebuild(9)
    assert lead is not None
    assert rebuilt.state.to_json() == lead.state.to_json()
    assert (rebuilt.cycle, rebuilt.waiting) == (lead.cycle, lead.waiting)
    assert lead.effective is not None
    plans = [decide(state.snapshot(plane.now_ms, lead.effective)).canonical() for state in (lead.state, rebuilt.state)]
    assert plans[0] == plans[1]


def test_a_rebuild_from_a_checkpoint_is_the_same(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle, "CHECKPOINT_EVERY", 2)
    for _ in range(4):
        job = plane.started(retries=1)
        plane.pass_ms(60_000)
        plane.ended(job, 0)
    checkpoints = plane.rows(CheckpointRecord)
    assert len(checkpoints) >= 2
    from_checkpoint = plane.new_allocator("allocator-2")._rebuild(9)
    whole = AllocatorState()
    with plane.store.read() as view:
        for fact in view.facts(0):
            whole.apply(fact)
    assert from_checkpoint.state.to_json() == whole.to_json()
    assert checkpoints[-1].fact_seq < whole.fact_seq


def test_every_recorded_cycle_can_be_replayed(plane: ControlPlane) -> None:
    plane.submit(gpus="h100:4", nodes=2)
    plane.cycle()
    plane.apply(POLICY.replace("weight: 1, price", "weight: 9, price"))
    plane.submit("stranger", project="uni/vision", gpus="a100:2", tiers=["borrow"])
    plane.cycle()
    plane.submit(gpus="a100:1", tiers=["scavenge"], user="stranger", project="uni/vision")
    plane.submit(gpus="h100:1", tiers=["guaranteed"])
    plane.cycle()
    plane.ended(plane.rows(JobRecord, ("state", "=", JobState.ACTIVE))[0].id)
    plane.submit(gpus="h100:4", tiers=["borrow"])
    plane.cycle()
    numbers = [row.number for row in plane.rows(CycleRecord)]
    assert len(numbers) >= 3
    with plane.store.read() as view:
        replayed = list(replay(view, numbers, "test"))
        by_other_code = list(replay(view, numbers, "other"))
    assert [item.fault for item in replayed] == [""] * len(numbers)
    assert {item.fault.partition(" is of ")[2] for item in by_other_code} == {"code test, and other replays it"}


def test_a_changed_record_of_a_cycle_is_noticed(plane: ControlPlane) -> None:
    plane.submit()
    plane.cycle()
    with plane.store.read() as view:
        found = list(replay(view, [1], "test"))
    forged = found[-1]._replace(cycle=found[-1].cycle, plan=Plan())
    assert "another plan" in forged.fault


def test_a_record_says_what_was_decided_on(plane: ControlPlane) -> None:
    job = plane.submit().id
    plane.pass_ms(500)
    plane.cycle()
    record = plane.rows(CycleRecord)[-1]
    assert (record.at_ms, record.policy_version, record.code_version, record.epoch) == (plane.now_ms, 1, "test", 1)
    assert record.fact_seq == plane.job(job).submitted_seq
    recorded = json.loads(record.plan_json)
    assert [(step["job"], step["attempt"]) for step in recorded["steps"]] == [(job, 1)]
    [waiting] = plane.rows(WaitingRecord)
    assert recorded["waiting_sha256"] == sha256_hex(waiting.reasons_json)
    assert plane.attempt(job).cycle == record.number


def test_reasons_that_change_are_told_and_no_cycle_is_recorded(plane: ControlPlane) -> None:
    plane.started(gpus="h100:4", nodes=2)
    cycles = len(plane.rows(CycleRecord))
    for count in (1, 2, 3):
        plane.submit(gpus=f"h100:{count}", tiers=["borrow"])
        plane.pass_ms(1_000)
        plane.cycle()
        [waiting] = plane.rows(WaitingRecord)
        assert len(plan_of(waiting).blockers) == count
        assert (waiting.cycle, waiting.at_ms, waiting.version) == (cycles, plane.now_ms, waiting.version)
    assert len(plane.rows(CycleRecord)) == cycles


def test_a_dropped_step_is_decided_on_again_with_news_or_after_a_pause(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fact that would explain the drop is not visible yet: one decision a second, not one a turn."""

    def dropped(*_arguments: object) -> None:
        raise cycle.Dropped("not visible yet")

    plane.submit()
    with monkeypatch.context() as patch:
        patch.setattr(cycle, "admit", dropped)
        reports = []
        for _ in range(20):
            reports.append(plane.allocator.step(plane.now_ms))
            plane.pass_ms(100)
    assert [report.decided for report in reports] == [number % 10 == 0 for number in range(20)]
    assert len(plane.rows(CycleRecord)) == 2
    plane.submit(gpus="h100:1")
    assert len(plane.allocator.step(plane.now_ms).admitted) == 2


def test_a_process_that_stood_still_does_not_admit_before_the_submission(plane: ControlPlane) -> None:
    plane.cycle()
    stale_ms = plane.now_ms
    plane.pass_ms(60_000)
    job = plane.submit().id
    plane.allocator.step(stale_ms)
    assert plane.attempt(job).admitted_at_ms == plane.now_ms
