"""A small typed validator over nodes with places: it reports every mistake at once and never raises.

A ``Kind`` reads a node into a value and knows its JSON Schema. An ``Objects`` kind is a table of
``Field``s; the same table makes the validation, the published schema and the check of the reference
pages. Numbers are read from their text, so no float ever stands between a file and the books.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from scheduler.schema.report import Place, Report, listed, shown
from scheduler.schema.yamlpos import MERGE, Broken, Items, Node, Scalar, Table

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Kind(Protocol[T_co]):
    """Reads nodes of one type."""

    def read(self, node: Node, path: str, report: Report) -> T_co | None:
        """The value, or None after reporting why there is none."""

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema (2020-12), for editors."""


def join(path: str, name: str) -> str:
    """Path of a field inside ``path``."""
    return f"{path}.{name}" if path else name


def read_at(kind: Kind[T], node: Node, path: str, report: Report) -> T | None:
    """Read a node and remember its place under its path, and whether anything was wrong with it."""
    report.places[path] = node.place
    before = report.troubles
    value = kind.read(node, path, report)
    if value is None:
        report.distrust(path)
    if report.troubles > before:
        report.doubt(path)
    return value


def scalar(node: Node, path: str, wanted: str, report: Report) -> Scalar | None:
    """The node as a scalar with a value, or None after reporting that it is none."""
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        what = "a list" if isinstance(node, Items) else "a mapping"
        report.add(node.place, report.codes.form, f"{path} must be {wanted}, not {what}", f"write {wanted}")
        return None
    if node.empty:
        report.add(node.place, report.codes.form, f"{path} has no value", f"write {wanted}, or remove the field")
        return None
    return node


def table(node: Node, path: str, wanted: str, report: Report) -> Table | None:
    """The node as a mapping, or None after reporting that it is none; nothing at all is an empty mapping."""
    if isinstance(node, Table):
        if MERGE in node.odd:
            report.distrust(path)  # any field might have come with it
        return node
    if isinstance(node, Scalar) and node.empty:
        return Table(node.place, ())
    if not isinstance(node, Broken):
        what = "a list" if isinstance(node, Items) else shown(node.text)
        report.add(
            node.place, report.codes.form, f"{path or 'the file'} must be {wanted}, not {what}", f"write {wanted}"
        )
    return None


@dataclass(frozen=True)
class Field(Generic[T]):
    """A field of an ``Objects``: its name, how its value is read, and what the reference says of it."""

    name: str
    kind: Kind[T]
    doc: str
    required: bool = False
    example: str = ""
    aliases: tuple[str, ...] = ()


class Values:
    """What was read of an object: values by field, with the places of their keys."""

    def __init__(self, place: Place) -> None:
        """An object without fields that stands at ``place``."""
        self.place = place
        self.guessed: set[str] = set()
        """Fields that an unknown name was probably meant to be: not to be reported as missing as well."""
        self._values: dict[str, Any] = {}
        self._keys: dict[str, Place] = {}

    def put(self, name: str, key: Place, value: object) -> None:
        """Set a field; None stands for a value that was reported as wrong."""
        self._keys[name] = key
        self._values[name] = value

    def get(self, wanted: Field[T]) -> T | None:
        """The field's value; None when it is absent or was wrong."""
        value: T | None = self._values.get(wanted.name)
        return value

    def get_or(self, wanted: Field[T], default: T) -> T:
        """The field's value, or ``default`` when it is absent or was wrong."""
        value = self.get(wanted)
        return default if value is None else value

    def key_place(self, wanted: Field[Any]) -> Place | None:
        """Where the field's name stands; None when it was not given."""
        return self._keys.get(wanted.name)

    def __contains__(self, wanted: Field[Any]) -> bool:
        return wanted.name in self._keys

    def merged(self, over: Values) -> Values:
        """These values with those of ``over`` on top; objects and mappings merge, all else is replaced."""
        result = Values(self.place)
        result.guessed = self.guessed | over.guessed
        for name, key in {**self._keys, **over._keys}.items():
            old, new = self._values.get(name), over._values.get(name)
            value = new if name in over._keys else old
            if isinstance(old, Values) and isinstance(new, Values):
                value = old.merged(new)
            elif isinstance(old, dict) and isinstance(new, dict):
                value = {**old, **new}
            result.put(name, key, value)
        return result


@dataclass(frozen=True)
class Unsupported:
    """A field that is known and not read yet: refusing it beats ignoring it."""

    message: str
    fix: str


