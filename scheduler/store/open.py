"""Open a database by its URL: whole, of this code's schema, and migrated where that is asked for."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from scheduler.core.errors import Fatal
from scheduler.store import migrate as migrations
from scheduler.store import triggers
from scheduler.store.engines import postgresql_engines, sqlite_engines
from scheduler.store.memory import MemoryStore
from scheduler.store.sql import SqlStore
from scheduler.store.tables import METADATA

MEMORY_URL = "memory:"
BAD_URL = "DURE-8022"
SCHEMA_NEWER = "DURE-8023"
SCHEMA_OLDER = "DURE-8024"
DAMAGED = "DURE-8025"
SERVER_TOO_OLD = "DURE-8026"
RESTORED = "DURE-8027"
UNRELEASED = "DURE-8028"
POSTGRESQL_MIN = 15
SQLITE_COLUMNS = (
    "SELECT t.name, c.name FROM sqlite_master AS t JOIN pragma_table_xinfo(t.name) AS c WHERE t.type = 'table'"
)
POSTGRESQL_COLUMNS = (
    "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
    " WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped"
)
URL_FIX = "use sqlite:///FILE, postgresql://USER@HOST/DATABASE or memory:"


def open_store(url: str, *, migrate: bool) -> SqlStore | MemoryStore:
    """The store at ``sqlite:///path``, ``postgresql://...`` or ``memory:``.

    migrate: bring an older or empty database to this code's schema first. Raises Fatal with one
    sentence for a URL that is none of these, a database that is newer than the code, older while
    ``migrate`` is false, of an unreleased version, or damaged; Retry when the server cannot be reached now.
    """
    if url == MEMORY_URL:
        return MemoryStore()
    store = _connect(_parsed(url))
    try:
        _prepare(store, migrate=migrate)
    except BaseException:
        store.close()
        raise
    return store


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Fatal(BAD_URL, "the database's URL cannot be read", URL_FIX) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise Fatal(BAD_URL, f"{parsed.get_backend_name()} is no database that Dure knows", URL_FIX)
    return parsed


def _connect(url: URL) -> SqlStore:
    if url.get_backend_name() == "postgresql":
        return SqlStore(*postgresql_engines(url))
    if not url.database or url.database == ":memory:":
        raise Fatal(BAD_URL, "the database's URL names no file", URL_FIX)
    path = Path(url.database)
    if not path.parent.is_dir():
        raise Fatal(BAD_URL, f"the folder of {path.name} does not exist: {path.parent}", "make the folder first")
    try:
        return SqlStore(*sqlite_engines(path))
    except OSError as error:
        raise Fatal(
            BAD_URL, f"{path} cannot be opened: {error.strerror}", "choose a file that can be written"
        ) from error


def _prepare(store: SqlStore, *, migrate: bool) -> None:
    damage = store.damage()
    if damage:
        raise Fatal(DAMAGED, f"the database file is damaged: {damage}", "restore it from a backup")
    with store.schema() as connection:
        _check_server(connection)
        _check_schema(connection, migrate=migrate)
        if migrate:
            migrations.upgrade(connection)
        _check_restored(connection, repair=migrate)


def _check_server(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        version = connection.exec_driver_sql("SHOW server_version_num").scalar()
        if int(str(version)) < POSTGRESQL_MIN * 10_000:
            found = connection.exec_driver_sql("SHOW server_version").scalar()
            raise Fatal(SERVER_TOO_OLD, f"PostgreSQL {found} is too old", f"use PostgreSQL {POSTGRESQL_MIN} or newer")


def _check_schema(connection: Connection, *, migrate: bool) -> None:
    found, newest = migrations.current(connection), migrations.head()
    if found and found not in migrations.known():
        message = f"the database has schema {found}, which is newer than this program's {newest}"
        raise Fatal(SCHEMA_NEWER, message, "run the newer version of Dure")
    if found != newest and not migrate:
        message = f"the database has {f'schema {found}' if found else 'no schema'}, this program needs {newest}"
        raise Fatal(SCHEMA_OLDER, message, "start one process with migration allowed")
    if found == newest and _lacking(connection):
        raise Fatal(UNRELEASED, "this database was made by an unreleased version of Dure", "start with a new one")


def _lacking(connection: Connection) -> frozenset[tuple[str, str]]:
    """(table, column) of the models that the database does not have; one look into its catalogue.

    Until the first release a schema version's text changes in place, so its number alone does not say what is there.
    """
    query = POSTGRESQL_COLUMNS if connection.dialect.name == "postgresql" else SQLITE_COLUMNS
    present = {(table, column) for table, column in connection.exec_driver_sql(query)}
    needed = {(table.name, column.name) for table in METADATA.tables.values() for column in table.columns}
    return frozenset(needed - present)


def _check_restored(connection: Connection, *, repair: bool) -> None:
    """After a restore into another PostgreSQL cluster the horizons belong to transactions of the old one."""
    if connection.dialect.name != "postgresql":
        return
    youngest = connection.exec_driver_sql("SELECT last_value FROM fact_horizon").scalar() or 0
    mine = connection.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar() or 0
    if youngest <= mine:
        return
    if not repair:
        message = "the database was restored into another server, and its facts are not in force yet"
        raise Fatal(RESTORED, message, "start one process with migration allowed")
    triggers.remove(connection)
    connection.exec_driver_sql("UPDATE fact SET horizon = 0")
    connection.exec_driver_sql(f"SELECT setval('fact_horizon', {int(mine)})")
    triggers.install(connection)
