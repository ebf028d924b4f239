"""Bring a database to the schema of this code, or say which one it has. Needs no alembic.ini."""

from __future__ import annotations

import functools
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from scheduler.store import triggers

FOLDER = Path(__file__).parent / "migrations"
MIGRATION_LOCK = "x'447572654d696772'::bigint"  # "DureMigr"


def head() -> str:
    """The newest schema version that this code knows."""
    return _scripts().get_current_head() or ""


def known() -> frozenset[str]:
    """Every schema version that this code knows."""
    return frozenset(script.revision for script in _scripts().walk_revisions())


def current(connection: Connection) -> str:
    """The database's schema version; empty for a new database."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def upgrade(connection: Connection) -> None:
    """Run what is missing up to ``head`` and put triggers and functions in place; the caller commits.

    Safe to run from several processes at once: the second waits, and finds nothing to do.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    if current(connection) != head():
        command.upgrade(_config(connection), "head")
    triggers.install(connection)


def downgrade(connection: Connection, revision: str) -> None:
    """Go back to an older schema (``base``: to none), losing what it has no place for; the caller commits."""
    triggers.remove(connection)
    command.downgrade(_config(connection), revision)


@functools.cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
