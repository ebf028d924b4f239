"""A fresh store for every test: memory, a copy of a migrated SQLite file, an emptied PostgreSQL database."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from scheduler.store.memory import MemoryStore
from scheduler.store.open import open_store
from scheduler.store.sql import SqlStore
from scheduler.store.tables import METADATA
from tests.support.postgres import SUPERUSER, PostgresServer

AnyStore = MemoryStore | SqlStore


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, closed SQLite file."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    open_store(f"sqlite:///{path}", migrate=True).close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated SQLite file of this test."""
    shutil.copyfile(sqlite_template, tmp_path / "dure.db")
    return f"sqlite:///{tmp_path / 'dure.db'}"


@pytest.fixture(scope="session")
def postgres_shared(postgres_server: PostgresServer) -> str:
    """The name of the migrated database that the tests of the session share, one after another."""
    name = postgres_server.create_database()
    open_store(postgres_server.url(name), migrate=True).close()
    return name


@pytest.fixture
def postgres_empty(postgres_server: PostgresServer, postgres_shared: str) -> str:
    """The URL of the shared database, emptied as only a superuser can: cloning one costs half a second a test."""
    address = postgres_server.url(postgres_shared, user=SUPERUSER).replace("postgresql+psycopg", "postgresql", 1)
    statements = [f'DELETE FROM "{table}"' for table in METADATA.tables]
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("SET session_replication_role = replica")  # no trigger fires
        connection.execute(";".join([*statements, "SELECT setval('fact_seq_seq', 1, false)"]).encode())
    return postgres_server.url(postgres_shared)


def url_of(request: pytest.FixtureRequest, name: str) -> str:
    """The URL of a fresh database of the kind."""
    if name == "memory":
        return "memory:"
    return str(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_empty"}[name]))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[AnyStore]:
    """Each of the three stores, empty."""
    opened = open_store(url_of(request, request.param), migrate=False)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """Each of the two databases, empty, for what is said in SQL."""
    opened = open_store(url_of(request, request.param), migrate=False)
    assert isinstance(opened, SqlStore)
    yield opened
    opened.close()


@pytest.fixture
def postgres(postgres_empty: str) -> Iterator[SqlStore]:
    """PostgreSQL alone."""
    opened = open_store(postgres_empty, migrate=False)
    assert isinstance(opened, SqlStore)
    yield opened
    opened.close()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[SqlStore]:
    """SQLite alone."""
    opened = open_store(sqlite_url, migrate=False)
    assert isinstance(opened, SqlStore)
    yield opened
    opened.close()


@pytest.fixture
def sql(database: SqlStore) -> Callable[[str], None]:
    """Run one statement below the store, as somebody with a database shell would."""

    def run(statement: str) -> None:
        with database.schema() as connection:
            connection.exec_driver_sql(statement)

    return run
