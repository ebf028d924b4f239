"""What a stored record may hold: one set of constants, kept by every store.

The memory store calls ``fault`` and ``step_fault``; the databases get CHECKs, unique indexes and
triggers made from the same constants, as the last wall behind the same calls.
"""

from __future__ import annotations

import types
import typing
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, TypeVar

from scheduler.core.lifecycle import ATTEMPT_STEPS, JOB_STEPS, AttemptState
from scheduler.core.records import (
    RECORD_KINDS,
    ArtifactRecord,
    AttemptRecord,
    ClusterRecord,
    CreditNoteRecord,
    CreditProposalRecord,
    CycleRecord,
    InvoiceRecord,
    JobRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    MemberRecord,
    NodeRecord,
    ObservationRecord,
    OrgRecord,
    PeriodRecord,
    PolicyRecord,
    ProjectRecord,
    RankRecord,
    Record,
    SliceRecord,
    TokenRecord,
)

R = TypeVar("R", bound=Record)
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in")
IN_MAX = 20_000
"""Values of one ``in``; databases have limits of their own not far above."""
COLUMNS_FROM = 16
"""Rows from which making records column by column is faster."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
"""Every integer column has 64 bits."""


@dataclass(frozen=True, slots=True)
class Unique:
    """No two records have the same values in ``fields``; records whose ``unless`` field has that value do not count."""

    name: str
    fields: tuple[str, ...]
    unless: tuple[str, StrEnum] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """``low`` < ``high`` (or <=) between two integer fields of one record."""

    name: str
    low: str
    high: str
    strict: bool = False


UNIQUE: Mapping[type[Record], tuple[Unique, ...]] = {
    AttemptRecord: (Unique("one_live_attempt", ("job",), unless=("state", AttemptState.GONE)),),
    LedgerTxRecord: (Unique("idem_key", ("idem_key",)),),
    InvoiceRecord: (Unique("one_invoice", ("org", "period")),),
    CreditNoteRecord: (Unique("one_place", ("invoice", "place")), Unique("one_approval", ("proposal",))),
}

ORDERS: Mapping[type[Record], tuple[Order, ...]] = {
    NodeRecord: (Order("healthy_registered", "healthy", "registered"),),
    SliceRecord: (
        Order("start_end", "start_ms", "end_ms", strict=True),
        Order("billed_held", "billed_milli_gpu_ms", "held_milli_gpu_ms"),
    ),
    LedgerTxRecord: (
        Order("occurred", "occurred_from_ms", "occurred_to_ms"),
        Order("reverses_earlier", "reverses_seq", "seq", strict=True),
    ),
}

ONE_OF: Mapping[type[Record], Mapping[str, tuple[str, ...]]] = {
    JobRecord: {"held_by": ("", "user", "admin", "array")},
    RankRecord: {"evidence": ("", "observed", "lost")},
    SliceRecord: {"evidence": ("observed", "lost")},
    OrgRecord: {"state": ("applied", "verified", "suspended", "expired", "closed")},
    ProjectRecord: {"state": ("active", "suspended", "closed")},
    MemberRecord: {"state": ("active", "removed")},
    CreditProposalRecord: {"reason": ("01", "02", "06")},
    PeriodRecord: {"state": ("open", "closing", "closed"), "calendar": ("month", "manual")},
}
"""Words a text field is limited to; enumerations are limited by their type."""

SIGNED: Mapping[type[Record], frozenset[str]] = {
    AttemptRecord: frozenset({"exit_code"}),
    RankRecord: frozenset({"exit_code"}),
    ClusterRecord: frozenset({"clock_offset_ms"}),
    ObservationRecord: frozenset({"rank"}),
    LedgerEntryRecord: frozenset({"amount"}),
}
"""Integer fields that may be negative; all others are 0 or more."""

POSITIVE: Mapping[type[Record], frozenset[str]] = {
    JobRecord: frozenset({"nodes", "gpus_per_node", "time_limit_ms", "version"}),
    AttemptRecord: frozenset({"number", "gpus", "version"}),
    RankRecord: frozenset({"attempt", "gpus", "version"}),
    SliceRecord: frozenset({"attempt", "gpus"}),
    ArtifactRecord: frozenset({"attempt"}),
    LedgerTxRecord: frozenset({"seq"}),
    LedgerEntryRecord: frozenset({"seq"}),
    CreditNoteRecord: frozenset({"place"}),
    CycleRecord: frozenset({"number"}),
    PolicyRecord: frozenset({"version"}),
}
"""Integer fields that are 1 or more. ``version`` of every record that changes is, too."""

INDEXES: Mapping[type[Record], tuple[tuple[str, ...], ...]] = {
    JobRecord: (
        ("state",),
        ("org", "project", "state"),
        ("user", "name"),
        ("submitted_seq",),
        ("submitted_at_ms",),
        ("array",),
    ),
    AttemptRecord: (("state",), ("cluster", "state"), ("settled",), ("org", "project"), ("admitted_at_ms",)),
    ObservationRecord: (("job", "attempt"), ("cluster", "at_ms")),
    MemberRecord: (("scope",),),
    TokenRecord: (("user",),),
    SliceRecord: (("job", "attempt"), ("org", "start_ms"), ("period", "org"), ("start_ms",), ("ledger_seq",)),
    LedgerTxRecord: (("period",),),
    LedgerEntryRecord: (("account", "unit"),),
    InvoiceRecord: (("period",),),
    CreditProposalRecord: (("invoice",),),
    CreditNoteRecord: (("org",),),
}
"""What is looked for by something else than the key."""


class Shape:
    """The fields of a record kind by what they hold, and its rules ready to run."""

    def __init__(self, kind: type[Record]) -> None:
        hints = typing.get_type_hints(kind)
        self.kind = kind
        self.table = table_name(kind)
        self.names = tuple(field.name for field in fields(kind))
        self.key: Callable[[Record], tuple[Any, ...]] = _tuple_getter(kind.KEY)
        self.values: Callable[[Record], tuple[Any, ...]] = _tuple_getter(self.names)
        self.optional = frozenset(name for name in self.names if type(None) in typing.get_args(hints[name]))
        self.types: dict[str, type] = {name: _plain_type(hints[name]) for name in self.names}
        self.versioned = "version" in self.names and not kind.APPEND_ONLY
        texts = self._of(str)
        self._texts = _tuple_getter(texts)
        self._keys = _tuple_getter(tuple(name for name in texts if name in kind.KEY))
        self._any_int = _tuple_getter(self._of(int))
        self._floors = {floor: self.at_least(floor) for floor in (0, 1)}
        self._puts = tuple(vars(kind)[name].__set__ for name in self.names)  # slots
        self._accepted: set[tuple[type, ...]] = set()
        self._one_of = tuple((name, frozenset(words)) for name, words in ONE_OF.get(kind, {}).items())
        self._orders = ORDERS.get(kind, ())

    def _of(self, plain: type) -> tuple[str, ...]:
        """Fields of exactly this type that are never None."""
        return tuple(name for name in self.names if self.types[name] is plain and name not in self.optional)

    def at_least(self, floor: int) -> tuple[str, ...]:
        """Integer fields whose smallest value is ``floor`` (0 or 1), for the checks."""
        positive = POSITIVE.get(self.kind, frozenset()) | (frozenset({"version"}) if self.versioned else frozenset())
        signed = SIGNED.get(self.kind, frozenset())
        return tuple(name for name in self._of(int) if name not in signed and (name in positive) == (floor == 1))

    def fault(self, record: Record) -> str:
        """Why this record may not be stored, in one sentence; empty when it may."""
        found = tuple(map(type, self.values(record)))
        if found not in self._accepted:
            wrong = self._wrong_type(found)
            if wrong:
                return wrong
            self._accepted.add(found)
        numbers = self._any_int(record)
        lowest = min(numbers, default=0)
        if lowest < INT_MIN or max(numbers, default=0) > INT_MAX:
            return f"{self.table}: an integer does not fit into 64 bits"
        if lowest < 0 and (name := self._below(record, 0)):
            return f"{self.table}: {name} must not be negative"
        if lowest < 1 and (name := self._below(record, 1)):
            return f"{self.table}: {name} must be 1 or more"
        if not all(self._keys(record)):
            return f"{self.table}: no part of its key may be empty"
        text = "".join(self._texts(record))
        if "\0" in text or not (text.isascii() or _encodes(text)):
            return f"{self.table}: a text holds a character that cannot be stored"
        return self._word_fault(record) or self._order_fault(record)

    def check_totals(self, fields: Sequence[str], by: Sequence[str]) -> None:
        """Raise ValueError unless ``fields`` are integers and ``by`` texts, none of which may be absent."""
        for names, plain in ((fields, int), (by, str)):
            for name in names:
                if name in self.optional or not issubclass(self.types.get(name, object), plain):
                    raise ValueError(f"{self.table}.{name} is not a field to sum or to group by")

    def make(self, rows: Sequence[Sequence[Any]], convert: Mapping[int, Callable[[Any], Any]]) -> list[Any]:
        """Records of rows whose values are in the order of ``names``, unchecked; ``convert`` by place in the row.

        Ten times as fast as calling the frozen class, which sets each field through object.__setattr__
        by name; here many records get a field in one loop without Python code in it.
        """
        if len(rows) < COLUMNS_FROM:
            return [
                self._made([convert[at](value) if at in convert else value for at, value in enumerate(row)])
                for row in rows
            ]
        new = object.__new__
        found: list[Any] = [new(self.kind) for _ in rows]
        for at, (put, column) in enumerate(zip(self._puts, zip(*rows, strict=True), strict=True)):
            values = map(convert[at], column) if at in convert else column
            deque(map(put, found, values), maxlen=0)
        return found

    def with_version(self, record: R, version: int) -> R:
        """The record with another version."""
        values = list(self.values(record))
        values[self.names.index("version")] = version
        changed: R = self._made(values)
        return changed

    def _made(self, values: Sequence[Any]) -> Any:
        record = object.__new__(self.kind)
        for put, value in zip(self._puts, values, strict=True):
            put(record, value)
        return record

    def plain_condition(self, field: str, op: str, value: object) -> Any:
        """The value of a condition as stores compare it (enumerations as text, ``in`` as a tuple).

        None equals None and nothing else. Raises ValueError for an unknown field or operator, a value
        of another type, None with an order, and more than IN_MAX values.
        """
        if field not in self.types or op not in OPERATORS:
            raise ValueError(f"no condition {field!r} {op!r} on {self.table}")
        if op == "in":
            if not isinstance(value, tuple) or len(value) > IN_MAX:
                raise ValueError(f"{self.table}.{field}: in takes a tuple of at most {IN_MAX} values")
            return tuple(self._plain_value(field, item) for item in value)
        if value is None and op in ("=", "!=") and field in self.optional:
            return None
        return self._plain_value(field, value)

    def _plain_value(self, field: str, value: object) -> Any:
        expected = self.types[field]
        if issubclass(expected, str) and isinstance(value, str):
            return str(value)
        if type(value) is not expected:
            raise ValueError(f"{self.table}.{field} is compared with {expected.__name__}, not {value!r}")
        return value

    def _wrong_type(self, found: tuple[type, ...]) -> str:
        for name, actual in zip(self.names, found, strict=True):
            if actual is not self.types[name] and not (actual is type(None) and name in self.optional):
                return f"{self.table}.{name} holds {self.types[name].__name__}, not {actual.__name__}"
        return ""

    def _below(self, record: Record, floor: int) -> str:
        return next((name for name in self._floors[floor] if getattr(record, name) < floor), "")

    def _word_fault(self, record: Record) -> str:
        for name, words in self._one_of:
            if getattr(record, name) not in words:
                return f"{self.table}.{name} is one of {', '.join(sorted(words))}, not {getattr(record, name)!r}"
        return ""

    def _order_fault(self, record: Record) -> str:
        for order in self._orders:
            low, high = getattr(record, order.low), getattr(record, order.high)
            if low > high or (order.strict and low == high):
                relation = "below" if order.strict else "at most"
                return f"{self.table}: {order.low} {low} must be {relation} {order.high} {high}"
        return ""


def shape_of(kind: type[R]) -> Shape:
    """The shape of a record kind, made once."""
    return _SHAPES[kind]


def table_name(kind: type[R]) -> str:
    """``LedgerTxRecord`` -> ``ledger_tx``."""
    name = kind.__name__.removesuffix("Record")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def step_fault(before: Record, after: Record) -> str:
    """Why ``after`` may not replace ``before``, in one sentence; empty when it may."""
    if isinstance(before, JobRecord) and isinstance(after, JobRecord):
        if after.state is not before.state and after.state not in JOB_STEPS[before.state]:
            return f"job: {before.state} -> {after.state} is not a legal step"
    elif isinstance(before, AttemptRecord) and isinstance(after, AttemptRecord):
        if after.state is not before.state and after.state not in ATTEMPT_STEPS[before.state]:
            return f"attempt: {before.state} -> {after.state} is not a legal step"
        if before.stop_reason is not None and after.stop_reason is not before.stop_reason:
            return f"attempt: its stop reason is {before.stop_reason} for ever"
    elif isinstance(before, NodeRecord) and isinstance(after, NodeRecord):
        return held_fault(before.held, after)
    return ""


def held_fault(held_before: int, node: NodeRecord) -> str:
    """Why a node's held GPUs may not rise from ``held_before``: more than are healthy would be held."""
    if node.held > held_before and node.held > node.healthy:
        return f"node: held may not rise to {node.held} with {node.healthy} healthy GPUs"
    return ""


