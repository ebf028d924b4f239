"""The tables: one SQLModel class for each record kind, made from its fields and rules, and one for facts.

Text is compared by code point everywhere (collation C on PostgreSQL), instants and amounts have 64
bits, tables on SQLite are STRICT. Nothing here is written twice: a field added to a record appears
here by itself, and the test of the migrations says that a migration is missing.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Constraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

from scheduler.core.records import RECORD_KINDS, LedgerEntryRecord, Record
from scheduler.core.rules import INDEXES, ONE_OF, ORDERS, UNIQUE, Shape, Unique, shape_of, table_name

R = TypeVar("R", bound=Record)
NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
METADATA = MetaData(naming_convention=NAMES)
FACT = "fact"


def integer() -> TypeEngine[int]:
    """64 bits; SQLite's own word for that in a STRICT table is INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")


def words() -> TypeEngine[str]:
    """Text in the order of its code points, whatever the language of the database."""
    return Text(collation="C").with_variant(Text(), "sqlite")


def truth() -> TypeEngine[bool]:
    """A boolean; 0 or 1 in SQLite."""
    return Boolean().with_variant(Integer(), "sqlite")


def table_of(kind: type[R]) -> Table:
    """The table in which records of this kind lie."""
    return METADATA.tables[table_name(kind)]


def fact_table() -> Table:
    """The table of facts."""
    return METADATA.tables[FACT]


def append_only_tables() -> tuple[str, ...]:
    """Names of the tables that refuse UPDATE, DELETE and TRUNCATE."""
    return (*(table_name(kind) for kind in RECORD_KINDS if kind.APPEND_ONLY), FACT)


def _column(shape: Shape, name: str) -> Column[Any]:
    plain = shape.types[name]
    typed: TypeEngine[Any] = truth() if plain is bool else integer() if plain is int else words()
    return Column(name, typed, primary_key=name in shape.kind.KEY, nullable=name in shape.optional, autoincrement=False)


def _quoted(values: tuple[str, ...]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def _checks(shape: Shape) -> Iterator[Constraint]:
    """CHECKs from the rules; NULL passes, as it does in ``Shape.fault``."""
    kind = shape.kind
    for floor in (0, 1):
        for name in shape.at_least(floor):
            yield CheckConstraint(f'"{name}" >= {floor}', name=f"{name}_at_least_{floor}")
    for name, plain in shape.types.items():
        if issubclass(plain, StrEnum):
            allowed = _quoted(tuple(member.value for member in plain))
            yield CheckConstraint(f'"{name}" IN ({allowed})', name=f"{name}_known")
    for name, allowed_words in ONE_OF.get(kind, {}).items():
        yield CheckConstraint(f'"{name}" IN ({_quoted(allowed_words)})', name=f"{name}_known")
    for order in ORDERS.get(kind, ()):
        relation = "<" if order.strict else "<="
        yield CheckConstraint(f'"{order.low}" {relation} "{order.high}"', name=order.name)
    for name in kind.KEY:
        if shape.types[name] is str:
            yield CheckConstraint(f"\"{name}\" <> ''", name=f"{name}_not_empty")


def _unique_index(kind: type[Record], unique: Unique) -> Index:
    condition = None
    if unique.unless is not None:
        field, value = unique.unless
        condition = text(f"\"{field}\" <> '{value.value}'")
    return Index(
        f"uq_{table_name(kind)}_{unique.name}",
        *unique.fields,
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _parts(kind: type[Record]) -> Iterator[Constraint | Index]:
    yield from _checks(shape_of(kind))
    for unique in UNIQUE.get(kind, ()):
        yield _unique_index(kind, unique)
    for fields in INDEXES.get(kind, ()):
        yield Index(f"ix_{table_name(kind)}_{'_'.join(fields)}", *fields)
    if kind is LedgerEntryRecord:
        yield ForeignKeyConstraint(["seq"], ["ledger_tx.seq"], deferrable=True, initially="DEFERRED")


def _model(name: str, columns: list[Column[Any]], annotations: Mapping[str, Any], extra: tuple[Any, ...]) -> None:
    """Make the SQLModel class; it registers its table in METADATA."""

    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = __name__
        namespace["__tablename__"] = name
        namespace["__table_args__"] = extra
        namespace["metadata"] = METADATA
        namespace["__annotations__"] = dict(annotations)
        namespace.update({column.name: Field(sa_column=column) for column in columns})

    class_name = "".join(part.capitalize() for part in name.split("_")) + "Row"
    MODELS[name] = types.new_class(class_name, (SQLModel,), {"table": True}, body)


def _record_model(kind: type[Record]) -> None:
    shape = shape_of(kind)
    columns = [_column(shape, name) for name in shape.names]
    annotations = {
        name: shape.types[name] | None if name in shape.optional else shape.types[name] for name in shape.names
    }
    _model(shape.table, columns, annotations, (*_parts(kind), {"sqlite_strict": True}))


def _fact_model() -> None:
    """Facts. ``horizon`` (PostgreSQL; else 0) is the youngest transaction that had taken this or an earlier seq."""
    columns: list[Column[Any]] = [
        Column("seq", integer(), Identity(), primary_key=True, nullable=False),
        Column("kind", words(), nullable=False),
        Column("at_ms", integer(), nullable=False),
        Column("body_json", words(), nullable=False),
        Column("horizon", integer(), nullable=False, server_default=text("0")),
    ]
    annotations = {"seq": int | None, "kind": str, "at_ms": int, "body_json": str, "horizon": int}
    options = {"sqlite_strict": True, "sqlite_autoincrement": True}
    # What changes shares and capacity is rare among facts: who asks for its history must not read all of them.
    parts = (CheckConstraint("at_ms >= 0", name="at_ms_at_least_0"), Index("ix_fact_kind_seq", "kind", "seq"))
    _model(FACT, columns, annotations, (*parts, options))


MODELS: dict[str, type[SQLModel]] = {}
"""Table name -> its SQLModel class."""

for _kind in RECORD_KINDS:
    _record_model(_kind)
_fact_model()
