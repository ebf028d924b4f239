"""Facts: one order for everybody, and none that is passed over, however late its transaction commits."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from scheduler.core.errors import ConstraintBroken
from scheduler.core.facts import (
    AttemptAdmitted,
    AttemptGone,
    AttemptRunning,
    AttemptStarting,
    AttemptStopping,
    CreditNoteIssued,
    Fact,
    FactBody,
    InvoiceIssued,
    JobEnded,
    JobHeld,
    JobReleased,
    JobSubmitted,
    NodeSeen,
    PolicyApplied,
)
from scheduler.core.lifecycle import JobState, StopReason
from scheduler.core.model import GangRequest, Rank, Tier
from scheduler.core.records import JobRecord
from scheduler.services.ports import Store
from scheduler.store.sql import SqlStore
from tests.stores import samples
from tests.stores.actors import actors

pytestmark = pytest.mark.store

BODIES: tuple[FactBody, ...] = (
    JobSubmitted("j", "/sme/두레/nlp/kim", GangRequest("h100-80g", 2, 8, (Tier.GUARANTEED, Tier.BORROW), 3_600_000)),
    JobHeld("j", "user"),
    JobReleased("j"),
    AttemptAdmitted("j", 1, Tier.BORROW, "seoul", (Rank(0, "n1", 8), Rank(1, "n2", 8)), 7),
    AttemptStarting("j", 1),
    AttemptRunning("j", 1),
    AttemptStopping("j", 1, StopReason.EVICT),
    AttemptGone("j", 1, JobState.QUEUED, 99),
    JobEnded("j", JobState.CANCELLED),
    NodeSeen("seoul", "n1", "h100-80g", 8, schedulable=False),
    PolicyApplied(2),
    InvoiceIssued("DURE-2026-000001", "hanbit-ai", "manual-0001", "ab" * 32),
    CreditNoteIssued("DURE-CN-2026-000001", "DURE-2026-000001", "hanbit-ai", "manual-0002", "cd" * 32),
)


def held(name: str) -> FactBody:
    """A short fact."""
    return JobHeld(name, "user")


def names(store: Store, after_seq: int = 0) -> list[str]:
    """Jobs of the short facts that can be read now."""
    with store.read() as view:
        return [fact.body.job for fact in view.facts(after_seq) if isinstance(fact.body, JobHeld)]


def test_facts_come_back_as_they_were_appended(store: Store) -> None:
    with store.write() as tx:
        seqs = [tx.append(body, 1_000 + at) for at, body in enumerate(BODIES)]
    assert seqs == sorted(set(seqs))
    with store.read() as view:
        facts = view.facts(0)
        assert [fact.body for fact in facts] == list(BODIES)
        assert [fact.seq for fact in facts] == seqs
        assert [fact.at_ms for fact in facts] == [1_000 + at for at in range(len(BODIES))]
        assert view.facts(seqs[3], 2) == facts[4:6]
        assert view.facts(seqs[-1]) == view.facts(seqs[-1] + 1_000) == view.facts(0, 0) == []


def test_facts_of_some_kinds(store: Store) -> None:
    with store.write() as tx:
        seqs = [
            tx.append(body, 1) for body in (held("a"), PolicyApplied(1), JobReleased("a"), held("b"), PolicyApplied(2))
        ]
    with store.read() as view:
        some = view.facts(0, kinds=("JobHeld", "PolicyApplied"))
        assert [fact.seq for fact in some] == [seqs[0], seqs[1], seqs[3], seqs[4]]
        assert [fact.body for fact in view.facts(seqs[0], 2, ("PolicyApplied", "JobHeld"))] == [
            PolicyApplied(1),
            held("b"),
        ]
        assert [fact.body for fact in view.facts(0, 1, ("JobReleased",))] == [JobReleased("a")]
        assert view.facts(seqs[4], kinds=("JobHeld",)) == view.facts(0, kinds=("NodeSeen",)) == []
    with store.write() as tx:
        tx.append(held("c"), 1)
        assert [fact.seq for fact in tx.facts(0, kinds=("JobHeld",))] == [seqs[0], seqs[3]]


def test_a_transaction_does_not_read_its_own_facts(store: Store) -> None:
    with store.write() as tx:
        tx.append(held("a"), 1)
    with store.write() as tx:
        seq = tx.append(held("b"), 1)
        assert [fact.body for fact in tx.facts(0)] == [held("a")]
        assert tx.facts(seq) == []
    assert names(store) == ["a", "b"]


def test_an_instant_before_time_is_refused(store: Store) -> None:
    with pytest.raises(ConstraintBroken), store.write() as tx:
        tx.append(held("a"), -1)
    assert names(store) == []


def test_a_late_commit_is_waited_for(postgres: SqlStore) -> None:
    """The first sequence commits last: its fact must not be overtaken."""
    with actors(postgres, 2) as (late, early):
        late.begin()
        first = late.do(lambda: late.tx.append(held("first"), 1))
        early.begin()
        second = early.do(lambda: early.tx.append(held("second"), 1))
        early.end()
        assert first < second
        assert names(postgres) == []
        late.end()
    assert names(postgres) == ["first", "second"]


def test_a_late_commit_of_a_younger_transaction_is_waited_for(postgres: SqlStore) -> None:
    """Sequences and transactions in opposite order: the younger transaction has the smaller sequence."""
    with actors(postgres, 2) as (old, young):
        old.begin()
        old.do(lambda: old.tx.add(samples.job(1)))  # from here on it has its transaction id
        young.begin()
        first = young.do(lambda: young.tx.append(held("first"), 1))
        second = old.do(lambda: old.tx.append(held("second"), 1))
        old.end()
        assert first < second
        assert names(postgres) == []
        young.end()
    assert names(postgres) == ["first", "second"]


def test_a_rollback_leaves_a_gap_that_is_passed(postgres: SqlStore) -> None:
    with actors(postgres, 2) as (fails, works):
        fails.begin()
        fails.do(lambda: fails.tx.append(held("never"), 1))
        works.begin()
        works.do(lambda: works.tx.append(held("works"), 1))
        works.end()
        fails.end(RuntimeError("rolled back"))
    assert names(postgres) == ["works"]


def test_appending_does_not_wait_for_another_appender(postgres: SqlStore) -> None:
    """Both take a sequence and neither has committed: no lock is held from one's append to its commit."""
    with actors(postgres, 2) as (one, other):
        for actor, name in ((one, "a"), (other, "b"), (one, "c"), (other, "d")):
            if name in "ab":
                actor.begin()
            actor.do(partial(actor.tx.append, held(name), 1))
        other.end()
        one.end()
    assert names(postgres) == ["a", "b", "c", "d"]


