"""Which characters the shipped fonts can draw, and how text that somebody wrote becomes text that they can.

A PDF/A must not refer to a glyph that is not there, and an invoice must be printable whatever an organisation is
called. A character without a glyph, or one that draws nothing, is shown as its code point: ``[U+1F600]``.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
import struct
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FONTS = ("NanumSquareR.ttf", "NanumSquareB.ttf")
FAMILY = "NanumSquare"
BREAK = "\u200b"
"""Where a long word may be broken; the typesetter draws nothing for it."""
WORD_MAX = 24
_LONG = re.compile(rf"\S{{{WORD_MAX + 1},}}")
# Of these categories nothing is to be seen, or it is not text: controls, directions, surrogates, private use, breaks.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def font_folder() -> Path:
    """The folder of the shipped fonts."""
    return Path(str(importlib.resources.files("scheduler.documents"))) / "fonts"


@functools.cache
def drawable() -> frozenset[int]:
    """Code points that every shipped font has a glyph for."""
    found = [frozenset(code_points((font_folder() / name).read_bytes())) for name in FONTS]
    return frozenset.intersection(*found)


def drawn(text: str) -> str:
    """The text in composed form, with ``[U+XXXX]`` for each character that cannot be seen, line feeds included."""
    known = drawable()
    return "".join(
        char if ord(char) in known and unicodedata.category(char) not in _UNSEEN else f"[U+{ord(char):04X}]"
        for char in unicodedata.normalize("NFC", text)
    )


def breakable(text: str) -> str:
    """The text with places in its long words at which a line may end."""
    return _LONG.sub(_broken, text)


def _broken(word: re.Match[str]) -> str:
    text = word[0]
    return BREAK.join(text[first : first + WORD_MAX] for first in range(0, len(text), WORD_MAX))


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text in it changed; names of fields stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {name: each_text(item, change) for name, item in value.items()}
    return value


def code_points(font: bytes) -> Iterator[int]:
    """Code points of a TrueType font's character map (formats 4 and 12); raises ValueError where it has neither."""
    (tables,) = struct.unpack_from(">H", font, 4)
    entries = [struct.unpack_from(">4sLLL", font, 12 + 16 * place) for place in range(tables)]
    start = next((offset for tag, _, offset, _ in entries if tag == b"cmap"), 0)
    (count,) = struct.unpack_from(">H", font, start + 2) if start else (0,)
    for place in range(count):
        _, _, offset = struct.unpack_from(">HHL", font, start + 4 + 8 * place)
        at = start + offset
        (form,) = struct.unpack_from(">H", font, at)
        if form == 12:
            yield from _format_12(font, at)
            return
        if form == 4:
            yield from _format_4(font, at)
            return
    raise ValueError("the font has no character map of format 4 or 12")


def _format_12(font: bytes, at: int) -> Iterator[int]:
    (groups,) = struct.unpack_from(">L", font, at + 12)
    for place in range(groups):
        first, last, glyph = struct.unpack_from(">LLL", font, at + 16 + 12 * place)
        yield from range(first if glyph else first + 1, last + 1)


def _format_4(font: bytes, at: int) -> Iterator[int]:
    (doubled,) = struct.unpack_from(">H", font, at + 6)
    count = doubled // 2

    def column(number: int) -> tuple[int, ...]:
        skip = 2 if number else 0  # a reserved word follows the first column
        return struct.unpack_from(f">{count}H", font, at + 14 + skip + number * doubled)

    ends, starts, deltas, offsets = (column(number) for number in range(4))
    places = at + 16 + 3 * doubled
    for segment in range(count):
        for code in range(starts[segment], min(ends[segment], 0xFFFE) + 1):
            glyph = code
            if offsets[segment]:
                where = places + 2 * segment + offsets[segment] + 2 * (code - starts[segment])
                (glyph,) = struct.unpack_from(">H", font, where)
            if (not offsets[segment] or glyph) and (glyph + deltas[segment]) & 0xFFFF:
                yield code
