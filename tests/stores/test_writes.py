"""Transactions: inserts, guarded changes, rollback, refusals, counters and the ledger's balance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core.errors import ConstraintBroken, DuplicateRecord, InvariantBroken, StaleEpoch
from scheduler.core.facts import JobHeld
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import (
    AttemptRecord,
    CounterRecord,
    IdempotencyRecord,
    InvoiceRecord,
    JobRecord,
    LeaseRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    NodeRecord,
    Record,
)
from scheduler.services.ports import Store
from tests.stores import samples

pytestmark = pytest.mark.store
KEY = IdempotencyRecord(user="kim", key="k1", body_sha256="s", response_json="{}", created_at_ms=1)
INVOICE = InvoiceRecord(
    number="2026-1", org="o", period="2026-01", issued_at_ms=1, invoice_json="{}", sha256="s", issued_seq=1
)


class Stop(Exception):
    """Raised by tests to leave a block."""


def put(store: Store, *records: Record) -> None:
    """Add records in one transaction."""
    with store.write() as tx:
        for record in records:
            tx.add(record)


TAKEN: dict[str, tuple[Record, Record]] = {
    "key": (samples.job(1), samples.job(1, name="other")),
    "key of two parts": (KEY, replace(KEY, body_sha256="t")),
    "idempotency key of the ledger": (samples.ledger_tx(1), samples.ledger_tx(2, idem_key="usage:1")),
    "invoice of a period": (INVOICE, replace(INVOICE, number="2026-2")),
    "live attempt": (samples.attempt(1), samples.attempt(2)),
}


@pytest.mark.parametrize(("first", "second"), TAKEN.values(), ids=TAKEN.keys())
def test_taken_values(store: Store, first: Record, second: Record) -> None:
    put(store, first)
    with store.write() as tx:
        with pytest.raises(DuplicateRecord):
            tx.add(second)
        tx.add(samples.node())  # the refusal has not spoilt the transaction
    with pytest.raises(DuplicateRecord), store.write() as tx:
        tx.add(replace(samples.node(), name="node-2"))
        tx.add(second)
    with store.read() as view:
        assert (view.count(type(first)), view.count(NodeRecord)) == (1, 1)


@pytest.mark.parametrize(("first", "second"), TAKEN.values(), ids=TAKEN.keys())
def test_taken_values_inside_one_transaction(store: Store, first: Record, second: Record) -> None:
    with store.write() as tx:
        tx.add(first)
        with pytest.raises(DuplicateRecord):
            tx.add(second)
    with store.read() as view:
        assert view.select(type(first)) == [first]


def test_add_new(store: Store) -> None:
    with store.write() as tx:
        assert tx.add_new(KEY)
        assert not tx.add_new(replace(KEY, body_sha256="other"))
    with store.write() as tx:
        assert not tx.add_new(KEY)
        assert tx.get(IdempotencyRecord, "kim", "k1") == KEY
        assert tx.add_new(samples.ledger_tx(1))
        with pytest.raises(DuplicateRecord):
            tx.add_new(samples.ledger_tx(2, idem_key="usage:1"))
        assert tx.add_new(samples.node())
    with store.read() as view:
        assert view.count(LedgerTxRecord) == 1
        assert view.get(NodeRecord, "seoul", "node-1") == samples.node()


def test_the_next_attempt_comes_after_the_last_is_gone(store: Store) -> None:
    put(store, samples.attempt(1))
    with store.write() as tx:
        assert tx.change(samples.attempt(1, state=AttemptState.GONE), version=1)
        tx.add(samples.attempt(2))
        with pytest.raises(DuplicateRecord):
            tx.add(samples.attempt(3))
        tx.add(samples.attempt(3, state=AttemptState.GONE))
    with store.read() as view:
        assert [row.state for row in view.select(AttemptRecord)] == ["Gone", "Admitted", "Gone"]


def test_a_change_names_the_version_it_read(store: Store) -> None:
    put(store, samples.job(1))
    held = samples.job(1, state=JobState.HELD)
    with store.write() as tx:
        assert not tx.change(held, version=2)
        assert not tx.change(replace(held, id="absent"), version=1)
        assert tx.change(held, version=1)
        assert not tx.change(held, version=1)
        assert tx.change(replace(held, message="again"), version=2)
        assert tx.get(JobRecord, held.id) == replace(held, message="again", version=3)
    with store.read() as view:
        assert view.get(JobRecord, held.id) == replace(held, message="again", version=3)


def test_a_raised_block_leaves_nothing(store: Store) -> None:
    put(store, samples.job(1), LeaseRecord(name="l", holder="h", epoch=1, expires_at_ms=1))
    with pytest.raises(Stop), store.write() as tx:
        tx.add(samples.job(2))
        assert tx.add_new(KEY)
        assert tx.change(samples.job(1, state=JobState.HELD), version=1)
        tx.append(JobHeld("j", "user"), 5)
        assert tx.next_number("invoice") == 1
        tx.fence("l", 1)
        raise Stop
    with store.read() as view:
        assert view.select(JobRecord) == [samples.job(1)]
        assert (view.count(IdempotencyRecord), view.count(CounterRecord)) == (0, 0)
        assert view.facts(0) == []
    with store.write() as tx:
        assert tx.next_number("invoice") == 1


def test_counters_count_from_one_by_name(store: Store) -> None:
    with store.write() as tx:
        assert [tx.next_number("a"), tx.next_number("b"), tx.next_number("a")] == [1, 1, 2]
        assert tx.get(CounterRecord, "a") == CounterRecord(name="a", value=2, version=2)
    with store.write() as tx:
        assert tx.next_number("a") == 3


REFUSED: dict[str, tuple[Record, Record]] = {
    "illegal step": (samples.job(1), samples.job(1, state=JobState.SUCCEEDED)),
    "held above healthy": (samples.node(healthy=2), samples.node(healthy=2, held=3)),
    "held above registered": (samples.node(), samples.node(held=9)),
    "append-only": (KEY, replace(KEY, response_json="[]")),
    "bad value": (samples.job(1), samples.job(1, losses=-1)),
    "another stop reason": (
        samples.attempt(1, state=AttemptState.STOPPING, stop_reason=StopReason.EVICT),
        samples.attempt(1, state=AttemptState.STOPPING, stop_reason=StopReason.LOST),
    ),
    "no stop reason any more": (
        samples.attempt(1, state=AttemptState.STOPPING, stop_reason=StopReason.EVICT),
        samples.attempt(1, state=AttemptState.GONE),
    ),
}


@pytest.mark.parametrize(("before", "after"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_write_dooms_the_transaction(store: Store, before: Record, after: Record) -> None:
    put(store, before)
    with pytest.raises(ConstraintBroken), store.write() as tx:
        tx.add(samples.job(7))
        with pytest.raises(ConstraintBroken):
            tx.change(after, version=1)
        with pytest.raises(ConstraintBroken):
            tx.get(JobRecord, "x")
        with pytest.raises(ConstraintBroken):
            tx.add(samples.job(8))
    with store.read() as view:
        assert view.select(type(before)) == [before]
        assert view.get(JobRecord, samples.job(7).id) is None


def test_held_may_fall_and_stay_when_capacity_fell_below_it(store: Store) -> None:
    put(store, samples.node(held=6))
    with store.write() as tx:
        assert tx.change(samples.node(held=6, healthy=4), version=1)
        assert tx.change(samples.node(held=5, healthy=4), version=2)
        assert tx.change(samples.node(held=5, healthy=3), version=3)
    with pytest.raises(ConstraintBroken), store.write() as tx:
        tx.change(samples.node(held=6, healthy=3), version=4)


def test_the_first_stop_reason_is_set_once(store: Store) -> None:
    put(store, samples.attempt(1))
    stopping = samples.attempt(1, state=AttemptState.STOPPING, stop_reason=StopReason.CANCEL)
    with store.write() as tx:
        assert tx.change(stopping, version=1)
        assert tx.change(replace(stopping, message="asked twice"), version=2)
        assert tx.change(replace(stopping, state=AttemptState.GONE), version=3)


UNBALANCED: dict[str, tuple[Record, ...]] = {
    "legs do not sum to zero": (samples.ledger_tx(1), samples.leg(1, 0, 5), samples.leg(1, 1, -4)),
    "one leg": (samples.ledger_tx(1), samples.leg(1, 0, 5)),
    "legs of different units": (
        samples.ledger_tx(1),
        samples.leg(1, 0, 5),
        samples.leg(1, 1, -5, unit="milli_gpu_ms:x"),
    ),
    "legs without their transaction": (samples.leg(1, 0, 5), samples.leg(1, 1, -5)),
    "zero across two transactions": (
        *(samples.ledger_tx(1), samples.leg(1, 0, 5)),
        *(samples.ledger_tx(2), samples.leg(2, 0, -5)),
    ),
}


@pytest.mark.parametrize("records", UNBALANCED.values(), ids=UNBALANCED.keys())
def test_an_unbalanced_ledger_is_not_committed(store: Store, records: tuple[Record, ...]) -> None:
    with pytest.raises(ConstraintBroken, match="ledger"):
        put(store, *records)
    with store.read() as view:
        assert (view.count(LedgerTxRecord), view.count(LedgerEntryRecord)) == (0, 0)


def test_a_balanced_ledger_is_committed_in_any_order(store: Store) -> None:
    units = [samples.leg(1, 2, 7, unit="milli_gpu_ms:x"), samples.leg(1, 3, -7, unit="milli_gpu_ms:x")]
    put(store, samples.leg(1, 0, 5), *units, samples.leg(1, 1, -5), samples.ledger_tx(1), samples.ledger_tx(2))
    with store.read() as view:
        assert view.total(LedgerEntryRecord, "amount") == 0
        assert view.count(LedgerEntryRecord) == 4


def test_legs_are_never_added_later(store: Store) -> None:
    put(store, samples.ledger_tx(1))
    with pytest.raises(ConstraintBroken, match="ledger"):
        put(store, samples.leg(1, 0, 5), samples.leg(1, 1, -5))


def test_a_fence_holds_for_its_epoch_only(store: Store) -> None:
    put(store, LeaseRecord(name="allocator", holder="a", epoch=3, expires_at_ms=9))
    with store.write() as tx:
        tx.fence("allocator", 3)
        tx.add(samples.job(1))
    for lease, epoch in (("allocator", 2), ("allocator", 4), ("settler", 1)):
        with pytest.raises(StaleEpoch), store.write() as tx:
            with pytest.raises(StaleEpoch):
                tx.fence(lease, epoch)
            tx.add(samples.job(2))  # a stale writer cannot go on
    with store.read() as view:
        assert view.count(JobRecord) == 1


def test_views_end_with_their_block(store: Store) -> None:
    with store.read() as view:
        assert view.count(JobRecord) == 0
    with store.write() as tx:
        tx.add(samples.job(1))
    with pytest.raises(InvariantBroken):
        view.get(JobRecord, "x")
    with pytest.raises(InvariantBroken):
        tx.add(samples.job(2))
    with pytest.raises(InvariantBroken):
        tx.facts(0)


def test_a_thread_writes_in_one_transaction_at_a_time(store: Store) -> None:
    with store.write() as tx:
        tx.add(samples.job(1))
        with pytest.raises(InvariantBroken), store.write():
            pass
        with store.read() as view:
            assert view.count(JobRecord) == 0
    with store.read() as view:
        assert view.count(JobRecord) == 1
