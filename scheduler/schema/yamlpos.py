"""YAML with places: nodes that keep their source text, line and column, built from PyYAML's event stream.

Values stay text until a reader of a known type takes them: ``0.45`` never becomes a float, ``yes`` no
truth value, ``12:30:00`` no number. What makes a file mean more than it shows is refused with a finding:
anchors, aliases, tags, directives, keys given twice, control characters, several documents where one is
meant. Input is bounded in size and depth; nothing here raises for bad input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import yaml

from scheduler.schema.report import Place, Report, shown

SIZE_MAX_BYTES = 256 * 1024
DEPTH_MAX = 20
MERGE = "<<"
"""YAML 1.1's key that takes over another mapping's fields."""

# The C parser is fast enough for any file within SIZE_MAX_BYTES; wheels of PyYAML have it on every platform.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What YAML forbids, its rare line ends (editors would count other lines), and marks that reorder shown text.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]|\r(?!\n)"
)
_HIDDEN_IN_VALUE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value as written. ``plain``: without quotes; ``quoted``: in quotes or a block; ``given``: by a flag."""

    place: Place
    text: str
    style: Literal["plain", "quoted", "given"] = "plain"

    @property
    def empty(self) -> bool:
        """No value was written: nothing, ``~`` or ``null`` without quotes."""
        return self.style == "plain" and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; its keys are scalars and each occurs once. odd: keys that were reported: given again, or ``<<``."""

    place: Place
    entries: tuple[tuple[Scalar, Node], ...]
    odd: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Broken:
    """A value that was already reported; readers pass over it in silence."""

    place: Place


Node = Scalar | Items | Table | Broken


def read_yaml(content: bytes | str, report: Report, *, documents_max: int = 1) -> list[Node]:
    """The roots of all documents with content, in order; what is wrong goes to ``report``.

    Returns [] when the text cannot be read at all; otherwise also what stands beside a mistake, and the documents
    before one that is no YAML, so that everything can be reported at once.
    """
    text = _readable(content, report)
    if text is None:
        return []
    roots: list[Node] = []
    report.cut_short = True
    try:
        for root in _Builder(text, report).documents():
            roots.append(root)
        report.cut_short = False
    except _TooDeepError:
        pass
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, text, report)
    except yaml.YAMLError:
        report.add(Place(1, 1), report.codes.unreadable, "this is not YAML text", "save the file as UTF-8 text")
    roots = [root for root in roots if not (isinstance(root, Scalar) and root.empty)]
    if not roots and report.clean:
        report.add(Place(1, 1), report.codes.missing, "the file has no content", "write its fields")
    report.cut_short |= len(roots) > documents_max
    for extra in roots[documents_max:]:
        several = (
            f"only {'one document is' if documents_max == 1 else f'{documents_max} documents are'} read from a file"
        )
        report.add(extra.place, report.codes.feature, several, 'remove the "---" line and what follows it')
    return roots[:documents_max]


def _readable(content: bytes | str, report: Report) -> str | None:
    """The text without its byte order mark, or None after saying why it cannot be read."""
    size = len(content) if isinstance(content, bytes) else len(content.encode("utf-8", "surrogatepass"))
    if size > SIZE_MAX_BYTES:
        limit = f"the file has {size} bytes; at most {SIZE_MAX_BYTES} are read"
        report.add(Place(1, 1), report.codes.unreadable, limit, report.codes.shorten)
        return None
    if isinstance(content, bytes):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            place = _place(content[: error.start].decode("utf-8"), error.start)
            report.add(place, report.codes.unreadable, "the file is not UTF-8 text", "save it with the encoding UTF-8")
            return None
    else:
        text = content
    text = text.removeprefix("\ufeff")
    hidden = list(_HIDDEN.finditer(text))
    if not hidden:
        return text
    more = f", the first of {len(hidden)}" if hidden[1:] else ""
    message = f"a control character (U+{ord(hidden[0][0]):04X}) stands here{more}"
    report.add(_place(text, hidden[0].start()), report.codes.unreadable, message, "remove it")
    return None


def _place(text: str, index: int) -> Place:
    before = text[:index]
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _at(mark: Any) -> Place:
    """Place of a mark of either parser; they share no type. An absent mark is the top of the file."""
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


class _TooDeepError(Exception):
    """The text is nested deeper than DEPTH_MAX; it has been reported and nothing more of it is read."""


class _Builder:
    """Builds nodes from events; recursion is bounded by DEPTH_MAX."""

    def __init__(self, text: str, report: Report) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._report = report

    def documents(self) -> Iterator[Node]:
        """The root of every document."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if event.version or event.tags:
                    self._refuse(_at(event.start_mark), "directives (%YAML, %TAG) are not read", "remove them")
                yield self._node(next(self._events), 1)

    def _refuse(self, place: Place, message: str, fix: str) -> None:
        self._report.add(place, self._report.codes.feature, message, fix)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        place = _at(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            message = f"the alias *{event.anchor} is not followed"
            self._refuse(place, message, 'write the value out; a text that begins with "*" needs quotes')
            return Broken(place)
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor:
            fix = 'remove it; a text that begins with "&" needs quotes'
            self._refuse(place, f"the anchor &{anchor} is not read", fix)
        if tag:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            fix = 'remove it; a text that begins with "!" needs quotes'
            self._refuse(place, f"the tag {shown(tag)} is not read", fix)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if depth > DEPTH_MAX:
            self._refuse(place, f"values are nested deeper than {DEPTH_MAX} levels", "write it flatter")
            # Parsing on would take time that grows with the square of the depth.
            raise _TooDeepError
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(place, tuple(self._items(depth)))
        odd: set[str] = set()
        entries = tuple(self._entries(depth, odd))
        return Table(place, entries, frozenset(odd))

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        hidden = _HIDDEN_IN_VALUE.search(event.value)
        if hidden:
            message = f"the text holds a control character (U+{ord(hidden[0]):04X}) as an escape"
            self._report.add(place, self._report.codes.unreadable, message, "remove the escape")
            return Broken(place)
        return Scalar(place, event.value, "quoted" if event.style else "plain")

    def _items(self, depth: int) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            yield self._node(event, depth + 1)

    def _entries(self, depth: int, odd: set[str]) -> Iterator[tuple[Scalar, Node]]:
        """The entries in order; keys that come again, and ``<<``, are added to ``odd``."""
        seen: dict[str, Place] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                return
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar) or key.empty:
                if not isinstance(key, Broken):
                    self._refuse(key.place, "a field's name must be a plain text", "write NAME: VALUE")
            elif key.text == MERGE and key.style == "plain":
                odd.add(MERGE)
                self._refuse(key.place, "the merge key << is not read", "write the fields out where they are needed")
            elif key.text in seen:
                odd.add(key.text)
                first = seen[key.text]
                message = f"{shown(key.text)} is given twice; the first is at line {first.line}"
                self._report.add(key.place, self._report.codes.twice, message, "keep one of them")
            else:
                seen[key.text] = key.place
                yield key, value


