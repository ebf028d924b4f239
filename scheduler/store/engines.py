"""Engines with bounds on every wait: one to read and one to write, for SQLite or PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

BUSY_MS = 10_000
POOL_SECONDS_MAX = 30
READERS_MAX = 8
CONNECT_SECONDS_MAX = 10
# A statement, a lock and a silent transaction are bounded, so that no writer holds facts or rows for ever.
POSTGRESQL_OPTIONS = "-c statement_timeout=60000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"
PRIVATE = 0o600


def sqlite_engines(path: Path, *, busy_ms: int = BUSY_MS) -> tuple[Engine, Engine]:
    """(reader, writer) of one database file, made if it is absent and readable by its owner only.

    A reader's transaction is a snapshot that blocks nobody; the writer takes the write lock at BEGIN,
    so a transaction never fails half-way because another one wrote first. busy_ms: how long it waits
    for a writer of another process.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE))
    url = URL.create("sqlite", database=str(path))
    reader = create_engine(url, pool_size=READERS_MAX, max_overflow=READERS_MAX, pool_timeout=POOL_SECONDS_MAX)
    writer = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=POOL_SECONDS_MAX)
    _prepare(reader, "BEGIN", "query_only=ON", busy_ms)
    _prepare(writer, "BEGIN IMMEDIATE", "query_only=OFF", busy_ms)
    return reader, writer


def postgresql_engines(url: URL) -> tuple[Engine, Engine]:
    """(reader, writer) sharing one pool: snapshots that only read, and READ COMMITTED transactions with row locks."""
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=READERS_MAX,
        max_overflow=READERS_MAX,
        pool_timeout=POOL_SECONDS_MAX,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS_MAX,
            "options": POSTGRESQL_OPTIONS,
            "application_name": "dure",
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        },
    )
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    writer = engine.execution_options(isolation_level="READ COMMITTED")
    return reader, writer


def _prepare(engine: Engine, begin: str, mode: str, busy_ms: int) -> None:
    """Durable settings for every connection, and our own BEGIN in place of the driver's."""

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (f"busy_timeout={busy_ms}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", mode):
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
