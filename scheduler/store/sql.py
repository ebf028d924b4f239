"""The store on SQLite or PostgreSQL. docs/decisions/0003-store.md says why it is as it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, bindparam, select, text

from scheduler.core.codec import canonical
from scheduler.core.errors import ConstraintBroken, DuplicateRecord, InvariantBroken, Retry, StaleEpoch, invariant
from scheduler.core.facts import Fact, FactBody, decode, encode
from scheduler.core.records import LeaseRecord, Record
from scheduler.core.rules import LedgerGuard, shape_of
from scheduler.store.engines import BUSY_MS
from scheduler.store.failures import UNAVAILABLE, translated
from scheduler.store.statements import Condition, statements_of
from scheduler.store.tables import table_of

R = TypeVar("R", bound=Record)

# A fact is shown once no transaction runs that could still commit one with a smaller sequence (PostgreSQL).
_FACTS = {
    "sqlite": text("SELECT seq, at_ms, kind, body_json FROM fact WHERE seq > :after ORDER BY seq LIMIT :bound"),
    "postgresql": text(
        "SELECT seq, at_ms, kind, body_json FROM fact WHERE seq > :after AND horizon <"
        " (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) ORDER BY seq LIMIT :bound"
    ),
}
_FACTS_OF = {
    dialect: text(str(statement).replace(" WHERE ", " WHERE kind IN :kinds AND ", 1)).bindparams(
        bindparam("kinds", expanding=True)
    )
    for dialect, statement in _FACTS.items()
}
_FACT = text("SELECT at_ms, kind, body_json FROM fact WHERE seq = :seq")
_APPEND = {
    "sqlite": text("INSERT INTO fact (kind, at_ms, body_json) VALUES (:kind, :at_ms, :body) RETURNING seq"),
    "postgresql": text("SELECT dure_append_fact(:kind, :at_ms, :body)"),
}
_NEXT = text(
    "INSERT INTO counter (name, value, version) VALUES (:name, 1, 1) ON CONFLICT (name)"
    " DO UPDATE SET value = counter.value + 1, version = counter.version + 1 RETURNING value"
)
_LEASE = table_of(LeaseRecord)
_FENCE = select(_LEASE.c.epoch).where(_LEASE.c.name == bindparam("name")).with_for_update(read=True)


class SqlReader:
    """A read view (services.ports.Reader): a snapshot from its first read on."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._dialect = connection.dialect.name

    def close(self) -> None:
        """The block has ended: every later call is a mistake of the caller."""
        self._connection = None

    def _run(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        if self._connection is None:
            raise InvariantBroken("a view is used inside its block only")
        with translated():
            return self._connection.execute(statement, parameters)

    def _rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        result = self._run(statement, parameters)
        with translated():
            return result.all()

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with this primary key, or None."""
        statements = statements_of(kind)
        found = statements.records(self._rows(statements.get, statements.key(key)))
        return found[0] if found else None

    def select(self, kind: type[R], *where: Condition, order: Sequence[str] = (), limit: int = 1_000) -> list[R]:
        """Records that meet all conditions, in a total order; raises ValueError for a condition that cannot be."""
        statements = statements_of(kind)
        return statements.records(self._rows(statements.select(where, order, limit)))

    def count(self, kind: type[R], *where: Condition) -> int:
        """How many records meet all conditions."""
        return int(self._rows(statements_of(kind).count(where))[0][0])

    def total(self, kind: type[R], field: str, *where: Condition) -> int:
        """Sum of an integer field over the records that meet all conditions."""
        return int(self._rows(statements_of(kind).total(field, where))[0][0])

    def totals(
        self, kind: type[R], fields: Sequence[str], by: Sequence[str], *where: Condition
    ) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Sums of integer fields for each combination of text fields."""
        rows, width = self._rows(statements_of(kind).totals(fields, by, where)), len(by)
        return {tuple(row[:width]): tuple(map(int, row[width:])) for row in rows}

    def facts(self, after_seq: int, limit: int = 10_000, kinds: Sequence[str] = ()) -> list[Fact]:
        """Committed facts after a sequence, none that one with a smaller sequence could still overtake."""
        wanted = {"after": after_seq, "bound": limit}
        if kinds:
            rows = self._rows(_FACTS_OF[self._dialect], {**wanted, "kinds": list(kinds)})
        else:
            rows = self._rows(_FACTS[self._dialect], wanted)
        return [Fact(seq, at_ms, decode(kind, json.loads(body))) for seq, at_ms, kind, body in rows]

    def fact(self, seq: int) -> Fact | None:
        """The committed fact of this sequence; who follows facts waits for earlier ones, who asks for one does not."""
        rows = self._rows(_FACT, {"seq": seq})
        return next((Fact(seq, at_ms, decode(kind, json.loads(body))) for at_ms, kind, body in rows), None)


class SqlWriter(SqlReader):
    """A write transaction (services.ports.Writer).

    On PostgreSQL each read is of its own instant: what a step relies on is guarded by versions, by
    ``fence`` or by the tables' rules. A refused write (ConstraintBroken, Retry) dooms the transaction:
    nothing of it can be committed any more, on every store alike.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._ledger = LedgerGuard()
        self._doom: Exception | None = None
        self._first_own_seq = 0

    def _run(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        if self._doom is not None:
            raise self._doom
        try:
            return super()._run(statement, parameters)
        except Exception as error:
            self._doom = error
            raise

    def _refuse(self, fault: str) -> None:
        if self._doom is not None:
            raise self._doom
        if fault:
            self._doom = ConstraintBroken(fault)
            raise self._doom

    def check_commit(self) -> None:
        """Raise unless everything written may be committed."""
        self._refuse(self._ledger.fault())

    def facts(self, after_seq: int, limit: int = 10_000, kinds: Sequence[str] = ()) -> list[Fact]:
        """Facts that were committed before; a transaction does not see its own."""
        found = super().facts(after_seq, limit, kinds)
        if not self._first_own_seq:
            return found
        return [fact for fact in found if fact.seq < self._first_own_seq]

    def _insert(self, record: Record) -> bool:
        statements = statements_of(type(record))
        self._refuse(statements.shape.fault(record))
        # ON CONFLICT DO NOTHING: on PostgreSQL an error would end the transaction, a skipped row does not.
        if self._run(statements.insert[self._dialect], statements.row(record)).rowcount != 1:
            return False
        self._ledger.note(record)
        return True

    def add(self, record: Record) -> None:
        """Insert; raises DuplicateRecord when the key or a unique field is taken."""
        if not self._insert(record):
            raise _duplicate(record)

    def add_new(self, record: Record) -> bool:
        """Insert unless the key is taken; a taken unique field of another record raises DuplicateRecord."""
        if self._insert(record):
            return True
        if self.get(type(record), *shape_of(type(record)).key(record)) is None:
            raise _duplicate(record)
        return False

    def change(self, record: Record, *, version: int) -> bool:
        """Replace the record if its stored version is ``version``; False when it is gone or has another."""
        statements = statements_of(type(record))
        if statements.update is None:
            self._refuse(f"{statements.shape.table} is append-only")
            return False
        self._refuse(statements.shape.fault(record))
        return self._run(statements.update, statements.guarded_row(record, version)).rowcount == 1

    def append(self, body: FactBody, at_ms: int) -> int:
        """Append a fact and return its sequence."""
        row = {"kind": type(body).__name__, "at_ms": at_ms, "body": canonical(encode(body))}
        seq = int(self._rows(_APPEND[self._dialect], row)[0][0])
        self._first_own_seq = self._first_own_seq or seq
        return seq

    def next_number(self, counter: str) -> int:
        """The next number of a gapless counter, from 1; its row is locked until the transaction ends."""
        return int(self._rows(_NEXT, {"name": counter})[0][0])

    def fence(self, lease: str, epoch: int) -> None:
        """Raise StaleEpoch unless ``epoch`` is the lease's; nobody can take the lease before this transaction ends."""
        rows = self._rows(_FENCE, {"name": lease})
        present = int(rows[0][0]) if rows else 0
        if present != epoch:
            self._doom = StaleEpoch(f"the lease {lease!r} is at epoch {present}, not {epoch}")
            raise self._doom


class _ReadBlock:
    """``with store.read()``: opens a snapshot and always lets it go."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> SqlReader:
        with translated():
            self._connection = self._engine.connect()
        self._view = SqlReader(self._connection)
        return self._view

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._view.close()
        _let_go(self._connection)


class _WriteBlock:
    """``with store.write()``: commits at the end of the block, rolls back when it raises."""

    def __init__(self, engine: Engine, turn: _Turn) -> None:
        self._engine = engine
        self._turn = turn

    def __enter__(self) -> SqlWriter:
        self._turn.take()
        connection = None
        try:
            with translated():
                connection = self._engine.connect()
                connection.begin()
        except BaseException:
            if connection is not None:
                _let_go(connection)
            self._turn.give()
            raise
        self._connection = connection
        self._view = SqlWriter(connection)
        return self._view

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._view.check_commit()
                with translated():
                    self._connection.commit()
        finally:
            self._view.close()
            _let_go(self._connection)
            self._turn.give()


class _Turn:
    """Whose turn it is to write: one thread at a time on SQLite, and no thread inside its own transaction."""

    def __init__(self, *, one_writer: bool) -> None:
        # SQLite has one writer: waiting here is fair and cheap, waiting in the file polls.
        self._lock = threading.Lock() if one_writer else None
        self._writing: set[int] = set()

    def take(self) -> None:
        """Wait for the turn; raises Retry after BUSY_MS, InvariantBroken inside a transaction of the same thread."""
        me = threading.get_ident()
        invariant(me not in self._writing, "a thread writes in one transaction at a time")
        if self._lock is not None and not self._lock.acquire(timeout=BUSY_MS / 1_000):
            raise Retry(
                UNAVAILABLE, f"another transaction has been writing for {BUSY_MS} ms", "wait, and repeat the call"
            )
        self._writing.add(me)

    def give(self) -> None:
        """The transaction has ended."""
        self._writing.discard(threading.get_ident())
        if self._lock is not None:
            self._lock.release()


class SqlStore:
    """A database (services.ports.Store). ``scheduler.store.open_store`` makes one and checks its schema."""

    def __init__(self, reader: Engine, writer: Engine) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = _Turn(one_writer=writer.dialect.name == "sqlite")

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._writer.dialect.name

    def read(self) -> _ReadBlock:
        """A consistent read view; does not block writers."""
        return _ReadBlock(self._reader)

    def write(self) -> _WriteBlock:
        """A write transaction; raises Retry where the same call may succeed later."""
        return _WriteBlock(self._writer, self._turn)

    @contextmanager
    def schema(self) -> Iterator[Connection]:
        """A transaction below the records, for migrations and checks."""
        with translated(), self._writer.begin() as connection:
            yield connection

    def damage(self) -> str:
        """What is wrong with the database's file, in its own words; empty when nothing is (always on PostgreSQL)."""
        if self.dialect != "sqlite":
            return ""
        with self.schema() as connection:
            found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        return "" if found == "ok" else found

    def close(self) -> None:
        """Close all connections; the store is not used any more."""
        self._reader.dispose()
        self._writer.dispose()


def _let_go(connection: Connection) -> None:
    """Roll back what is open and give the connection back; a dead one is replaced by the pool."""
    with suppress(Exception):
        connection.rollback()
    with suppress(Exception):
        connection.close()


def _duplicate(record: Record) -> DuplicateRecord:
    shape = shape_of(type(record))
    key = "/".join(str(part) for part in shape.key(record))
    return DuplicateRecord(f"{shape.table} {key}, or a value that is unique in it, is already stored")
