"""Any text can be drawn: what the fonts lack, and what cannot be seen, is shown as its code point."""

from __future__ import annotations

import struct

import pytest

from scheduler.documents.glyphs import BREAK, FONTS, breakable, code_points, drawable, drawn, font_folder
from scheduler.documents.texts import LANGUAGES, words

TEXTS = {
    "Hangul and Latin stay": ("한빛에이아이 (주) A-1", "한빛에이아이 (주) A-1"),
    "a composed syllable is one character": ("\u1112\u1161\u11ab", "한"),
    "an emoji": ("GPU \U0001f600", "GPU [U+1F600]"),
    "the euro sign, which the fonts lack": ("€", "[U+20AC]"),
    "a Chinese character that they have": ("大", "大"),
    "one that they lack": ("\U00020000", "[U+20000]"),
    "a direction that would hide a name": ("a\u202eb", "a[U+202E]b"),
    "a width of zero": ("a\u200bb\u200d", "a[U+200B]b[U+200D]"),
    "a line feed and a control": ("a\nb\x07", "a[U+000A]b[U+0007]"),
    "a lone variation selector": ("\ufe0f", "[U+FE0F]"),
    "private use": ("\ue000", "[U+E000]"),
    "markup is text": ("#panic[x] $y$ *b* @c \\ <l>", "#panic[x] $y$ *b* @c \\ <l>"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_drawn(name: str) -> None:
    given, expected = TEXTS[name]
    assert drawn(given) == expected


def test_every_syllable_and_ascii_and_every_word_of_ours_can_be_drawn() -> None:
    known = drawable()
    assert known >= frozenset(range(0xAC00, 0xD7A4)) | frozenset(range(0x20, 0x7F))
    for lang in LANGUAGES:
        assert {name: text for name, text in words(lang).items() if drawn(text) != text} == {}


def test_long_words_can_be_broken_and_short_ones_stay() -> None:
    assert breakable("한빛 verify NUMBER") == "한빛 verify NUMBER"
    broken = breakable("x" * 60)
    assert broken.replace(BREAK, "") == "x" * 60
    assert [len(part) for part in broken.split(BREAK)] == [24, 24, 12]


def test_a_font_without_a_map_is_refused() -> None:
    content = (font_folder() / FONTS[0]).read_bytes()
    (tables,) = struct.unpack_from(">H", content, 4)
    place = next(12 + 16 * n for n in range(tables) if content[12 + 16 * n : 16 + 16 * n] == b"cmap")
    with pytest.raises(ValueError, match="no character map"):
        list(code_points(content[:place] + b"xxxx" + content[place + 4 :]))
