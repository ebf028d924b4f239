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
    shorten: str
    """What to do about a file that is too large."""


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
    shorten="move large texts into the work directory",
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
    shorten="shorten it: comments and reasons count too",
)


class Report:
    """Collects the findings of one document and the place of every path that was read in it."""

    def __init__(self, file: str, codes: FileCodes) -> None:
        """``file`` is the name that findings carry; it is not opened."""
        self.file = file
        self.codes = codes
        self.places: dict[str, Place] = {}
        self.names: dict[str, Place] = {}
        """Places of the names of entries, by path; ``places`` has those of their values."""
        self.left_out: dict[str, set[str]] = {}
        """Path of a mapping or list -> names of its entries that could not be read at all."""
        self.troubles = 0
        """How much was wrong up to now; readers compare it before and after."""
        self.cut_short = False
        """There is more in the text that could not be read."""
        self._doubtful: set[str] = set()
        self._distrusted: set[str] = set()
        self._found: list[tuple[Place, Finding]] = []
        self._uncollected = 0

    def add(self, place: Place, code: str, message: str, fix: str = "") -> None:
        """Report one mistake at its place; from COLLECTED_MAX on they are only counted."""
        self.troubles += 1
        if len(self._found) >= COLLECTED_MAX:
            self._uncollected += 1
            return
        self._found.append((place, Finding(self.where(place), code, message, fix)))

    def add_at(self, path: str, code: str, message: str, fix: str = "") -> None:
        """Report one mistake at the place of a path, or of its nearest ancestor that was read."""
        self.add(self.place_of(path), code, message, fix)

    def add_at_name(self, path: str, code: str, message: str, fix: str = "") -> None:
        """Report one mistake at the name of the entry at a path."""
        self.add(self.names.get(path) or self.place_of(path), code, message, fix)

    def doubt(self, path: str) -> None:
        """Remember that something at or inside a path was reported: a rule must not draw conclusions from it."""
        self._doubtful.add(path)

    def distrust(self, path: str) -> None:
        """Remember that nothing is known of what stands at a path, or of anything inside it."""
        self.troubles += 1
        self._distrusted.add(path)

    def leave_out(self, path: str, name: str) -> None:
        """Remember that an entry of the mapping or list at ``path`` could not be read at all."""
        self.left_out.setdefault(path, set()).add(name)

    def sure(self, path: str) -> bool:
        """Nothing at or inside the path was reported, and nothing around it was lost to a mistake."""
        return path not in self._doubtful and self.known(path)

    def known(self, path: str) -> bool:
        """Neither what stands at the path nor anything around it was lost to a mistake."""
        ends = [place for place, char in enumerate(path) if char in ".["]
        return not any(path[:end] in self._distrusted for end in [0, *ends, len(path)])

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