class LedgerGuard:
    """Watches what one store transaction adds to the ledger: legs come with their transaction and sum to zero."""

    def __init__(self) -> None:
        self._transactions: set[int] = set()
        self._sums: dict[tuple[int, str], int] = {}

    def note(self, record: Record) -> None:
        """A record was added."""
        if isinstance(record, LedgerEntryRecord):
            place = (record.seq, record.unit)
            self._sums[place] = self._sums.get(place, 0) + record.amount
        elif isinstance(record, LedgerTxRecord):
            self._transactions.add(record.seq)

    def fault(self) -> str:
        """Why what was added may not be committed, in one sentence; empty when it may."""
        for (seq, unit), total in self._sums.items():
            if seq not in self._transactions:
                return f"ledger: legs of {seq} may only be added together with transaction {seq}"
            if total:
                return f"ledger: the legs of {seq} sum to {total} {unit}, not to zero"
        return ""


def _plain_type(hint: Any) -> type:
    """The one type of a field without None; raises TypeError for a field no store can keep."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        hint = options[0] if len(options) == 1 else hint
    if isinstance(hint, type) and (hint in (str, int, bool) or issubclass(hint, StrEnum)):
        return hint
    raise TypeError(f"a record field cannot be {hint}")


def _tuple_getter(names: tuple[str, ...]) -> Callable[[Record], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    if len(names) == 1:
        only = attrgetter(names[0])
        return lambda record: (only(record),)
    return lambda record: ()


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_SHAPES: Mapping[Any, Shape] = {kind: Shape(kind) for kind in RECORD_KINDS}
