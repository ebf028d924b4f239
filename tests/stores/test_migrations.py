"""Migrations: they make what the models say, go up and down, and never run on what they do not know."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Inspector, inspect, make_url

from scheduler.core.errors import ConstraintBroken, Fatal
from scheduler.core.facts import JobHeld
from scheduler.core.lifecycle import JobState
from scheduler.store import migrate, triggers
from scheduler.store.engines import postgresql_engines, sqlite_engines
from scheduler.store.open import SCHEMA_NEWER, SCHEMA_OLDER, UNRELEASED, open_store
from scheduler.store.schema_text import schema_text
from scheduler.store.sql import SqlStore
from scheduler.store.tables import METADATA
from tests.stores import samples

pytestmark = pytest.mark.store
NewDatabase = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """A factory of URLs of empty databases without a schema."""
    if request.param == "sqlite":
        numbers = iter(range(100))
        return lambda: f"sqlite:///{tmp_path / f'new-{next(numbers)}.db'}"
    factory: NewDatabase = request.getfixturevalue("new_postgres_database")
    return factory


def opened(url: str, *, allowed: bool = True) -> SqlStore:
    """The database, which is no memory store."""
    store = open_store(url, migrate=allowed)
    assert isinstance(store, SqlStore)
    return store


def unmigrated(url: str) -> SqlStore:
    """A store without any check of its schema."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqlStore(*sqlite_engines(Path(str(parsed.database))))
    return SqlStore(*postgresql_engines(parsed))


def described(connection: Connection) -> dict[str, Any]:
    """Columns, keys, checks and indexes of every table, as the database itself reports them."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index')")
        texts = {row.name: " ".join(str(row.sql).replace("\t", " ").split()) for row in rows}
        return {name: text for name, text in texts.items() if not name.startswith(("sqlite_", "alembic"))}
    inspector: Inspector = inspect(connection)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table),
            sorted(map(str, inspector.get_foreign_keys(table))),
            sorted(map(str, inspector.get_check_constraints(table))),
            sorted(map(str, inspector.get_indexes(table))),
        )
        for table in sorted(inspector.get_table_names())
        if table != "alembic_version"
    }


def objects(connection: Connection) -> int:
    """How many tables, indexes, triggers, sequences and functions of ours there are, Alembic's own table aside."""
    if connection.dialect.name == "sqlite":
        query = "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND tbl_name <> 'alembic_version'"
    else:
        query = (
            "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relname NOT LIKE 'alembic%%') + (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)"
            " + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)"
        )
    return int(connection.exec_driver_sql(query).scalar() or 0)


def test_migrations_make_what_the_models_say(new_database: NewDatabase) -> None:
    migrated, modelled = opened(new_database()), unmigrated(new_database())
    try:
        with modelled.schema() as connection:
            METADATA.create_all(connection)
            expected = described(connection)
        with migrated.schema() as connection:
            assert described(connection) == expected
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, METADATA) == []
    finally:
        migrated.close()
        modelled.close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_first_version_is_the_models_text(dialect: str) -> None:
    """Holds while there is one version; the second version removes this test."""
    assert migrate.known() == {"0001"}
    script = migrate.FOLDER / "sql" / f"0001_{dialect}.sql"
    assert script.read_text(encoding="utf-8") == schema_text(dialect), (
        f"python -m scheduler.store.schema_text {dialect}"
    )


def test_down_and_up_again(new_database: NewDatabase) -> None:
    store = opened(new_database())
    try:
        with store.schema() as connection:
            before, count = described(connection), objects(connection)
            assert count > 60
            migrate.downgrade(connection, "base")
            assert objects(connection) == 0
            assert migrate.current(connection) == ""
        with store.schema() as connection:
            migrate.upgrade(connection)
            assert (described(connection), objects(connection)) == (before, count)
        with store.write() as tx:
            tx.add(samples.job(1))
            tx.append(JobHeld("j", "user"), 1)
    finally:
        store.close()


def test_a_failed_upgrade_leaves_the_database_as_it_was(new_database: NewDatabase) -> None:
    store = unmigrated(new_database())
    try:
        with pytest.raises(ZeroDivisionError), store.schema() as connection:
            migrate.upgrade(connection)
            raise ZeroDivisionError
        with store.schema() as connection:
            assert objects(connection) == 0
    finally:
        store.close()


