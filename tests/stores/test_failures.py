"""What happens when the database does not play along: Retry where the same call may succeed, one sentence always."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from scheduler.core.errors import ConstraintBroken, DuplicateRecord, Fatal, Retry
from scheduler.core.lifecycle import JobState
from scheduler.core.records import JobRecord
from scheduler.store.engines import sqlite_engines
from scheduler.store.failures import meaning
from scheduler.store.open import open_store
from scheduler.store.sql import SqlStore
from tests.stores import samples
from tests.stores.actors import actors
from tests.support.postgres import SUPERUSER, PostgresServer

pytestmark = pytest.mark.store


def postgresql_error(state: str) -> psycopg.Error:
    """An error as the server sends it."""
    return psycopg.errors.lookup(state)("what the server says")


STATES = {
    "serialisation failure": ("40001", Retry),
    "deadlock": ("40P01", Retry),
    "lock timeout": ("55P03", Retry),
    "statement timeout": ("57014", Retry),
    "server stops": ("57P01", Retry),
    "server starts": ("57P03", Retry),
    "too many connections": ("53300", Retry),
    "disk full": ("53100", Retry),
    "out of memory": ("53200", Retry),
    "a limit of the server's settings": ("53400", Retry),
    "disk does not answer": ("58030", Retry),
    "became a replica": ("25006", Retry),
    "connection lost": ("08006", Retry),
    "unique": ("23505", DuplicateRecord),
    "check": ("23514", ConstraintBroken),
    "restrict": ("23001", ConstraintBroken),
    "foreign key": ("23503", ConstraintBroken),
    "exclusion": ("23P01", ConstraintBroken),
    "number out of range": ("22003", ConstraintBroken),
    "key too long for an index": ("54000", ConstraintBroken),
    "no such table": ("42P01", Fatal),
    "no right": ("42501", Fatal),
    "a file of the server is missing": ("58P01", Fatal),
}


@pytest.mark.parametrize(("state", "kind"), STATES.values(), ids=STATES.keys())
def test_meanings_of_postgresql(state: str, kind: type[Exception]) -> None:
    assert type(meaning(postgresql_error(state))) is kind


def test_other_meanings() -> None:
    assert isinstance(meaning(PoolTimeout("no connection became free")), Retry)
    assert isinstance(meaning(psycopg.OperationalError("connection refused")), Retry)
    assert isinstance(meaning(OverflowError("int too big")), ConstraintBroken)


def test_a_killed_session_is_a_retry_and_the_next_call_works(
    postgres: SqlStore, postgres_server: PostgresServer, postgres_shared: str
) -> None:
    address = postgres_server.url(postgres_shared, user=SUPERUSER).replace("postgresql+psycopg", "postgresql", 1)
    with pytest.raises(Retry), postgres.write() as tx:
        tx.add(samples.job(1))
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        tx.add(samples.job(2))
    with pytest.raises(Retry), postgres.write() as tx:
        tx.add(samples.job(1))
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    with postgres.write() as tx:
        tx.add(samples.job(3))
    with postgres.read() as view:
        assert view.select(JobRecord) == [samples.job(3)]


def test_a_deadlock_ends_for_one_with_retry(postgres: SqlStore) -> None:
    with postgres.write() as tx:
        tx.add(samples.job(1))
        tx.add(samples.job(2))
    with actors(postgres, 2) as (one, other):
        for actor, number in ((one, 1), (other, 2)):
            actor.begin()
            first = samples.job(number, state=JobState.HELD)
            assert actor.do(partial(actor.tx.change, first, version=1))
        crossed = [
            one.start(lambda: one.tx.change(samples.job(2, losses=1), version=1)),
            other.start(lambda: other.tx.change(samples.job(1, losses=1), version=1)),
        ]
        failed = [future.exception(30) for future in crossed]
        assert [type(error) for error in failed if error] == [Retry]
        loser, winner = (one, other) if isinstance(failed[0], Retry) else (other, one)
        with pytest.raises(Retry):  # doomed: it cannot go on as if nothing had happened
            loser.do(lambda: loser.tx.count(JobRecord))
        with pytest.raises(Retry):
            loser.end()
        winner.end()


def test_a_server_that_is_not_there_is_a_retry() -> None:
    with pytest.raises(Retry, match="cannot be used now"):
        open_store("postgresql://nobody@127.0.0.1:1/none", migrate=True)


def test_a_file_that_another_process_writes_is_a_retry(sqlite_url: str) -> None:
    path = Path(str(make_url(sqlite_url).database))
    other = sqlite3.connect(path, isolation_level=None)
    store = SqlStore(*sqlite_engines(path, busy_ms=50))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Retry, match="locked"), store.write() as tx:
        tx.add(samples.job(1))
    with store.read() as view:
        assert view.count(JobRecord) == 0
    other.execute("ROLLBACK")
    with store.write() as tx:
        tx.add(samples.job(1))
    other.close()
    store.close()


def test_a_full_disk_is_a_retry_that_loses_nothing(sqlite: SqlStore) -> None:
    with sqlite.write() as tx:
        tx.add(samples.job(1))
    with sqlite.schema() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Retry, match="full"), sqlite.write() as tx:
        for number in range(2, 2_000):
            tx.add(samples.job(number))
    with sqlite.schema() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    with sqlite.write() as tx:
        tx.add(samples.job(2))
    with sqlite.read() as view:
        assert view.select(JobRecord) == [samples.job(1), samples.job(2)]


def test_connections_are_durable_and_keep_the_rules(sqlite: SqlStore) -> None:
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    with sqlite.schema() as connection:
        assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas} == pragmas


def test_a_reader_cannot_write(sqlite_url: str) -> None:
    reader, writer = sqlite_engines(Path(str(make_url(sqlite_url).database)))
    with reader.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM job")
    reader.dispose()
    writer.dispose()