WRITERS, ROUNDS = 4, 40


def write_many(store: Store, writer: int, seed: int) -> list[str]:
    """Transactions of 0 to 3 facts, with an earlier write or without, every fifth rolled back; what was committed."""
    rng = random.Random(seed)
    committed = []
    for number in range(ROUNDS):
        mine = [f"{writer}-{number}-{part}" for part in range(rng.randint(0, 3))]
        try:
            with store.write() as tx:
                if rng.random() < 0.5:
                    tx.add(samples.job(writer * ROUNDS + number))
                for name in mine:
                    tx.append(held(name), number)
                if rng.random() < 0.2:
                    raise InterruptedError
            committed += mine
        except InterruptedError:
            continue
    return committed


def test_a_reader_that_follows_misses_nothing(store: Store, seed: int) -> None:
    seen: list[tuple[int, str]] = []
    done = threading.Event()

    def follow() -> None:
        cursor = 0
        last_look = False
        while True:
            with store.read() as view:
                for fact in view.facts(cursor, 7):
                    assert isinstance(fact.body, JobHeld)
                    seen.append((fact.seq, fact.body.job))
            idle = not seen or seen[-1][0] == cursor
            cursor = seen[-1][0] if seen else 0
            if last_look and idle:
                return
            last_look = done.is_set() and idle

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        follower = pool.submit(follow)
        writers = [pool.submit(write_many, store, writer, seed + writer) for writer in range(WRITERS)]
        committed = [name for writer in writers for name in writer.result(60)]
        done.set()
        follower.result(60)
    assert [seq for seq, _ in seen] == sorted({seq for seq, _ in seen})
    assert sorted(name for _, name in seen) == sorted(committed)


def test_a_view_has_facts_and_records_of_one_instant(store: Store) -> None:
    """Each transaction adds a job and its fact; no view has a fact without its job."""

    def write() -> None:
        for number in range(40):
            with store.write() as tx:
                tx.append(held(samples.job(number).id), 1)
                tx.add(samples.job(number))

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        while not writer.done():
            with store.read() as view:
                facts, jobs = view.facts(0), view.count(JobRecord)
                jobs_later = view.count(JobRecord)
            assert len(facts) <= jobs == jobs_later
        writer.result()
    assert len(names(store)) == 40


def test_one_fact_by_its_sequence(store: Store) -> None:
    with store.write() as tx:
        first, second = (tx.append(body, 7) for body in (PolicyApplied(1), PolicyApplied(2)))
    with store.read() as view:
        assert view.fact(second) == Fact(second, 7, PolicyApplied(2))
        assert [view.fact(seq) for seq in (0, -1, second + 9)] == [None] * 3
        assert first < second


def test_a_fact_is_there_before_those_who_follow_facts_may_pass_it(postgres: SqlStore) -> None:
    """A transaction that began earlier may still append an earlier fact; who asks for one by its number has it."""
    with actors(postgres, 2) as (early, late):
        early.begin()
        early.do(lambda: early.tx.next_number("somebody"))
        with postgres.write() as tx:
            seq = tx.append(PolicyApplied(3), 9)
        with postgres.read() as view:
            assert (view.facts(seq - 1), view.fact(seq)) == ([], Fact(seq, 9, PolicyApplied(3)))
        early.end()
        assert late is not early
    with postgres.read() as view:
        assert [fact.seq for fact in view.facts(seq - 1)] == [seq]
