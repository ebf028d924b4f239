"""One record kind in memory: rows by key, and indexes for the conditions that narrow a search."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from scheduler.core.records import Record
from scheduler.core.rules import INDEXES, UNIQUE, Unique, shape_of, table_name

R = TypeVar("R", bound=Record)
Key = tuple[Any, ...]
Condition = tuple[str, str, object]
"""Field, operator, value: services.ports.Where is one."""
Test = tuple[Callable[[Any], Any], Callable[[Any, Any], bool], Any]

COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": lambda value, bound: value is not None and value < bound,
    "<=": lambda value, bound: value is not None and value <= bound,
    ">": lambda value, bound: value is not None and value > bound,
    ">=": lambda value, bound: value is not None and value >= bound,
    "in": lambda value, bound: value in bound,
}
_UNIQUE = {table_name(kind): uniques for kind, uniques in UNIQUE.items()}
_INDEXES = {table_name(kind): indexes for kind, indexes in INDEXES.items()}


class Query(Generic[R]):
    """Conditions and order of one search, checked; raises ValueError as the databases' does."""

    def __init__(self, kind: type[R], where: Sequence[Condition], order: Sequence[str] = (), limit: int = 0) -> None:
        shape = shape_of(kind)
        self.kind = kind
        self.conditions = [(field, op, shape.plain_condition(field, op, value)) for field, op, value in where]
        for term in order:
            if term.removeprefix("-") not in shape.types:
                raise ValueError(f"no order {term!r} on {shape.table}")
        self.tests: list[Test] = [
            (operator.attrgetter(field), COMPARE[op], frozenset(value) if op == "in" else value)
            for field, op, value in self.conditions
        ]
        self.order = tuple(order)
        self.limit = limit
        if limit < 0:
            raise ValueError(f"a limit of {limit}")

    def matching(self, rows: Iterable[R]) -> list[R]:
        """Rows that meet all conditions."""
        found = list(rows)
        for get, holds, value in self.tests:
            found = [row for row in found if holds(get(row), value)]
        return found

    def first(self, rows: Iterable[R]) -> list[R]:
        """The first rows that meet all conditions, looking at no more than needed."""
        tests = self.tests
        found = (row for row in rows if all(holds(get(row), value) for get, holds, value in tests))
        return list(islice(found, self.limit))

    def sort(self, rows: list[R]) -> None:
        """Into the query's order, ties by key; None sorts below every value."""
        shape = shape_of(self.kind)
        rows.sort(key=shape.key)
        for term in reversed(self.order):
            name = term.removeprefix("-")
            get: Callable[[Any], Any] = operator.attrgetter(name)
            if name in shape.optional:
                get = _none_first(get)
            rows.sort(key=get, reverse=term.startswith("-"))

    def by_key(self) -> int:
        """1 when the order is that of the key, -1 when it is the key's backwards, 0 when it is another."""
        key = self.kind.KEY
        if self.order[: len(key)] in ((), key):
            return 1
        return -1 if len(key) == 1 and self.order[0] == f"-{key[0]}" else 0


class Table(Generic[R]):
    """Committed rows of one kind. A table that a view may look at is copied before it is changed."""

    def __init__(self, kind: type[R], made_at: int = 0) -> None:
        key, name = kind.KEY, table_name(kind)
        uniques = _UNIQUE.get(name, ())
        indexed = {fields[0] for fields in _INDEXES.get(name, ())} | ({key[0]} if len(key) > 1 else set())
        self.kind = kind
        self.made_at = made_at
        self.rows: dict[Key, R] = {}
        self.unique: dict[Unique, dict[Key, Key]] = {unique: {} for unique in uniques}
        self._indexes: dict[str, dict[Any, dict[Key, None]]] = {field: {} for field in sorted(indexed)}
        self._last: Key | None = None
        self._in_order = True

    def copy(self, made_at: int) -> Table[R]:
        """The same rows, apart."""
        twin = Table(self.kind, made_at)
        twin.rows = dict(self.rows)
        twin.unique = {unique: dict(taken) for unique, taken in self.unique.items()}
        twin._indexes = {
            field: {value: dict(keys) for value, keys in index.items()} for field, index in self._indexes.items()
        }
        twin._last, twin._in_order = self._last, self._in_order
        return twin

    def put(self, key: Key, record: R) -> None:
        """Insert or replace a row whose rules have been checked."""
        before = self.rows.get(key)
        self.rows[key] = record
        if before is None:
            self._in_order = self._in_order and (self._last is None or self._last < key)
            self._last = key
        for field, index in self._indexes.items():
            value = getattr(record, field)
            if before is not None:
                old = getattr(before, field)
                if old == value:
                    continue
                bucket = index[old]
                del bucket[key]
                if not bucket:
                    del index[old]
            index.setdefault(value, {})[key] = None
        for unique, taken in self.unique.items():
            if before is not None and (old_values := unique_values(unique, before)) is not None:
                taken.pop(old_values, None)
            if (values := unique_values(unique, record)) is not None:
                taken[values] = key

    def search(self, query: Query[R]) -> list[R]:
        """The first ``limit`` rows of the query."""
        candidates = self._narrowed(query)
        if candidates is None and self._in_order and query.by_key():
            rows = self.rows.values() if query.by_key() > 0 else reversed(self.rows.values())
            return query.first(rows)
        found = query.matching(self.rows.values() if candidates is None else candidates)
        query.sort(found)
        return found[: query.limit]

    def matching(self, query: Query[R]) -> list[R]:
        """All rows of the query in no order."""
        candidates = self._narrowed(query)
        return query.matching(self.rows.values() if candidates is None else candidates)

    def _narrowed(self, query: Query[R]) -> Iterator[R] | None:
        """Rows by the index that leaves the fewest; None when no index helps."""
        best: list[dict[Key, None]] | None = None
        best_size = len(self.rows)
        for field, op, value in query.conditions:
            index = self._indexes.get(field)
            if index is None or op not in ("=", "!=", "in"):
                continue
            if op == "!=":
                buckets = [keys for other, keys in index.items() if other != value]
            else:
                wanted = dict.fromkeys(value) if op == "in" else (value,)
                buckets = [index[item] for item in wanted if item in index]
            size = sum(map(len, buckets))
            if size < best_size:
                best, best_size = buckets, size
        if best is None:
            return None
        return (self.rows[key] for keys in best for key in keys)


def unique_values(unique: Unique, record: Record) -> Key | None:
    """The values that must be unique; None for a record that does not count."""
    if unique.unless is not None and getattr(record, unique.unless[0]) == unique.unless[1]:
        return None
    return tuple(getattr(record, field) for field in unique.fields)


def _none_first(get: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def key(row: Any) -> tuple[bool, Any]:
        value = get(row)
        return (False, 0) if value is None else (True, value)

    return key
