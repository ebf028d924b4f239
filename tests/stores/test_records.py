"""Every record kind goes in and comes out unchanged, and what breaks a table's rule does not go in."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any

import pytest

from scheduler.core.errors import ConstraintBroken
from scheduler.core.records import (
    RECORD_KINDS,
    ClusterRecord,
    CreditNoteRecord,
    InvoiceRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    PeriodRecord,
    PolicyRecord,
    RankRecord,
    Record,
    SliceRecord,
)
from scheduler.core.rules import INT_MAX, shape_of
from scheduler.services.ports import Store
from tests.stores import samples

pytestmark = pytest.mark.store
SAMPLES = 12


def draw_many(kind: type[Record], rng: random.Random) -> list[Any]:
    """Records with different keys; ledger legs are left to their own tests."""
    drawn: dict[Any, Any] = {}
    for number in range(1, SAMPLES + 1):
        given = {"seq": number, "reverses_seq": 0, "idem_key": f"key {number}"} if kind is LedgerTxRecord else {}
        given = {"org": f"org {number}"} if kind is InvoiceRecord else given
        given = {"proposal": f"p {number}", "place": number} if kind is CreditNoteRecord else given
        record = samples.drawn(kind, rng, **given)
        drawn[shape_of(kind).key(record)] = record
    return list(drawn.values())


@pytest.mark.parametrize("kind", [kind for kind in RECORD_KINDS if kind is not LedgerEntryRecord])
def test_round_trip(store: Store, kind: type[Record], rng: random.Random) -> None:
    records = draw_many(kind, rng)
    key = shape_of(kind).key
    with store.write() as tx:
        for record in records:
            tx.add(record)
    with store.read() as view:
        for record in records:
            found = view.get(kind, *key(record))
            assert found == record
            types = [type(getattr(found, field.name)) for field in fields(kind)]
            assert types == [type(getattr(record, field.name)) for field in fields(kind)]
        assert view.select(kind, limit=SAMPLES) == sorted(records, key=key)
        assert view.count(kind) == len(records)


@pytest.mark.parametrize("kind", [kind for kind in RECORD_KINDS if shape_of(kind).versioned])
def test_change_replaces_every_field(store: Store, kind: type[Record], rng: random.Random) -> None:
    before: Any = samples.drawn(kind, rng, version=7)
    after: Any = samples.drawn(kind, rng, **{name: getattr(before, name) for name in kind.KEY})
    kept = {name: getattr(before, name) for name in ("state", "stop_reason", "held") if hasattr(before, name)}
    after = replace(after, **kept, version=99)
    with store.write() as tx:
        tx.add(before)
    with store.write() as tx:
        assert tx.change(after, version=7)
        assert not tx.change(after, version=7)
    with store.read() as view:
        assert view.get(kind, *shape_of(kind).key(after)) == replace(after, version=8)


def test_legs_round_trip(store: Store) -> None:
    legs: list[Record] = [samples.leg(1, 0, -(2**62)), samples.leg(1, 1, 2**62, account="두레")]
    with store.write() as tx:
        tx.add(samples.ledger_tx(1))
        for record in legs:
            tx.add(record)
    with store.read() as view:
        assert view.select(LedgerEntryRecord) == legs


SLICE: dict[str, Any] = {"start_ms": 5, "end_ms": 9, "gpus": 1, "held_milli_gpu_ms": 4_000, "billed_milli_gpu_ms": 9}
BROKEN: dict[str, tuple[type[Record], dict[str, Any]]] = {
    "held above registered": (type(samples.node()), {"registered": 2, "healthy": 2, "held": 3}),
    "held below zero": (type(samples.node()), {"registered": 2, "held": -1}),
    "healthy above registered": (type(samples.node()), {"registered": 2, "healthy": 3}),
    "new node holds more than healthy": (type(samples.node()), {"registered": 4, "healthy": 2, "held": 3}),
    "negative instant": (type(samples.job()), {"submitted_at_ms": -1}),
    "no workers": (type(samples.job()), {"nodes": 0}),
    "no GPUs": (type(samples.attempt()), {"gpus": 0}),
    "version 0": (type(samples.job()), {"version": 0}),
    "empty key": (type(samples.job()), {"id": ""}),
    "unknown word": (PeriodRecord, {"state": "ajar"}),
    "unknown evidence": (RankRecord, {"evidence": "guessed"}),
    "state of no enumeration": (type(samples.job()), {"state": "Lost"}),
    "text where a number belongs": (type(samples.job()), {"nodes": "2"}),
    "number where text belongs": (type(samples.job()), {"name": 5}),
    "boolean where a number belongs": (type(samples.job()), {"losses": True}),
    "number where a boolean belongs": (type(samples.attempt()), {"settled": 1}),
    "nothing where something belongs": (type(samples.job()), {"message": None}),
    "fraction": (type(samples.job()), {"losses": 0.5}),
    "more than 64 bits": (type(samples.job()), {"submitted_at_ms": INT_MAX + 1}),
    "less than 64 bits": (ClusterRecord, {"clock_offset_ms": -(2**63) - 1}),
    "NUL": (type(samples.job()), {"message": "a\0b"}),
    "half a surrogate pair": (type(samples.job()), {"message": "\ud800"}),
    "empty slice": (SliceRecord, SLICE | {"end_ms": 5}),
    "billed above held": (SliceRecord, SLICE | {"billed_milli_gpu_ms": 4_001}),
    "negative usage": (SliceRecord, SLICE | {"billed_milli_gpu_ms": -1}),
    "reverses a later one": (LedgerTxRecord, {"seq": 3, "reverses_seq": 4}),
    "ends before it begins": (
        LedgerTxRecord,
        {"seq": 3, "reverses_seq": 0, "occurred_from_ms": 5, "occurred_to_ms": 4},
    ),
    "policy version 0": (PolicyRecord, {"version": 0}),
}


@pytest.mark.parametrize(("kind", "values"), BROKEN.values(), ids=BROKEN.keys())
def test_a_record_that_breaks_a_rule_is_refused(
    store: Store, kind: type[Record], values: dict[str, Any], rng: random.Random
) -> None:
    record = replace(samples.drawn(kind, rng), **values)
    with pytest.raises(ConstraintBroken, match=shape_of(kind).table), store.write() as tx:
        tx.add(record)
    with store.read() as view:
        assert view.count(kind) == 0


def test_edges_are_allowed(store: Store) -> None:
    records: list[Record] = [
        samples.node(registered=0, healthy=0),
        samples.node(name="node-2", registered=4, healthy=4, held=4),
        samples.job(1, submitted_at_ms=INT_MAX),
        ClusterRecord(name="busan", clock_offset_ms=-(2**63)),
        samples.drawn(SliceRecord, random.Random(1), **SLICE | {"billed_milli_gpu_ms": 4_000}),
    ]
    with store.write() as tx:
        for record in records:
            tx.add(record)
    with store.read() as view:
        assert [view.get(type(record), *shape_of(type(record)).key(record)) for record in records] == records