def test_an_older_database_is_refused_unless_migration_is_allowed(new_database: NewDatabase) -> None:
    url = new_database()
    with pytest.raises(Fatal, match=r"^the database has no schema, this program needs \d+$") as refused:
        opened(url, allowed=False)
    assert refused.value.code == SCHEMA_OLDER
    opened(url).close()
    opened(url, allowed=False).close()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_newer_database_is_refused(new_database: NewDatabase, allowed: bool) -> None:
    url = new_database()
    store = opened(url)
    with store.schema() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        before = described(connection)
    with pytest.raises(
        Fatal, match=r"^the database has schema 9999, which is newer than this program's \d+$"
    ) as refused:
        opened(url, allowed=allowed)
    assert refused.value.code == SCHEMA_NEWER
    with store.schema() as connection:
        assert described(connection) == before
    store.close()


OLDER_TEXTS = {
    "a table is missing": "DROP TABLE waiting",
    "a column is missing": "ALTER TABLE job DROP COLUMN message",
    "a column has another name": "ALTER TABLE invoice RENAME COLUMN issued_seq TO issued",
}


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("change", OLDER_TEXTS.values(), ids=OLDER_TEXTS.keys())
def test_a_database_of_an_unreleased_text_is_refused(new_database: NewDatabase, change: str, allowed: bool) -> None:
    """It has the version's number, and not what the version is today."""
    url = new_database()
    store = opened(url)
    with store.schema() as connection:
        triggers.remove(connection)
        connection.exec_driver_sql(change)
        before = described(connection)
    with pytest.raises(Fatal, match=r"^this database was made by an unreleased version of Dure$") as refused:
        opened(url, allowed=allowed)
    assert (refused.value.code, refused.value.fix) == (UNRELEASED, "start with a new one")
    with store.schema() as connection:
        assert described(connection) == before
    store.close()


def test_many_processes_may_migrate_at_once(new_database: NewDatabase) -> None:
    url = new_database()
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(opened, [url] * 4))
    with stores[0].write() as tx:
        tx.add(samples.job(1))
    for store in stores:
        store.close()


def test_opening_again_changes_nothing(new_database: NewDatabase) -> None:
    url = new_database()
    opened(url).close()
    store = opened(url)
    with store.schema() as connection:
        assert not triggers.install(connection)
    store.close()


def test_triggers_that_were_lost_or_changed_are_put_back(new_database: NewDatabase) -> None:
    url = new_database()
    store = opened(url)
    with store.write() as tx:
        tx.add(samples.job(1))
    with store.schema() as connection:
        triggers.remove(connection)
        connection.exec_driver_sql("UPDATE job SET state = 'Succeeded'")
        connection.exec_driver_sql("UPDATE job SET state = 'Queued'")
    store.close()
    store = opened(url)
    with pytest.raises(ConstraintBroken), store.write() as tx:
        tx.change(samples.job(1, state=JobState.SUCCEEDED), version=1)
    store.close()


LOST = {
    "dure_job_steps": "job",
    "dure_slice_no_delete": "slice",
    "dure_fact_no_truncate": "fact",
    "dure_ledger_balanced": "ledger_entry",
}


@pytest.mark.parametrize("name", LOST)
def test_one_trigger_that_was_dropped_by_hand_is_put_back(new_postgres_database: NewDatabase, name: str) -> None:
    """The fingerprint of what was installed is still there, and says nothing of it."""
    url = new_postgres_database()
    store = opened(url)
    with store.schema() as connection:
        every = objects(connection)
        connection.exec_driver_sql(f"DROP TRIGGER {name} ON {LOST[name]}")
        assert objects(connection) == every - 1
    store.close()
    store = opened(url)
    with store.schema() as connection:
        assert objects(connection) == every
        assert not triggers.install(connection)
    store.close()


def test_facts_of_a_restored_database_can_be_read(new_postgres_database: NewDatabase) -> None:
    """A dump keeps the transaction numbers of the old server; to the new one they lie in the future."""
    url = new_postgres_database()
    store = opened(url)
    with store.write() as tx:
        tx.append(JobHeld("before", "user"), 1)
    with store.schema() as connection:
        triggers.remove(connection)
        connection.exec_driver_sql("UPDATE fact SET horizon = 9000000000")
        connection.exec_driver_sql("SELECT setval('fact_horizon', 9000000000)")
        triggers.install(connection)
    with store.read() as view:
        assert view.facts(0) == []
    with pytest.raises(Fatal, match="restored into another server"):
        opened(url, allowed=False)
    opened(url).close()
    with store.write() as tx:
        tx.append(JobHeld("after", "user"), 2)
    with store.read() as view:
        assert [fact.body for fact in view.facts(0)] == [JobHeld("before", "user"), JobHeld("after", "user")]
    with pytest.raises(ConstraintBroken), store.schema() as connection:
        connection.exec_driver_sql("DELETE FROM fact")
    store.close()
