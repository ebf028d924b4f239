"""Findings of one document, collected with their places: everything that is wrong is said at once.

A ``Place`` is a line and a column from 1, or the origin of a value that no file holds (a flag
such as ``--gpus``, an environment variable). Readers remember the place of every path, so that
a rule that looks at several fields can still point at the right one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.core.errors import Finding

FINDINGS_MAX = 100
COLLECTED_MAX = 1_000
SHOWN_LENGTH_MAX = 48


class Place(NamedTuple):
    """Line and column, both from 1, counted in characters; ``origin`` names a place outside files."""

    line: int
    column: int
    origin: str = ""


@dataclass(frozen=True, slots=True)
class FileCodes:
    """The codes under which one kind of file reports what every kind of file can get wrong."""

    unreadable: str
    syntax: str
    feature: str
    unknown_field: str
    twice: str
    missing: str
    form: str
    out_of_range: str
    unsupported: str


TASK_CODES = FileCodes(
    unreadable="DURE-1101",
    syntax="DURE-1102",
    feature="DURE-1103",
    unknown_field="DURE-1110",
    twice="DURE-1111",
    missing="DURE-1112",
    form="DURE-1113",
    out_of_range="DURE-1114",
    unsupported="DURE-1115",
)
POLICY_CODES = FileCodes(
    unreadable="DURE-1201",
    syntax="DURE-1202",
    feature="DURE-1203",
    unknown_field="DURE-1210",
    twice="DURE-1211",
    missing="DURE-1212",
    form="DURE-1213",
    out_of_range="DURE-1214",
    unsupported="DURE-1215",
)


class Report:
    """Collects the findings of one document and the place of every path that was read in it."""

    def __init__(self, file: str, codes: FileCodes) -> None:
        """``file`` is the name that findings carry; it is not opened."""
        self.file = file
        self.codes = codes
        self.places: dict[str, Place] = {}
        self._found: list[tuple[Place, Finding]] = []
        self._uncollected = 0

    def add(self, place: Place, code: str, message: str, fix: str = "") -> None:
        """Report one mistake at its place; from COLLECTED_MAX on they are only counted."""
        if len(self._found) >= COLLECTED_MAX:
            self._uncollected += 1
            return
        self._found.append((place, Finding(self.where(place), code, message, fix)))

    def add_at(self, path: str, code: str, message: str, fix: str = "") -> None:
        """Report one mistake at the place of a path, or of its nearest ancestor that was read."""
        self.add(self.place_of(path), code, message, fix)

    def where(self, place: Place) -> str:
        """``file:line:column``, or the origin of a value that stands in no file."""
        return place.origin or f"{self.file}:{place.line}:{place.column}"

    def place_of(self, path: str) -> Place:
        """Place of the path or of its nearest ancestor; the top of the file when none was read."""
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.places.get(path, Place(1, 1))

    def absorb(self, other: Report) -> None:
        """Take over the findings of another document of the same file."""
        self._found.extend(other._found)
        self._uncollected += other._uncollected

    def guess(self, word: str, options: Iterable[str]) -> str:
        """The option that is most like a misspelt word; "" when none is near, or after COLLECTED_MAX mistakes."""
        return nearest(word, options) if len(self._found) < COLLECTED_MAX else ""

    @property
    def clean(self) -> bool:
        """Nothing was found."""
        return not self._found

    def findings(self) -> list[Finding]:
        """All findings by place, each once; after FINDINGS_MAX a last one says how many were left out."""
        ordered = sorted(self._found, key=lambda item: (item[0], item[1].code, item[1].message))
        found = list(dict.fromkeys(finding for _, finding in ordered))
        if len(found) <= FINDINGS_MAX:
            return found
        more = len(found) - FINDINGS_MAX + self._uncollected
        last = found[FINDINGS_MAX - 1].where
        rest = Finding(last, self.codes.unreadable, f"{more} more findings are not shown", "mend those above first")
        return [*found[:FINDINGS_MAX], rest]


def shown(text: str) -> str:
    """A value as messages show it: in double quotes, on one line, cut after SHOWN_LENGTH_MAX characters."""
    cut = text if len(text) <= SHOWN_LENGTH_MAX else text[: SHOWN_LENGTH_MAX - 1] + "…"
    return json.dumps(cut, ensure_ascii=False)


def nearest(word: str, options: Iterable[str]) -> str:
    """The option that is most like a misspelt word; "" when none is near."""
    folded = {option.casefold(): option for option in sorted(options, reverse=True)}
    close = difflib.get_close_matches(word.casefold()[:64], list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def listed(options: Iterable[str], most: int = 12) -> str:
    """``a, b, c``; the rest of a long list is counted."""
    names = list(options)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
