"""Indices of a job array as people write them: ``1-20``, ``1-20:2``, ``1,3,5-9``, and ``%4`` for at most 4 at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scheduler.schema.report import Report, shown
from scheduler.schema.validate import scalar
from scheduler.schema.yamlpos import Node

SIZE_MAX = 1_000
"""Jobs of one array."""
INDEX_MAX = 999_999
TEXT_LENGTH_MAX = 200
BAD_ARRAY = "DURE-1310"
FIX = 'write for example "1-20", "1-20:2", "1,3,5-9" or "1-20%4"'
_NUMBER = r"(?:0|[1-9][0-9]{0,5})"
_PART = rf"{_NUMBER}(?:-{_NUMBER}(?::[1-9][0-9]{{0,5}})?)?"
PATTERN = rf"{_PART}(?:,{_PART})*(?:%[1-9][0-9]{{0,5}})?"
_MEMBER = re.compile(r"(?P<name>[^.\[\]]+)(?:\.(?P<dotted>[0-9]{1,6})|\[(?P<bracketed>[0-9]{1,6})\])\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ArrayRange:
    """The indices of an array in ascending order, and how many of its jobs may wait or run at once."""

    text: str
    indices: tuple[int, ...]
    at_once: int

    @property
    def size(self) -> int:
        """How many jobs the array has."""
        return len(self.indices)

    @property
    def is_limited(self) -> bool:
        """Whether some of its jobs have to wait for others of it."""
        return self.at_once < len(self.indices)


@lru_cache(maxsize=256)
def parse_array(text: str) -> ArrayRange:
    """The array that a text means; raises ValueError with what is wrong with it."""
    if len(text) > TEXT_LENGTH_MAX or re.fullmatch(PATTERN, text, re.ASCII) is None:
        raise ValueError("it is no list of indices and ranges")
    listed, _, limit = text.partition("%")
    indices: set[int] = set()
    for part in listed.split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        found = range(int(first), int(last or first) + 1, int(step or 1))
        if not found:
            raise ValueError(f"{span} ends before it begins")
        if len(found) > SIZE_MAX:
            raise ValueError(f"{part} has {len(found)} indices; an array has at most {SIZE_MAX}")
        if not indices.isdisjoint(found):
            raise ValueError(f"{part} repeats an index")
        indices.update(found)
    if len(indices) > SIZE_MAX:
        raise ValueError(f"it has {len(indices)} indices; an array has at most {SIZE_MAX}")
    return ArrayRange(text, tuple(sorted(indices)), min(int(limit or len(indices)), len(indices)))


def split_member(name: str) -> tuple[str, int | None]:
    """``ablate[3]`` and ``ablate.3`` as name and index; the index is None where the text names none."""
    found = _MEMBER.match(name)
    return (found["name"], int(found["dotted"] or found["bracketed"])) if found else (name, None)


@dataclass(frozen=True)
class Indices:
    """The ``array`` of a task file."""

    def read(self, node: Node, path: str, report: Report) -> str | None:
        """The text, or None after reporting what is wrong with it."""
        found = scalar(node, path, "the indices of an array", report)
        if found is None:
            return None
        try:
            return parse_array(found.text).text
        except ValueError as error:
            report.add(found.place, BAD_ARRAY, f"{path} {shown(found.text)}: {error}", FIX)
            return None

    def schema(self) -> dict[str, Any]:
        """One index as a number, or indices and ranges as a string."""
        return {
            "type": ["string", "integer"],
            "pattern": f"^{PATTERN}$",
            "maxLength": TEXT_LENGTH_MAX,
            "minimum": 0,
            "maximum": INDEX_MAX,
            "examples": ["1-20", "1-20%4"],
        }
