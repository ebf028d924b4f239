"""One entry of the catalogue of error codes."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """title: a few words; explanation: sentences for who met it; example: a line that helps; reserved: not in use.

    why: of a refusal, the reason of the rule in half a sentence.
    """

    title: str
    explanation: str
    example: str
    reserved: bool = False
    why: str = ""
