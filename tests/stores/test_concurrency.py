"""Writers against writers and readers: snapshots, guarded changes, gapless counters, fences, one insert of many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest

from scheduler.core.errors import Retry, StaleEpoch
from scheduler.core.lifecycle import JobState
from scheduler.core.records import CounterRecord, IdempotencyRecord, JobRecord, LeaseRecord, NodeRecord
from scheduler.services.ports import Store, Where
from scheduler.store.sql import SqlStore
from tests.stores import samples
from tests.stores.actors import Actor, actors

pytestmark = pytest.mark.store
T = TypeVar("T")
THREADS = 8
TRIES_MAX = 50


def at_once(act: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """Run ``act(0)`` to ``act(threads - 1)`` in threads that start together."""
    gate = threading.Barrier(threads)

    def wait_and_act(number: int) -> T:
        gate.wait(30)
        return act(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(wait_and_act, range(threads), timeout=60))


def repeated(act: Callable[[], T]) -> T:
    """Call until it does not raise Retry, as every loop of Dure does."""
    for _ in range(TRIES_MAX):
        try:
            return act()
        except Retry:
            continue
    raise AssertionError(f"Retry {TRIES_MAX} times")


def test_a_view_stays_as_it_was_and_blocks_nobody(store: Store) -> None:
    with store.write() as tx:
        tx.add(samples.job(1))
    with actors(store, 1) as (reader,), store.read() as fresh:
        reader.look()
        assert fresh.count(JobRecord) == 1
        with store.write() as tx:
            tx.add(samples.job(2))
            assert tx.change(samples.job(1, state=JobState.HELD), version=1)
        assert reader.do(lambda: reader.view.select(JobRecord)) == [samples.job(1)]
        assert reader.do(lambda: reader.view.count(JobRecord, Where("state", "=", JobState.HELD))) == 0
        assert fresh.count(JobRecord) == 1
        with store.write() as tx:
            assert tx.change(samples.job(1, message="again", state=JobState.HELD), version=2)
        assert reader.do(lambda: reader.view.get(JobRecord, samples.job(1).id)) == samples.job(1)
        reader.end()
        reader.look()
        assert reader.do(lambda: reader.view.count(JobRecord)) == 2


def test_nobody_sees_what_is_not_committed(store: Store) -> None:
    with actors(store, 2) as (writer, reader):
        writer.begin()
        writer.do(lambda: writer.tx.add(samples.job(1)))
        reader.look()
        assert reader.do(lambda: reader.view.count(JobRecord)) == 0
        writer.end()
        assert reader.do(lambda: reader.view.count(JobRecord)) == 0
        reader.end()
        reader.look()
        assert reader.do(lambda: reader.view.count(JobRecord)) == 1


def test_every_guarded_change_that_wins_counts(store: Store) -> None:
    with store.write() as tx:
        tx.add(samples.node(registered=99, healthy=99))

    def take(number: int) -> bool:
        def attempt() -> bool:
            with store.read() as view:
                (node,) = view.select(NodeRecord)
            with store.write() as tx:
                return tx.change(replace(node, held=node.held + 1, seen_at_ms=number), version=node.version)

        return repeated(attempt)

    won = 0
    for _ in range(5):
        won += sum(at_once(take))
    with store.read() as view:
        (node,) = view.select(NodeRecord)
    assert won >= 5
    assert (node.held, node.version) == (won, won + 1)


def test_counters_have_no_gaps_under_threads_and_rollbacks(store: Store) -> None:
    def take(number: int) -> list[int]:
        mine = []
        for round_ in range(12):

            def attempt(fails: bool = (number + round_) % 4 == 0) -> int:
                with store.write() as tx:
                    taken = tx.next_number("invoice")
                    tx.add(samples.ledger_tx(taken))
                    if fails:
                        raise InterruptedError
                return taken

            try:
                mine.append(repeated(attempt))
            except InterruptedError:
                continue
        return mine

    taken = [number for mine in at_once(take) for number in mine]
    assert sorted(taken) == list(range(1, THREADS * 12 * 3 // 4 + 1))
    with store.read() as view:
        assert view.get(CounterRecord, "invoice") == CounterRecord(name="invoice", value=len(taken), version=len(taken))


def test_of_many_equal_inserts_one_is_new(store: Store) -> None:
    def insert(number: int) -> bool:
        record = IdempotencyRecord(user="kim", key="k", body_sha256="s", response_json=str(number), created_at_ms=1)

        def attempt() -> bool:
            with store.write() as tx:
                new = tx.add_new(record)
                found = tx.get(IdempotencyRecord, "kim", "k")
                assert found is not None
                assert (found == record) == new
                return new

        return repeated(attempt)

    assert sorted(at_once(insert)) == [False] * (THREADS - 1) + [True]
    with store.read() as view:
        assert view.count(IdempotencyRecord) == 1


def test_an_insert_waits_for_the_outcome_of_an_equal_one(postgres: SqlStore) -> None:
    with actors(postgres, 2) as (first, second):
        for outcome in (None, RuntimeError("rolled back")):
            record = samples.job(1 if outcome else 2)
            first.begin()
            first.do(partial(first.tx.add, record))
            second.begin()
            new = second.start(partial(second.tx.add_new, record))
            waits_for_lock(postgres)
            first.end(outcome)
            assert new.result(30) == (outcome is not None)
            second.end()


def waits_for_lock(store: SqlStore) -> None:
    """Return when some session of the database waits for another one's transaction."""
    deadline = time.monotonic() + 30
    while True:
        with store.schema() as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if connection.exec_driver_sql(query).scalar():
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_epochs(store: Store) -> None:
    """The old holder cannot write once the new one has the lease."""
    lease = LeaseRecord(name="allocator", holder="old", epoch=1, expires_at_ms=10)
    with store.write() as tx:
        tx.add(lease)
    with store.write() as tx:
        tx.fence("allocator", 1)
        tx.add(samples.job(1))
    with store.write() as tx:
        assert tx.change(replace(lease, holder="new", epoch=2), version=1)
    with pytest.raises(StaleEpoch), store.write() as tx:
        tx.fence("allocator", 1)
        tx.add(samples.job(2))
    with store.write() as tx:
        tx.fence("allocator", 2)
        tx.add(samples.job(3))
    with store.read() as view:
        assert [job.submitted_seq for job in view.select(JobRecord)] == [1, 3]


