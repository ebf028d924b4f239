"""The memory store: a transaction writes into an overlay that is applied at commit, so a rollback is to forget it.

Readers hold a snapshot and block nobody: while a view is open, a commit changes copies of the tables.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from scheduler.core.errors import ConstraintBroken, DuplicateRecord, InvariantBroken, StaleEpoch, invariant
from scheduler.core.facts import Fact, FactBody
from scheduler.core.records import RECORD_KINDS, CounterRecord, LeaseRecord, NodeRecord, Record
from scheduler.core.rules import INT_MAX, LedgerGuard, Unique, held_fault, shape_of, step_fault
from scheduler.store.memory.table import Condition, Key, Query, Table, unique_values

R = TypeVar("R", bound=Record)
Tables = dict[Any, Table[Any]]


class MemoryReader:
    """A read view (services.ports.Reader): the tables and the facts as they were when it began."""

    def __init__(self, tables: Tables, facts: list[Fact]) -> None:
        self._tables: Tables | None = tables
        self._facts = facts
        self._facts_end = len(facts)

    def close(self) -> None:
        """The block has ended: every later call is a mistake of the caller."""
        self._tables = None

    def _table(self, kind: type[R]) -> Table[R]:
        if self._tables is None:
            raise InvariantBroken("a view is used inside its block only")
        return self._tables[kind]

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with this primary key, or None."""
        if len(key) != len(kind.KEY):
            raise ValueError(f"the key of {kind.__name__} is {kind.KEY}")
        return self._table(kind).rows.get(key)

    def select(self, kind: type[R], *where: Condition, order: Sequence[str] = (), limit: int = 1_000) -> list[R]:
        """Records that meet all conditions, in a total order; raises ValueError for a condition that cannot be."""
        return self._table(kind).search(Query(kind, where, order, limit))

    def count(self, kind: type[R], *where: Condition) -> int:
        """How many records meet all conditions."""
        return len(self._matching(kind, where))

    def total(self, kind: type[R], field: str, *where: Condition) -> int:
        """Sum of an integer field over the records that meet all conditions."""
        if shape_of(kind).types.get(field) is not int:
            raise ValueError(f"{shape_of(kind).table}.{field} is not an integer field")
        return sum(value for row in self._matching(kind, where) if (value := getattr(row, field)) is not None)

    def totals(
        self, kind: type[R], fields: Sequence[str], by: Sequence[str], *where: Condition
    ) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Sums of integer fields for each combination of text fields."""
        shape_of(kind).check_totals(fields, by)
        sums: dict[tuple[str, ...], tuple[int, ...]] = {}
        for row in self._matching(kind, where):
            group = tuple(str(getattr(row, name)) for name in by)
            before = sums.get(group, (0,) * len(fields))
            sums[group] = tuple(total + getattr(row, name) for total, name in zip(before, fields, strict=True))
        return sums

    def _matching(self, kind: type[R], where: Sequence[Condition]) -> list[R]:
        return self._table(kind).matching(Query(kind, where))

    def facts(self, after_seq: int, limit: int = 10_000, kinds: Sequence[str] = ()) -> list[Fact]:
        """Committed facts after a sequence."""
        self._table(CounterRecord)
        start = max(after_seq, 0)
        if kinds:
            wanted = (fact for fact in islice(self._facts, start, self._facts_end) if fact.kind in kinds)
            return list(islice(wanted, limit))
        return self._facts[start : min(start + limit, self._facts_end)]

    def fact(self, seq: int) -> Fact | None:
        """The committed fact of this sequence."""
        self._table(CounterRecord)
        return self._facts[seq - 1] if 0 < seq <= self._facts_end else None


class _Overlay:
    """What a transaction has written of one kind, not yet committed."""

    __slots__ = ("rows", "unique")

    def __init__(self, uniques: Sequence[Unique]) -> None:
        self.rows: dict[Key, Any] = {}
        self.unique: dict[Unique, dict[Key, Key]] = {unique: {} for unique in uniques}

    def put(self, key: Key, record: Record) -> None:
        before = self.rows.get(key)
        self.rows[key] = record
        for unique, taken in self.unique.items():
            if before is not None and (old := unique_values(unique, before)) is not None:
                taken.pop(old, None)
            if (values := unique_values(unique, record)) is not None:
                taken[values] = key


class MemoryWriter(MemoryReader):
    """A write transaction (services.ports.Writer). A refused write dooms it, as in the databases."""

    def __init__(self, tables: Tables, facts: list[Fact]) -> None:
        super().__init__(tables, facts)
        self.written: dict[Any, _Overlay] = {}
        self.appended: list[Fact] = []
        self._ledger = LedgerGuard()
        self._doom: Exception | None = None

    def _table(self, kind: type[R]) -> Table[R]:
        if self._doom is not None:
            raise self._doom
        return super()._table(kind)

    def _refuse(self, fault: str) -> None:
        if self._doom is not None:
            raise self._doom
        if fault:
            self._doom = ConstraintBroken(fault)
            raise self._doom

    def check_commit(self) -> None:
        """Raise unless everything written may be committed."""
        self._refuse(self._ledger.fault())

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with this primary key, or None."""
        overlay = self.written.get(kind)
        if overlay is not None and key in overlay.rows and self._doom is None:
            found: R = overlay.rows[key]
            return found
        return super().get(kind, *key)

    def select(self, kind: type[R], *where: Condition, order: Sequence[str] = (), limit: int = 1_000) -> list[R]:
        """Records that meet all conditions, in a total order; raises ValueError for a condition that cannot be."""
        if kind not in self.written:
            return super().select(kind, *where, order=order, limit=limit)
        query = Query(kind, where, order, limit)
        found = self._merged(query)
        query.sort(found)
        return found[:limit]

    def _matching(self, kind: type[R], where: Sequence[Condition]) -> list[R]:
        return self._merged(Query(kind, where))

    def _merged(self, query: Query[R]) -> list[R]:
        found = self._table(query.kind).matching(query)
        overlay = self.written.get(query.kind)
        if overlay is None:
            return found
        key = shape_of(query.kind).key
        return [row for row in found if key(row) not in overlay.rows] + query.matching(overlay.rows.values())

    def _put(self, key: Key, record: Record) -> None:
        kind = type(record)
        overlay = self.written.get(kind)
        if overlay is None:
            overlay = self.written[kind] = _Overlay(tuple(self._table(kind).unique))
        overlay.put(key, record)

    def _taken(self, record: Record) -> bool:
        """Whether another record has one of its unique values."""
        base, overlay = self._table(type(record)), self.written.get(type(record))
        for unique, taken in base.unique.items():
            values = unique_values(unique, record)
            if values is None:
                continue
            if overlay is not None and values in overlay.unique[unique]:
                return True
            other = taken.get(values)
            if other is not None and (overlay is None or other not in overlay.rows):
                return True
        return False

    def _insert(self, record: Record) -> bool | None:
        """True when inserted, False when the key is taken, None when a unique value is."""
        shape = shape_of(type(record))
        self._table(type(record))
        self._refuse(shape.fault(record))
        if isinstance(record, NodeRecord):
            self._refuse(held_fault(0, record))
        key = shape.key(record)
        if self.get(type(record), *key) is not None:
            return False
        if self._taken(record):
            return None
        self._put(key, record)
        self._ledger.note(record)
        return True

    def add(self, record: Record) -> None:
        """Insert; raises DuplicateRecord when the key or a unique field is taken."""
        if not self._insert(record):
            raise _duplicate(record)

    def add_new(self, record: Record) -> bool:
        """Insert unless the key is taken; a taken unique field of another record raises DuplicateRecord."""
        inserted = self._insert(record)
        if inserted is None:
            raise _duplicate(record)
        return inserted

    def change(self, record: Record, *, version: int) -> bool:
        """Replace the record if its stored version is ``version``; False when it is gone or has another."""
        shape = shape_of(type(record))
        self._table(type(record))
        if not shape.versioned:
            self._refuse(f"{shape.table} is append-only")
        self._refuse(shape.fault(record))
        key = shape.key(record)
        before: Any = self.get(type(record), *key)
        if before is None or before.version != version:
            return False
        self._refuse(step_fault(before, record))
        self._put(key, shape.with_version(record, version + 1))
        return True

    def append(self, body: FactBody, at_ms: int) -> int:
        """Append a fact and return its sequence."""
        self._table(CounterRecord)
        if not 0 <= at_ms <= INT_MAX:
            self._refuse("fact: at_ms must not be negative, and fit into 64 bits")
        seq = self._facts_end + len(self.appended) + 1
        self.appended.append(Fact(seq, at_ms, body))
        return seq

    def next_number(self, counter: str) -> int:
        """The next number of a gapless counter, from 1."""
        before = self.get(CounterRecord, counter)
        after = CounterRecord(name=counter, value=1)
        if before is not None:
            after = CounterRecord(name=counter, value=before.value + 1, version=before.version + 1)
        self._refuse(shape_of(CounterRecord).fault(after))
        self._put((counter,), after)
        return after.value

    def fence(self, lease: str, epoch: int) -> None:
        """Raise StaleEpoch unless ``epoch`` is the lease's."""
        found = self.get(LeaseRecord, lease)
        present = found.epoch if found is not None else 0
        if present != epoch:
            self._doom = StaleEpoch(f"the lease {lease!r} is at epoch {present}, not {epoch}")
            raise self._doom


