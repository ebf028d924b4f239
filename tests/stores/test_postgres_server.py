"""The private PostgreSQL cluster of the tests: fresh databases, and an ordinary role that row security binds."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

pytestmark = pytest.mark.store


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement in a transaction of its own; its rows, if it has any."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql", 1)) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_version_is_supported(postgres_url: str) -> None:
    ((version,),) = run(postgres_url, "SELECT current_setting('server_version_num')::int")
    assert isinstance(version, int)
    assert version >= 150_000


def test_the_role_is_ordinary_and_owns_its_database(postgres_url: str) -> None:
    query = "SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    assert run(postgres_url, query) == [("dure_app", False, False)]
    assert run(postgres_url, "CREATE EXTENSION btree_gist") == []


def test_databases_are_separate(new_postgres_database: Callable[[], str]) -> None:
    first, second = new_postgres_database(), new_postgres_database()
    run(first, "CREATE TABLE t AS SELECT 1 AS x")
    assert run(first, "SELECT x FROM t") == [(1,)]
    with pytest.raises(psycopg.errors.UndefinedTable):
        run(second, "SELECT x FROM t")
