"""What a database's error means to a caller: try again, a broken rule, a record that is there, or a person's work."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from scheduler.core.errors import ConstraintBroken, DuplicateRecord, Fatal, Retry

UNAVAILABLE = "DURE-8020"
UNUSABLE = "DURE-8021"

# SQLSTATE: serialisation failure, deadlock, lock or statement timeout, a disk that does not answer, a server that is
# starting, stopping or read-only after a failover; the classes are lost connections, and disk, memory or connections
# that are used up.
PASSING = frozenset({"40001", "40P01", "55P03", "57014", "58030", "57P01", "57P02", "57P03", "25006", "25P03"})
PASSING_CLASSES = ("08", "53")
UNIQUE = "23505"
RULE_CLASSES = ("22", "23")
TOO_LARGE = "54000"
SQLITE_DUPLICATE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})
SQLITE_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


@contextmanager
def translated() -> Iterator[None]:
    """Run a block of database calls; errors of the libraries leave it as Dure's own."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error, sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
        raise meaning(error) from error


def meaning(error: Exception) -> Exception:
    """Dure's exception for a library's: Retry, ConstraintBroken, DuplicateRecord or Fatal."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if isinstance(error, PoolTimeout) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Retry(UNAVAILABLE, f"the database cannot be used now: {text}", "wait; the call is repeated")
    if isinstance(cause, OverflowError | UnicodeEncodeError):
        return ConstraintBroken(text)
    if isinstance(cause, sqlite3.Error):
        return _sqlite_meaning(cause, text)
    if isinstance(cause, psycopg.Error):
        return _postgresql_meaning(cause, text)
    return Fatal(UNUSABLE, f"the database refused a statement: {text}", "run `dure doctor`, and report this")


def _sqlite_meaning(cause: sqlite3.Error, text: str) -> Exception:
    code = getattr(cause, "sqlite_errorcode", 0)
    if code in SQLITE_DUPLICATE:
        return DuplicateRecord(text)
    if isinstance(cause, sqlite3.IntegrityError | sqlite3.DataError):
        return ConstraintBroken(text)
    if code & 0xFF in SQLITE_PASSING:
        return Retry(UNAVAILABLE, f"the database cannot be used now: {text}", "wait; look at the disk if it stays")
    return Fatal(
        UNUSABLE, f"the database cannot be used: {text}", "run `dure doctor`; restore a backup if it is damaged"
    )


def _postgresql_meaning(cause: psycopg.Error, text: str) -> Exception:
    state = cause.sqlstate or ""
    if state == UNIQUE:
        return DuplicateRecord(text)
    if state.startswith(RULE_CLASSES) or state == TOO_LARGE:
        return ConstraintBroken(text)
    if (
        state in PASSING
        or state.startswith(PASSING_CLASSES)
        or (not state and isinstance(cause, psycopg.OperationalError))
    ):
        return Retry(UNAVAILABLE, f"the database cannot be used now: {text}", "wait; the call is repeated")
    return Fatal(UNUSABLE, f"the database refused a statement: {text}", "run `dure doctor`, and report this")