class _Mistake(NamedTuple):
    """How a parser's complaint reads for people; ``opening``: point at where the construct began."""

    complaint: str
    message: str
    fix: str
    opening: bool = False


_QUOTE_IT = "put the text in quotes"
_MISTAKES = (
    _Mistake(
        "mapping values are not allowed",
        'a ":" stands where no field can begin',
        'put a text that holds ": " in quotes, and give each field its own line, indented like its neighbours',
    ),
    _Mistake("found unexpected ':'", 'a ":" has no space after it', 'put a space after the ":", or write the value'),
    _Mistake("find expected ':'", 'a line has no ":" and is no field', "write NAME: VALUE", True),
    _Mistake("',' or ']'", 'the list that begins here lacks a "," or its "]"', "close it", True),
    _Mistake("',' or '}'", 'the mapping that begins here lacks a "," or its "}"', "close it", True),
    _Mistake("unexpected end of stream", "the text that begins here lacks its closing quote", "close it", True),
    _Mistake("unexpected document", "the text that begins here lacks its closing quote", "close it", True),
    _Mistake("escape", "an escape in a text in double quotes is unknown", "double the backslash or use single quotes"),
    _Mistake("hexdecimal", "an escape in a text in double quotes is unknown", "double the backslash"),
    _Mistake("cannot start any token", "a value cannot begin with this character", _QUOTE_IT),
    _Mistake("alphabetic or numeric", 'a value cannot begin with "*" or "&"', _QUOTE_IT),
    _Mistake("tag", 'a value cannot begin with "!"', _QUOTE_IT),
    _Mistake("expected key", "the indentation of this line fits no line above it", "align it with its neighbours"),
    _Mistake("expected '-'", "this line is no part of the list above it", "align it with its neighbours"),
    _Mistake("block sequence entries", 'a "-" stands where no list can begin', "begin the list on a line of its own"),
    _Mistake("expected node content", "a value is missing here", "write one, or remove the comma or sign before it"),
    _Mistake("expected the node content", "a value is missing here", "write one"),
    _Mistake("<document start>", "this line is no part of the document above it", "align it with its neighbours"),
)


def _report_syntax(error: yaml.MarkedYAMLError, text: str, report: Report) -> None:
    """Say in one sentence what the parser could not read, and where."""
    place = _at(error.problem_mark or error.context_mark)
    lines = text.split("\n")
    line = lines[min(place.line, len(lines)) - 1]
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        at = Place(place.line, indent.index("\t") + 1)
        report.add(at, report.codes.syntax, "a tab is used for indentation", "indent with spaces")
        return
    problem = error.problem or ""
    for mistake in _MISTAKES:
        if mistake.complaint in problem:
            if mistake.opening and error.context_mark:
                place = _at(error.context_mark)
            report.add(place, report.codes.syntax, mistake.message, mistake.fix)
            return
    report.add(place, report.codes.syntax, f"this is not YAML: {problem}", "check the line and the one above it")