@dataclass(frozen=True)
class Objects:
    """A mapping with named fields; unknown ones are findings with the nearest known name.

    unsupported: known names that are refused with their own sentence. hints: names that other
    systems use, and ours for the same thing.
    """

    fields: tuple[Field[Any], ...]
    unsupported: Mapping[str, Unsupported] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    wanted: str = "a mapping of fields"

    def read(self, node: Node, path: str, report: Report) -> Values | None:
        """Read every field that is there, then report those that are missing."""
        found = table(node, path, self.wanted, report)
        if found is None:
            return None
        values = Values(found.place)
        by_name = {name: item for item in self.fields for name in (item.name, *item.aliases)}
        written: dict[str, str] = {}
        for key, value in found.entries:
            known = by_name.get(key.text)
            if known and key.text in found.odd:
                report.distrust(join(path, known.name))
            if known is None:
                guess = self._unknown(key, path, report)
                values.guessed.add(guess)
                if guess:
                    report.distrust(join(path, guess))
            elif known in values:
                other = f"{shown(key.text)} and {shown(written[known.name])} are the same field"
                report.add(key.place, report.codes.twice, other, f"keep {known.name}")
            else:
                written[known.name] = key.text
                values.put(known.name, key.place, read_at(known.kind, value, join(path, known.name), report))
        for item in self.fields:
            if item.required and item not in values and item.name not in values.guessed and MERGE not in found.odd:
                fix = f"add {item.name}: {item.example}" if item.example else f"add {item.name}"
                report.add(found.place, report.codes.missing, f"{join(path, item.name)} is missing", fix)
        return values

    def _unknown(self, key: Scalar, path: str, report: Report) -> str:
        """Report an unknown field; returns the name it was probably meant to be, or ""."""
        refused = self.unsupported.get(key.text)
        if refused:
            report.add(key.place, report.codes.unsupported, refused.message, refused.fix)
            return ""
        names = [item.name for item in self.fields]
        guess = self.hints.get(key.text) or report.guess(key.text, names)
        fix = f"did you mean {guess}?" if guess else f"known fields: {listed(names, 20)}"
        report.add(key.place, report.codes.unknown_field, f"unknown field {shown(join(path, key.text))}", fix)
        return guess

    def schema(self) -> dict[str, Any]:
        """An object schema without additional properties."""
        properties: dict[str, Any] = {}
        for item in self.fields:
            properties[item.name] = {"description": item.doc, **item.kind.schema()}
            for alias in item.aliases:
                properties[alias] = {"description": f"Another name of {item.name}.", **item.kind.schema()}
        required = [item.name for item in self.fields if item.required]
        shape: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**shape, "required": required} if required else shape


@dataclass(frozen=True)
class MapOf(Generic[T]):
    """A mapping with free keys; the result keeps the file's order."""

    key: Kind[str]
    value: Kind[T]
    wanted: str
    most: int
    least: int = 0

    def read(self, node: Node, path: str, report: Report) -> dict[str, T] | None:
        """Read every entry; wrong ones are reported and left out."""
        found = table(node, path, self.wanted, report)
        if found is None:
            return None
        if len(found.entries) > self.most:
            message = f"{path} has {len(found.entries)} entries; at most {self.most} are read"
            report.add(found.place, report.codes.out_of_range, message, "remove some")
            return None
        if len(found.entries) < self.least:
            report.add(found.place, report.codes.missing, f"{path} is empty", f"write {self.wanted}")
        result: dict[str, T] = {}
        before: Node = found
        for key, value in found.entries:
            if isinstance(value, Scalar) and value.empty and key.text.isdigit() and isinstance(before, Scalar):
                message = f'{path} has a "," inside a number, where it divides entries'
                report.add(before.place, report.codes.form, message, f"write {before.text}{key.text}")
                continue
            before = value
            name, inner = self.key.read(key, f"a name in {path}", report), join(path, key.text)
            report.names[inner] = key.place
            item = read_at(self.value, value, inner, report)
            if name is None or key.text in found.odd:
                report.distrust(inner)
            if name is not None and item is not None:
                result[name] = item
            else:
                report.leave_out(path, key.text)
        return result

    def schema(self) -> dict[str, Any]:
        """An object schema whose names follow the key's pattern."""
        shape = {"type": "object", "propertyNames": self.key.schema(), "additionalProperties": self.value.schema()}
        return {**shape, "minProperties": self.least, "maxProperties": self.most}


@dataclass(frozen=True)
class ListOf(Generic[T]):
    """A list; with ``one_alone`` a single value stands for a list of one; with ``unique`` none may repeat."""

    item: Kind[T]
    wanted: str
    most: int
    least: int = 0
    one_alone: bool = False
    unique: bool = False

    def read(self, node: Node, path: str, report: Report) -> list[T] | None:
        """Read every item; wrong ones are reported and left out."""
        if self.one_alone and isinstance(node, Scalar):
            alone = self.item.read(node, path, report)
            return None if alone is None else [alone]
        if not isinstance(node, Items):
            if not isinstance(node, Broken):
                what = "a mapping" if isinstance(node, Table) else "one value"
                report.add(
                    node.place, report.codes.form, f"{path} must be {self.wanted}, not {what}", f"write {self.wanted}"
                )
            return None
        if not self.least <= len(node.items) <= self.most:
            message = f"{path} has {len(node.items)} items; it takes {self.least} to {self.most}"
            report.add(node.place, report.codes.out_of_range, message, f"write {self.wanted}")
            return None
        return list(self._items(node.items, path, report))

    def _items(self, nodes: Sequence[Node], path: str, report: Report) -> Iterator[T]:
        seen: list[T] = []
        for number, node in enumerate(nodes):
            value = read_at(self.item, node, f"{path}[{number}]", report)
            if value is None:
                report.leave_out(path, str(number))
                continue
            if self.unique and value in seen:
                report.add(node.place, report.codes.twice, f"{path} names {shown(str(value))} twice", "keep one")
                continue
            seen.append(value)
            yield value

    def schema(self) -> dict[str, Any]:
        """An array schema, or one of an item and such an array."""
        shape: dict[str, Any] = {"type": "array", "items": self.item.schema()}
        shape |= {"minItems": self.least, "maxItems": self.most, "uniqueItems": self.unique}
        return {"anyOf": [self.item.schema(), shape]} if self.one_alone else shape
