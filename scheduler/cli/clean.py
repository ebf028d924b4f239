"""Text from files and servers as a terminal may show it: nothing in it can move the cursor or hide a word."""

from __future__ import annotations

import re
import unicodedata

# Escape sequences whole (CSI, OSC and other strings, two-character ones), then every control, then marks that reorder.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_SPACES = re.compile(r"[\t\r\n\v\f\x85\u2028\u2029]+")
ECHO_MAX = 200
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def clean(text: str) -> str:
    """The text on one line, without escape sequences, control characters and marks that reorder it."""
    return _HIDDEN.sub("", _SPACES.sub(" ", _ESCAPES.sub("", text)))


def clean_lines(text: str) -> str:
    """The text with its line ends kept, each line cleaned."""
    return "\n".join(clean(line) for line in text.replace("\r\n", "\n").split("\n"))


def clean_json(text: str) -> str:
    """JSON text with what a terminal might act upon written as escapes; the value stays the same."""
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def unsafe(text: str) -> bool:
    """Whether JSON text holds what a terminal might act upon."""
    return _UNSAFE_IN_JSON.search(text) is not None


def shortened(text: str) -> str:
    """What a user wrote, in quotes as a message shows it: on one line, cut after ECHO_MAX characters."""
    return repr(text if len(text) <= ECHO_MAX else text[: ECHO_MAX - 1] + "…")


def width(text: str) -> int:
    """Columns that a text takes on a terminal: two for Hangul and other wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