def test_the_lease_is_not_taken_while_its_holder_writes(store: Store) -> None:
    """After the fence the old holder commits first, or the new holder's epoch is seen: never both."""
    lease = LeaseRecord(name="allocator", holder="old", epoch=1, expires_at_ms=10)
    with store.write() as tx:
        tx.add(lease)
    order: list[str] = []

    def take_over() -> None:
        with store.write() as tx:
            assert tx.change(replace(lease, holder="new", epoch=2), version=1)
            order.append("taken")

    with actors(store, 2) as (old, new):
        old.begin()
        old.do(lambda: old.tx.fence("allocator", 1))
        taking = new.start(take_over)
        if isinstance(store, SqlStore) and store.dialect == "postgresql":
            waits_for_lock(store)
        old.do(lambda: old.tx.add(samples.job(1)))
        old.do(lambda: order.append("written"))
        old.end()
        taking.result(30)
    assert order == ["written", "taken"]


def test_fenced_writers_of_one_epoch_do_not_wait_for_each_other(postgres: SqlStore) -> None:
    with postgres.write() as tx:
        tx.add(LeaseRecord(name="settler", holder="a", epoch=4, expires_at_ms=10))
    with actors(postgres, 2) as (one, other):
        for actor in (one, other):
            actor.begin()
            fence(actor)
        other.end()
        one.end()


def fence(actor: Actor) -> None:
    """The actor fences its transaction."""
    actor.do(lambda: actor.tx.fence("settler", 4))


def test_a_change_that_waited_sees_the_winner(postgres: SqlStore) -> None:
    with postgres.write() as tx:
        tx.add(samples.job(1))
    held = samples.job(1, state=JobState.HELD)
    with actors(postgres, 2) as (first, second):
        first.begin()
        assert first.do(lambda: first.tx.change(held, version=1))
        second.begin()
        late = second.start(lambda: second.tx.change(samples.job(1, message="late"), version=1))
        waits_for_lock(postgres)
        first.end()
        assert late.result(30) is False
        second.do(lambda: second.tx.add(samples.job(2)))
        second.end()
    with postgres.read() as view:
        assert view.select(JobRecord) == [replace(held, version=2), samples.job(2)]
