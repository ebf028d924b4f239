"""Kinds of single values: texts, choices, truth values, whole numbers, decimals, durations, instants, GPU requests.

YAML 1.1 would read ``on`` as true, ``12:30:00`` as 45000, ``0o17`` as a text and ``1_000`` as 1000. Here a
value is what its text says in the one form its field takes; other forms are findings that name the right one.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scheduler.core.units import MS_PER_SECOND, format_duration, parse_duration_ms, parse_ppm
from scheduler.schema.quantities import FLAVOR_PATTERN, GPUS_PER_NODE_MAX, Gpus, parse_gpus
from scheduler.schema.report import Report, listed, shown
from scheduler.schema.times import clock_duration_text, parse_rfc3339
from scheduler.schema.validate import scalar
from scheduler.schema.yamlpos import Node, Scalar

PPM_PLACES = 6
EXPONENT_MAX = 12
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TRUTH_LIKE = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_TRUTH_LIKE |= {"1": "true", "0": "false"}
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})\Z", re.ASCII)
_GROUPED = re.compile(r"[+]?(?P<digits>\d{1,3}(?:[,_]\d{3})+|\d+)(?P<part>\.\d+)?\Z", re.ASCII)
_OCTAL = re.compile(r"0o(?P<octal>[0-7]{1,12})\Z|0x(?P<hexadecimal>[0-9A-Fa-f]{1,12})\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_NO_OFFSET = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?\Z", re.ASCII)


@dataclass(frozen=True)
class Text:
    """A text; what stands without quotes is taken as it is written (``1.10`` stays ``1.10``, ``on`` stays ``on``).

    pattern: what the whole text must be, checked here and published in the JSON Schema.
    fix: what to write instead of a text that does not match.
    """

    wanted: str = "a text"
    longest: int = 65_536
    shortest: int = 1
    pattern: str = ""
    fix: Callable[[str], str] | None = None

    def read(self, node: Node, path: str, report: Report) -> str | None:
        """The text, or None after reporting that it is too long, too short or of another form."""
        found = scalar(node, path, self.wanted, report)
        if found is None:
            return None
        text = found.text
        if not self.shortest <= len(text) <= self.longest:
            message = f"{path} has {len(text)} characters; it takes {self.shortest} to {self.longest}"
            fix = "shorten it" if text else f"write {self.wanted}, or remove the field"
            report.add(found.place, report.codes.out_of_range, message, fix)
            return None
        if self.pattern and not re.fullmatch(self.pattern, text, re.ASCII):
            fix = self.fix(text) if self.fix else f"write {self.wanted}"
            report.add(found.place, report.codes.form, f"{path} must be {self.wanted}, not {shown(text)}", fix)
            return None
        return text

    def schema(self) -> dict[str, Any]:
        """A string schema; numbers and truth values are texts too where nothing but the length is asked for."""
        shape: dict[str, Any] = {"type": "string" if self.pattern else ["string", "number", "boolean"]}
        shape |= {"minLength": self.shortest, "maxLength": self.longest}
        return {**shape, "pattern": f"^(?:{self.pattern})$"} if self.pattern else shape


@dataclass(frozen=True)
class Choice:
    """One of a few words. later: words that are known and cannot be had yet, with the sentence that says so."""

    options: tuple[str, ...]
    later: tuple[tuple[str, str], ...] = ()

    def read(self, node: Node, path: str, report: Report) -> str | None:
        """The word, or None after reporting the words there are."""
        words = listed(self.options) if len(self.options) == 1 else f"one of {listed(self.options)}"
        found = scalar(node, path, words, report)
        if found is None:
            return None
        if found.text in self.options:
            return found.text
        for word, message in self.later:
            if found.text == word:
                report.add(found.place, report.codes.unsupported, message, f"write {words}")
                return None
        guess = report.guess(found.text, self.options)
        fix = f"did you mean {guess}?" if guess else f"write {words}"
        report.add(found.place, report.codes.form, f"{path} must be {words}, not {shown(found.text)}", fix)
        return None

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"enum": list(self.options)}


@dataclass(frozen=True)
class Flag:
    """``true`` or ``false``, nothing else."""

    def read(self, node: Node, path: str, report: Report) -> bool | None:
        """The truth value, or None after reporting the right form."""
        found = scalar(node, path, "true or false", report)
        if found is None:
            return None
        if found.style != "quoted" and found.text in _TRUTH:
            return _TRUTH[found.text]
        fix = f"write {_TRUTH_LIKE.get(found.text.lower(), found.text if found.text in _TRUTH else 'true or false')}"
        report.add(found.place, report.codes.form, f"{path} must be true or false, not {_written(found)}", fix)
        return None

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Whole:
    """A whole number in plain decimal digits, from ``least`` to ``most``."""

    least: int
    most: int

    def read(self, node: Node, path: str, report: Report) -> int | None:
        """The number, or None after reporting the right form or the range."""
        found = scalar(node, path, "a whole number", report)
        if found is None:
            return None
        if found.style == "quoted" or not _WHOLE.match(found.text):
            message = f"{path} must be a whole number, not {_written(found)}"
            report.add(found.place, report.codes.form, message, _whole_fix(found.text))
            return None
        value = int(found.text)
        if not self.least <= value <= self.most:
            message = f"{path} is {value}; it takes {self.least} to {self.most}"
            nearest_allowed = min(max(value, self.least), self.most)
            report.add(found.place, report.codes.out_of_range, message, f"write {nearest_allowed}")
            return None
        return value

    def schema(self) -> dict[str, Any]:
        """An integer with its range."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Decimal:
    """A decimal read from its text, scaled to an integer: ``places`` 6 gives parts per million, 3 milli-GPUs.

    least and most are in the scaled unit.
    """

    places: int
    least: int
    most: int
    wanted: str = "a number such as 0.45"

    def read(self, node: Node, path: str, report: Report) -> int | None:
        """The scaled value, or None after reporting the form, the places or the range."""
        found = scalar(node, path, self.wanted, report)
        if found is None:
            return None
        try:
            ppm = parse_ppm(found.text if found.style != "quoted" and found.text.isascii() else "")
        except ValueError:
            message = f"{path} must be {self.wanted}, not {_written(found)}"
            report.add(found.place, report.codes.form, message, self._fix(found.text))
            return None
        step: int = 10 ** (PPM_PLACES - self.places)
        value, rest = divmod(ppm, step)
        if rest:
            message = f"{path} has more than {self.places} decimal places"
            report.add(found.place, report.codes.form, message, f"round it to {self.places} places")
            return None
        if not self.least <= value <= self.most:
            low, high = self._text(self.least), self._text(self.most)
            message = f"{path} is {found.text}; it takes {low} to {high}"
            report.add(found.place, report.codes.out_of_range, message, f"write {low if value < self.least else high}")
            return None
        return value

    def _text(self, value: int) -> str:
        whole, part = divmod(value, 10**self.places)
        digits = f"{part:0{self.places}d}".rstrip("0")
        return f"{whole}.{digits}" if digits else str(whole)

    def _fix(self, text: str) -> str:
        """The same value in the form that is read, where there is one."""
        try:
            value = decimal.Decimal(re.sub("[,_]", "", text) if _GROUPED.match(text) else text)
        except decimal.InvalidOperation:
            value = decimal.Decimal("NaN")
        if not value.is_finite() or abs(value.adjusted()) > EXPONENT_MAX or len(text) > 40:
            return f"write {self.wanted}, with at most {self.places} places and no exponent"
        plain = format(value, "f")
        if len(plain.partition(".")[2]) > self.places:
            return f"round it to {self.places} places"
        return f"write {plain}"

    def schema(self) -> dict[str, Any]:
        """A number with its range; JSON Schema has no better word for a decimal."""
        scale = 10**self.places
        low, high = (value // scale if value % scale == 0 else value / scale for value in (self.least, self.most))
        return {"type": "number", "minimum": low, "maximum": high}


@dataclass(frozen=True)
class Duration:
    """A duration such as 90s, 10m, 12h or 7d, in whole seconds; the value is in milliseconds."""

    least_ms: int
    most_ms: int

    def read(self, node: Node, path: str, report: Report) -> int | None:
        """Milliseconds, or None after reporting the form or the range."""
        wanted = "a duration such as 90s, 10m, 12h or 7d"
        found = scalar(node, path, wanted, report)
        if found is None:
            return None
        try:
            value = parse_duration_ms(found.text if found.text.isascii() else "")
        except ValueError:
            message = f"{path} must be {wanted}, not {shown(found.text)}"
            report.add(found.place, report.codes.form, message, _duration_fix(found.text))
            return None
        if value % MS_PER_SECOND:
            message = f"{path} must be in whole seconds, not {found.text}"
            report.add(found.place, report.codes.form, message, f"write {value // MS_PER_SECOND + 1}s")
            return None
        if not self.least_ms <= value <= self.most_ms:
            low, high = format_duration(self.least_ms), format_duration(self.most_ms)
            message = f"{path} is {found.text}; it takes {low} to {high}"
            fix = f"write {low if value < self.least_ms else high}"
            report.add(found.place, report.codes.out_of_range, message, fix)
            return None
        return value

    def schema(self) -> dict[str, Any]:
        """A string with a unit."""
        return {"type": "string", "pattern": "^[0-9]{1,9}(?:ms|s|m|h|d)$"}


@dataclass(frozen=True)
class Instant:
    """An instant in RFC 3339 with its offset from UTC; the value is in milliseconds since 1970."""

    def read(self, node: Node, path: str, report: Report) -> int | None:
        """Milliseconds since 1970, or None after reporting the form."""
        wanted = "an instant such as 2026-12-01T00:00:00+09:00"
        found = scalar(node, path, wanted, report)
        if found is None:
            return None
        try:
            return parse_rfc3339(found.text)
        except ValueError:
            message = f"{path} must be {wanted}, not {shown(found.text)}"
            report.add(found.place, report.codes.form, message, _instant_fix(found.text))
            return None

    def schema(self) -> dict[str, Any]:
        """A string in the format date-time."""
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class GpuRequest:
    """``FLAVOR:N`` for each node; ``code`` is the code of a request that is none."""

    code: str

    def read(self, node: Node, path: str, report: Report) -> Gpus | None:
        """The request, or None after reporting what is wrong with it."""
        found = scalar(node, path, "FLAVOR:N", report)
        if found is None:
            return None
        try:
            return parse_gpus(found.text)
        except ValueError as error:
            message = f"{path} must be FLAVOR:N with whole GPUs for each node, not {shown(found.text)}: {error}"
            report.add(found.place, self.code, message, 'write for example "h100:1"')
            return None

    def schema(self) -> dict[str, Any]:
        """A string of a flavor and a number."""
        digits = len(str(GPUS_PER_NODE_MAX)) - 1
        return {"type": "string", "pattern": f"^{FLAVOR_PATTERN}:[1-9][0-9]{{0,{digits}}}$", "examples": ["H100:4"]}


def _written(found: Scalar) -> str:
    """The value as a message shows it, saying that quotes make a number a text."""
    return f"the text {shown(found.text)}" if found.style == "quoted" else shown(found.text)


def _whole_fix(text: str) -> str:
    """The same number in plain digits, where the text is one in another form."""
    octal = _OCTAL.match(text)
    if octal:
        return f"write {int(octal['octal'], 8) if octal['octal'] else int(octal['hexadecimal'], 16)}"
    grouped = _GROUPED.match(text)
    whole = grouped and not (grouped["part"] or "").strip(".0")
    digits = re.sub("[,_]", "", grouped["digits"]) if grouped and whole else ""
    return f"write {int(digits)}" if digits and len(digits) < 19 else "write plain digits"


def _duration_fix(text: str) -> str:
    """The same duration with a unit, where the text is one in another form."""
    clock = clock_duration_text(text)
    if clock:
        return f"write {clock}"
    if text.isascii() and text.isdigit() and len(text) < 10:
        return f"add the unit: {text}s, {text}m or {text}h"
    return "write a whole number and one unit: ms, s, m, h or d"


def _instant_fix(text: str) -> str:
    """The same instant with an offset, where only that is missing."""
    if _DATE.match(text):
        return f"write {text}T00:00:00+09:00"
    local = _NO_OFFSET.match(text)
    if local:
        return f"add the offset from UTC: {local[1]}T{local[2]}+09:00"
    return "write date, time and offset from UTC"