class MemoryStore:
    """A database in memory (services.ports.Store); gone with the process."""

    def __init__(self) -> None:
        self._tables: Tables = {kind: Table(kind) for kind in RECORD_KINDS}
        self._facts: list[Fact] = []
        self._lock = threading.Lock()  # guards the fields below and the swap at commit, for an instant
        self._views = 0
        self._views_begun = 0
        self._turn = threading.Lock()  # held by the one writer
        self._writer_thread = 0

    def read(self) -> _ReadBlock:
        """A consistent read view; blocks nobody."""
        return _ReadBlock(self)

    def write(self) -> _WriteBlock:
        """A write transaction; a second one waits for the first."""
        return _WriteBlock(self)

    def close(self) -> None:
        """Nothing to close: there for the sake of the other stores."""

    def begin_read(self) -> MemoryReader:
        """A view that must be given to ``end_read``."""
        with self._lock:
            self._views += 1
            self._views_begun += 1
            return MemoryReader(self._tables, self._facts)

    def end_read(self, view: MemoryReader) -> None:
        """The view is not used any more."""
        view.close()
        with self._lock:
            self._views -= 1

    def begin_write(self) -> MemoryWriter:
        """A transaction that must be given to ``end_write``."""
        invariant(self._writer_thread != threading.get_ident(), "a thread writes in one transaction at a time")
        self._turn.acquire()
        self._writer_thread = threading.get_ident()
        return MemoryWriter(self._tables, self._facts)

    def end_write(self, tx: MemoryWriter, *, commit: bool) -> None:
        """Apply what was written, or forget it; raises what refuses the commit."""
        try:
            if commit:
                tx.check_commit()
                self._apply(tx)
        finally:
            tx.close()
            self._writer_thread = 0
            self._turn.release()

    def _apply(self, tx: MemoryWriter) -> None:
        with self._lock:
            tables = self._tables
            for kind, overlay in tx.written.items():
                table = tables[kind]
                if self._views and table.made_at < self._views_begun:  # an open view may look at it
                    table = table.copy(self._views_begun)
                    tables = {**tables, kind: table}
                for key, record in overlay.rows.items():
                    table.put(key, record)
            self._tables = tables
            self._facts.extend(tx.appended)


class _ReadBlock:
    """``with store.read()``."""

    __slots__ = ("_store", "_view")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __enter__(self) -> MemoryReader:
        self._view = self._store.begin_read()
        return self._view

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._store.end_read(self._view)


class _WriteBlock:
    """``with store.write()``: commits at the end of the block, forgets it when the block raises."""

    __slots__ = ("_store", "_view")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __enter__(self) -> MemoryWriter:
        self._view = self._store.begin_write()
        return self._view

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._store.end_write(self._view, commit=kind is None)


def _duplicate(record: Record) -> DuplicateRecord:
    shape = shape_of(type(record))
    key = "/".join(str(part) for part in shape.key(record))
    return DuplicateRecord(f"{shape.table} {key}, or a value that is unique in it, is already stored")
