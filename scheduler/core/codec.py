"""Frozen dataclasses to JSON values and back, and the one canonical JSON text.

Supported field types: str, int, bool, None, StrEnum, tuples of one type (``tuple[T, ...]``),
fixed tuples, unions with None, and nested dataclasses. Floats are refused both ways.
"""

from __future__ import annotations

import functools
import hashlib
import json
import types
import typing
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any


def to_json(value: Any) -> Any:
    """JSON value of a dataclass, enum, tuple, list, mapping, str, int, bool or None; raises TypeError."""
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, str | bool | int):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(to_json(key)): to_json(item) for key, item in value.items()}
    raise TypeError(f"no JSON form for {type(value).__name__}")


def from_json(kind: Any, value: Any) -> Any:
    """Rebuild a value of type ``kind`` from its JSON value; raises ValueError on a mismatch."""
    if is_dataclass(kind):
        return _dataclass_from_json(kind, value)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _union_from_json(kind, value)
    if origin is tuple:
        return _tuple_from_json(kind, value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    supertype = getattr(kind, "__supertype__", kind)
    if (supertype is int and isinstance(value, bool)) or not isinstance(value, supertype):
        raise ValueError(f"expected {supertype.__name__}, found {value!r}")
    return value


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, non-ASCII as itself.

    For values without floats this is RFC 8785 as long as keys are in the Basic Multilingual
    Plane, where sorting by code point equals sorting by UTF-16 code unit.
    """
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_hex(text: str) -> str:
    """SHA-256 of the UTF-8 text, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _dataclass_from_json(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object for {kind.__name__}, found {value!r}")
    hints = _hints(kind)
    unknown = value.keys() - hints.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {sorted(unknown)[0]!r}")
    try:
        return kind(**{name: from_json(hints[name], item) for name, item in value.items()})
    except TypeError as error:
        raise ValueError(str(error)) from error


def _union_from_json(kind: Any, value: Any) -> Any:
    for option in typing.get_args(kind):
        if option is types.NoneType:
            if value is None:
                return None
            continue
        try:
            return from_json(option, value)
        except ValueError:
            continue
    raise ValueError(f"{value!r} fits none of {kind}")


def _tuple_from_json(kind: Any, value: Any) -> Any:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, found {value!r}")
    arguments = typing.get_args(kind)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(from_json(arguments[0], item) for item in value)
    if len(arguments) != len(value):
        raise ValueError(f"expected {len(arguments)} items, found {len(value)}")
    return tuple(from_json(option, item) for option, item in zip(arguments, value, strict=True))
