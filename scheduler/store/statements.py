"""One record kind's statements, made once; rows to records and back; conditions and orders to SQL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    UnaryExpression,
    Update,
    and_,
    bindparam,
    false,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from scheduler.core.records import RECORD_KINDS, Record
from scheduler.core.rules import shape_of
from scheduler.store.tables import table_of

R = TypeVar("R", bound=Record)
Condition = tuple[str, str, object]
"""Field, operator, value: services.ports.Where is one."""
READ_VERSION = "read_version"
COMPARE: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": operator.eq,
    "!=": lambda column, value: column.is_distinct_from(value),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Statements(Generic[R]):
    """Everything in SQL about one record kind."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind
        self.shape = shape_of(kind)
        self.table = table_of(kind)
        self.columns = [self.table.c[name] for name in self.shape.names]
        self._enums = tuple(at for at, plain in enumerate(self.shape.types.values()) if issubclass(plain, StrEnum))
        self._convert = {
            at: _converter(plain) for at, plain in enumerate(self.shape.types.values()) if plain not in (str, int)
        }
        new: Mapping[str, Insert] = {
            "sqlite": sqlite.insert(self.table).on_conflict_do_nothing(),
            "postgresql": postgresql.insert(self.table).on_conflict_do_nothing(),
        }
        self.insert = {name: insert.execution_options(preserve_rowcount=True) for name, insert in new.items()}
        self.get = select(*self.columns).where(*(self.table.c[name] == bindparam(f"key_{name}") for name in kind.KEY))
        self.update = self._update() if self.shape.versioned else None

    def _update(self) -> Update:
        table, key = self.table, self.kind.KEY
        rest: dict[str, Any] = {name: bindparam(name) for name in self.shape.names if name not in key}
        same = and_(*(table.c[name] == bindparam(f"key_{name}") for name in key))
        guarded = update(table).where(same, table.c.version == bindparam(READ_VERSION))
        return guarded.values(**rest)

    def row(self, record: R) -> dict[str, Any]:
        """Parameters of an INSERT."""
        values = list(self.shape.values(record))
        for at in self._enums:
            if values[at] is not None:
                values[at] = values[at].value
        return dict(zip(self.shape.names, values, strict=True))

    def guarded_row(self, record: R, version: int) -> dict[str, Any]:
        """Parameters of the guarded UPDATE."""
        values = self.row(record)
        for name in self.kind.KEY:
            values[f"key_{name}"] = values.pop(name)
        values["version"] = version + 1
        values[READ_VERSION] = version
        return values

    def key(self, key: Sequence[str | int]) -> dict[str, Any]:
        """Parameters of ``get``; raises ValueError unless there are as many parts as the key has."""
        return {f"key_{name}": part for name, part in zip(self.kind.KEY, key, strict=True)}

    def records(self, rows: Sequence[Sequence[Any]]) -> list[R]:
        """Records of rows whose values are in the order of the fields."""
        found: list[R] = self.shape.make(rows, self._convert)
        return found

    def select(self, where: Sequence[Condition], order: Sequence[str], limit: int) -> Select[Any]:
        """Records that meet all conditions in a total order; raises ValueError for a negative limit."""
        if limit < 0:
            raise ValueError(f"a limit of {limit}")
        return select(*self.columns).where(*self.clauses(where)).order_by(*self._order(order)).limit(limit)

    def count(self, where: Sequence[Condition]) -> Select[Any]:
        """How many."""
        return select(func.count()).select_from(self.table).where(*self.clauses(where))

    def total(self, field: str, where: Sequence[Condition]) -> Select[Any]:
        """Sum of an integer field; raises ValueError for another one."""
        if self.shape.types.get(field) is not int:
            raise ValueError(f"{self.shape.table}.{field} is not an integer field")
        return select(func.coalesce(func.sum(self.table.c[field]), 0)).where(*self.clauses(where))

    def totals(self, fields: Sequence[str], by: Sequence[str], where: Sequence[Condition]) -> Select[Any]:
        """Sums of integer fields by text fields; raises ValueError for others."""
        self.shape.check_totals(fields, by)
        groups = [self.table.c[name] for name in by]
        sums = [func.sum(self.table.c[name]) for name in fields]
        return select(*groups, *sums).where(*self.clauses(where)).group_by(*groups)

    def clauses(self, where: Sequence[Condition]) -> list[ColumnElement[bool]]:
        """SQL of the conditions; raises ValueError as ``Shape.plain_condition`` does."""
        return [self._clause(*condition) for condition in where]

    def _clause(self, field: str, op: str, value: object) -> ColumnElement[bool]:
        plain = self.shape.plain_condition(field, op, value)
        column = self.table.c[field]
        if op == "in":
            return column.in_(plain) if plain else false()
        if plain is None:
            return column.is_(None) if op == "=" else column.is_not(None)
        return COMPARE[op](column, literal(plain, column.type))  # a literal: True and False have operators of their own

    def _order(self, order: Sequence[str]) -> list[UnaryExpression[Any]]:
        terms = []
        for term in (*order, *self.kind.KEY):
            name = term.removeprefix("-")
            if name not in self.shape.types:
                raise ValueError(f"no order {term!r} on {self.shape.table}")
            column = self.table.c[name]
            ordered = column.desc() if term.startswith("-") else column.asc()
            if name in self.shape.optional:  # None sorts below every value in every store
                ordered = ordered.nulls_last() if term.startswith("-") else ordered.nulls_first()
            terms.append(ordered)
        return terms


def statements_of(kind: type[R]) -> Statements[R]:
    """The statements of a record kind, made once."""
    return _STATEMENTS[kind]


def _converter(plain: type) -> Callable[[Any], Any]:
    """From a column's value to the field's: booleans are 0 and 1 in SQLite, enumerations are text."""
    if plain is bool:
        return bool
    members: dict[Any, Any] = {None: None, **{str(member): member for member in plain}}  # type: ignore[attr-defined]  # an enumeration
    return members.__getitem__


_STATEMENTS: Mapping[Any, Statements[Any]] = {kind: Statements(kind) for kind in RECORD_KINDS}
