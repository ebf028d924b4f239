"""How mistakes look: ``error[DURE-nnnn] place  sentence``, the line with a caret, the fix, and where to read more."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from scheduler.cli.clean import clean, width
from scheduler.cli.exits import REFUSED_PREFIX
from scheduler.cli.program import as_called
from scheduler.cli.streams import tell
from scheduler.core.errors import DureError, Finding

SHOWN_COLUMNS_MAX = 100
MORE_MAX = 3
FINDINGS_MAX = 50
_PLACE = re.compile(r"(?P<file>.+):(?P<line>\d{1,9}):(?P<column>\d{1,9})\Z", re.DOTALL)
_WORD = re.compile(r"\"[^\"]*\"|'[^']*'|[^\s,:{}\[\]\"'#]+")
RED, YELLOW, BOLD, DIM = "31;1", "33;1", "1", "2"


def colourful(stream: TextIO) -> bool:
    """Whether a stream is a terminal that wants colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """The text in an SGR style where the stream wants colours."""
    return f"\x1b[{style}m{text}\x1b[0m" if colourful(stream) else text


class Fault(DureError):
    """Findings of the user's own files: shown one by one with their source lines; exit code by the first's code."""

    def __init__(self, findings: Iterable[Finding], sources: Mapping[str, str] | None = None) -> None:
        """``sources``: text of the files that findings name, for the excerpts."""
        self.findings = tuple(findings)
        self.sources = dict(sources or {})
        self.status: int | None = None
        """HTTP status of the answer that the findings come from; it decides the exit code."""
        first = self.findings[0]
        super().__init__(first.code, first.message, first.fix)


def show_error(error: DureError) -> None:
    """Print an error with all its findings on standard error."""
    to = sys.stderr
    findings: tuple[Finding, ...] = getattr(error, "findings", ())
    sources: Mapping[str, str] = getattr(error, "sources", {})
    lines: list[str] = []
    # A server's sentence is often its first finding's: then the findings say all of it.
    said = isinstance(error, Fault) or any(finding.message and finding.message in error.message for finding in findings)
    if not findings or not said:
        lines += _headline(error.code, "", error.message, to)
        lines += _why(error.code) + _fix(error.fix)
    for finding in findings[:FINDINGS_MAX]:
        lines += show_finding(finding, sources, to)
    if findings and said and not any(finding.fix for finding in findings):
        lines += _fix(error.fix)
    if len(findings) > FINDINGS_MAX:
        lines.append(f"and {len(findings) - FINDINGS_MAX} more findings")
    codes = list(dict.fromkeys([finding.code for finding in findings] or [error.code]))
    lines += [f"  more  {as_called(f'dure explain {clean(code)}')}" for code in codes[:MORE_MAX]]
    tell("\n".join(lines) + "\n")


def show_finding(finding: Finding, sources: Mapping[str, str], stream: TextIO) -> list[str]:
    """The lines of one finding: place and sentence, excerpt, fix."""
    lines = _headline(finding.code, finding.where, finding.message, stream)
    place = _PLACE.match(finding.where)
    if place and place["file"] in sources:
        lines += excerpt(sources[place["file"]], int(place["line"]), int(place["column"]))
    return lines + _why(finding.code) + _fix(finding.fix)


def _headline(code: str, where: str, message: str, stream: TextIO) -> list[str]:
    mark = paint(f"error[{clean(code)}]", RED, stream)
    place = f" {clean(where)} " if where else ""
    return [f"{mark}{place} {clean(message)}"]


def _why(code: str) -> list[str]:
    """Why there is such a rule, where a policy or a quota has refused something."""
    if not code.startswith(REFUSED_PREFIX):
        return []
    from scheduler.schema.codes import CODES

    entry = CODES.get(code)
    return [f"  why   {entry.why}"] if entry and entry.why else []


def _fix(fix: str) -> list[str]:
    return [f"  fix   {clean(fix)}"] if fix else []


def excerpt(text: str, line: int, column: int) -> list[str]:
    """A line of a text with carets under the word at ``column``; nothing when there is no such line."""
    lines = text.removeprefix("\ufeff").split("\n")
    if not 1 <= line <= len(lines):
        return []
    source = lines[line - 1].rstrip("\r").replace("\t", " ")
    start = min(column - 1, len(source))
    word = _WORD.match(source, start)
    length = len(word[0]) if word else 1
    cut = max(0, start - SHOWN_COLUMNS_MAX // 2) if len(source) > SHOWN_COLUMNS_MAX else 0
    before, marked = clean(source[cut:start]), source[start : start + length]
    shown = clean(source[cut : cut + SHOWN_COLUMNS_MAX])
    left = "…" if cut else ""
    carets = "^" * min(max(1, width(clean(marked))), SHOWN_COLUMNS_MAX)
    gutter = f"{line:>5} | "
    return [f"{gutter}{left}{shown}", f"{'':>5} | {' ' * width(left + before)}{carets}"]


def warn(text: str) -> None:
    """A warning on standard error."""
    tell(f"{paint('warning', YELLOW, sys.stderr)} {clean(text)}\n")
