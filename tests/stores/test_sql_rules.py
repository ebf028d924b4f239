"""The last wall: what the databases refuse even when the statement does not come from Dure."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.errors import ConstraintBroken, DuplicateRecord
from scheduler.core.facts import JobHeld
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.records import RECORD_KINDS, LedgerEntryRecord, LedgerTxRecord, NodeRecord, Record, SliceRecord
from scheduler.core.rules import shape_of, table_name
from scheduler.services.ports import Reader
from scheduler.store.sql import SqlStore
from scheduler.store.tables import append_only_tables
from tests.stores import samples

pytestmark = pytest.mark.store
Sql = Callable[[str], None]
APPEND_ONLY = [kind for kind in RECORD_KINDS if kind.APPEND_ONLY]


def fill(store: SqlStore, rng: random.Random) -> None:
    """One record of every append-only kind, and one fact."""
    with store.write() as tx:
        for kind in APPEND_ONLY:
            if kind is LedgerTxRecord:
                tx.add(samples.ledger_tx(1))
            elif kind is LedgerEntryRecord:
                tx.add(samples.leg(1, 0, 3))
                tx.add(samples.leg(1, 1, -3))
            else:
                tx.add(samples.drawn(kind, rng))
        tx.append(JobHeld("j", "user"), 1)


def contents(view: Reader) -> list[Any]:
    """Everything append-only in the store."""
    return [view.select(kind) for kind in APPEND_ONLY] + [view.facts(0)]


def test_append_only_tables_refuse_to_change(database: SqlStore, sql: Sql, rng: random.Random) -> None:
    fill(database, rng)
    with database.read() as view:
        before = contents(view)
    assert len(append_only_tables()) == len(APPEND_ONLY) + 1 >= 10
    first_column = {table_name(kind): shape_of(kind).names[0] for kind in APPEND_ONLY} | {"fact": "kind"}
    for table in append_only_tables():
        column = first_column[table]
        statements = [f'UPDATE "{table}" SET "{column}" = "{column}"', f'DELETE FROM "{table}"']
        if database.dialect == "postgresql":
            statements.append(f'TRUNCATE "{table}" CASCADE')
        for statement in statements:
            with pytest.raises(ConstraintBroken, match="append-only"):
                sql(statement)
    with database.read() as view:
        assert contents(view) == before


def test_tables_that_change_may_be_changed(database: SqlStore, sql: Sql) -> None:
    with database.write() as tx:
        tx.add(samples.node())
    sql("UPDATE node SET held = 3, version = 2")
    with database.read() as view:
        assert view.select(NodeRecord) == [samples.node(held=3, version=2)]
    sql("DELETE FROM node")


NODE, JOB = "UPDATE node SET ", "UPDATE job SET "
REFUSED = {
    "held raised above registered": NODE + "held = 9",
    "held below zero": NODE + "held = -1",
    "healthy above registered": NODE + "healthy = 9",
    "held raised above healthy": NODE + "healthy = 4, held = 5",
    "unknown state": JOB + "state = 'Lost'",
    "unknown holder": JOB + "held_by = 'god'",
    "negative instant": JOB + "submitted_at_ms = -1",
    "no workers": JOB + "nodes = 0",
    "nothing": JOB + "name = NULL",
    "unknown reason": "UPDATE attempt SET stop_reason = 'tired'",
    "unknown tier": "UPDATE attempt SET tier = 'gold'",
    "stop reason taken back": "UPDATE attempt SET stop_reason = NULL",
    "empty key": "UPDATE node SET name = ''",
    "new node that holds too much": "INSERT INTO node SELECT 'c', 'n', 'f', 8, 2, 3, schedulable, 0, 1 FROM node",
    "text for a number": JOB + "nodes = 'many'",
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
def test_checks(database: SqlStore, sql: Sql, statement: str) -> None:
    records: list[Record] = [
        samples.node(held=4),
        samples.job(1),
        samples.attempt(1, state=AttemptState.STOPPING, stop_reason=StopReason.EVICT),
    ]
    with database.write() as tx:
        for record in records:
            tx.add(record)
    with pytest.raises(ConstraintBroken):
        sql(statement)
    with database.read() as view:
        assert [view.select(type(record))[0] for record in records] == records


def test_two_live_attempts_of_one_job_are_refused(database: SqlStore, sql: Sql) -> None:
    with database.write() as tx:
        tx.add(samples.attempt(1))
    columns = ", ".join(f'"{name}"' for name in shape_of(type(samples.attempt())).names)
    copy = columns.replace('"number"', "2")
    with pytest.raises(DuplicateRecord):
        sql(f"INSERT INTO attempt ({columns}) SELECT {copy} FROM attempt")
    sql("UPDATE attempt SET state = 'Gone'")
    live = re.sub('"state"', "'Admitted'", copy)
    sql(f"INSERT INTO attempt ({columns}) SELECT {live} FROM attempt")


def test_legs_without_their_transaction_are_refused(database: SqlStore, sql: Sql) -> None:
    with pytest.raises(ConstraintBroken):
        sql("INSERT INTO ledger_entry (seq, line, account, unit, amount) VALUES (9, 0, 'a', 'microwon', 0)")


def test_postgresql_refuses_an_unbalanced_transaction_at_commit(postgres: SqlStore) -> None:
    with postgres.write() as tx:
        tx.add(samples.ledger_tx(1))
    legs = "INSERT INTO ledger_entry (seq, line, account, unit, amount) VALUES "
    with pytest.raises(ConstraintBroken, match="sum to zero"), postgres.schema() as connection:
        connection.exec_driver_sql(legs + "(1, 0, 'a', 'microwon', 5)")
        connection.exec_driver_sql(legs + "(1, 1, 'b', 'microwon', -4)")
    with postgres.schema() as connection:
        connection.exec_driver_sql(legs + "(1, 0, 'a', 'microwon', 5)")
        connection.exec_driver_sql(legs + "(1, 1, 'b', 'microwon', -5)")


def test_slices_have_a_length_and_are_billed_within_what_was_held(database: SqlStore, rng: random.Random) -> None:
    good = samples.drawn(SliceRecord, rng, start_ms=5, end_ms=9, held_milli_gpu_ms=10, billed_milli_gpu_ms=10)
    row = {name: getattr(good, name) for name in shape_of(SliceRecord).names}
    marks = {"sqlite": "?", "postgresql": "%s"}[database.dialect]
    columns = ", ".join(f'"{name}"' for name in row)
    insert = f"INSERT INTO slice ({columns}) VALUES ({', '.join([marks] * len(row))})"
    for wrong in ({"end_ms": 5}, {"billed_milli_gpu_ms": 11}, {"gpus": 0}, {"tier": "gold"}, {"evidence": ""}):
        values = tuple(str(value) if isinstance(value, str) else value for value in (row | wrong).values())
        with pytest.raises(ConstraintBroken), database.schema() as connection:
            connection.exec_driver_sql(insert, values)
