"""The memory store against a database, step by step: the same random calls have the same results and refusals."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.errors import ConstraintBroken, DuplicateRecord, InvariantBroken, StaleEpoch
from scheduler.core.facts import JobHeld
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import (
    AttemptRecord,
    CounterRecord,
    JobRecord,
    LeaseRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    NodeRecord,
    Record,
)
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.store.memory import MemoryStore
from scheduler.store.sql import SqlStore
from tests.stores import samples

pytestmark = pytest.mark.store

KINDS: tuple[type[Record], ...] = (
    *(JobRecord, AttemptRecord, NodeRecord, LeaseRecord, LedgerTxRecord, LedgerEntryRecord, CounterRecord),
)
Call = Callable[[Any], Any]
TRANSACTIONS, CALLS_MAX = 300, 5


class Stop(Exception):
    """Ends a block so that it rolls back."""


def small(rng: random.Random) -> int:
    """One of few numbers, so that calls meet."""
    return rng.randint(1, 3)


def record(rng: random.Random) -> Record:
    """A record that often exists already and sometimes breaks a rule."""
    number = small(rng)
    healthy = rng.randint(0, 3)
    reason = rng.choice([None, StopReason.EVICT, StopReason.CANCEL])
    choices: list[Record] = [
        samples.job(number, state=rng.choice(list(JobState)), losses=rng.choice((0, 1, 2, -1))),
        samples.attempt(number, state=rng.choice(list(AttemptState)), stop_reason=reason),
        samples.node(name=f"n{number}", registered=3, healthy=healthy, held=rng.randint(0, 4)),
        LeaseRecord(name="l", holder="h", epoch=number, expires_at_ms=0),
        samples.ledger_tx(number, idem_key=f"k{small(rng)}"),
        samples.leg(number, rng.randint(0, 2), rng.choice((-5, 5))),
    ]
    return rng.choice(choices)


def reading(rng: random.Random) -> Call:
    """A call of Reader."""
    kind = rng.choice(KINDS)
    where = (Where("state", rng.choice(("=", "!=")), rng.choice(list(JobState))),)
    order = rng.choice(((), ("-state",), ("losses", "-id")))
    after, limit = rng.randint(0, 5), rng.choice((1, 1_000))
    return rng.choice(
        [
            lambda view: view.select(kind, limit=limit),
            lambda view: view.select(JobRecord, *where, order=order, limit=limit),
            lambda view: view.count(kind),
            lambda view: view.total(LedgerEntryRecord, "amount", Where("amount", ">", 0)),
            lambda view: view.get(JobRecord, samples.job(after).id),
            lambda view: [fact.body for fact in view.facts(0, limit)],
        ]
    )


def writing(rng: random.Random) -> Call:
    """A call of Writer."""
    chosen, version, number = record(rng), small(rng), small(rng)
    legs: list[Record] = [samples.leg(number, 0, 5), samples.leg(number, 1, -5)]

    def change_as_read(tx: Writer) -> object:
        stored: Any = tx.get(type(chosen), *[getattr(chosen, name) for name in chosen.KEY])
        return stored and tx.change(chosen, version=getattr(stored, "version", 1))

    def book(tx: Writer) -> None:
        for part in (samples.ledger_tx(number, idem_key=f"k{number}"), *legs):
            tx.add(part)

    return rng.choice(
        [
            lambda tx: tx.add(chosen),
            lambda tx: tx.add_new(chosen),
            lambda tx: tx.change(chosen, version=version),
            change_as_read,
            change_as_read,
            book,
            lambda tx: tx.next_number("c") and None,
            lambda tx: tx.append(JobHeld(f"j{number}", "user"), number) and None,
            lambda tx: tx.fence("l", number),
            reading(rng),
        ]
    )


def outcome(call: Call, on: Reader | Writer) -> object:
    """What the call returns, or the class of what it raises."""
    try:
        return call(on)
    except (ConstraintBroken, DuplicateRecord, StaleEpoch, ValueError, InvariantBroken) as error:
        return type(error)


def transaction(store: Store, calls: list[Call], *, rolled_back: bool) -> list[object]:
    """The outcomes of a transaction's calls, and its own."""
    found: list[object] = []
    try:
        with store.write() as tx:
            found += [outcome(call, tx) for call in calls]
            if rolled_back:
                raise Stop
    except (ConstraintBroken, StaleEpoch, Stop) as error:
        found.append(type(error))
    return found


def everything(store: Store) -> list[object]:
    """All that is stored."""
    with store.read() as view:
        return [view.select(kind) for kind in KINDS] + [[fact.body for fact in view.facts(0)]]


def test_the_stores_agree(database: SqlStore, rng: random.Random) -> None:
    memory = MemoryStore()
    outcomes: dict[object, int] = {}
    for number in range(TRANSACTIONS):
        calls = [writing(rng) for _ in range(rng.randint(1, CALLS_MAX))]
        rolled_back = rng.random() < 0.1
        expected = transaction(memory, calls, rolled_back=rolled_back)
        assert transaction(database, calls, rolled_back=rolled_back) == expected, f"transaction {number}"
        for found in expected:
            key = found if isinstance(found, type | bool) else type(found)
            outcomes[key] = outcomes.get(key, 0) + 1
    assert everything(database) == everything(memory)
    # The premise: each sort of outcome was met.
    assert {True, False, ConstraintBroken, DuplicateRecord, StaleEpoch, Stop, list} <= outcomes.keys()
    assert all(everything(memory)[:4])


def test_versions_are_the_same_after_many_changes(database: SqlStore) -> None:
    memory = MemoryStore()
    for store in (database, memory):
        with store.write() as tx:
            tx.add(samples.node())
            for version in range(1, 20):
                assert tx.change(replace(samples.node(), held=version % 8), version=version)
    assert everything(database) == everything(memory)
