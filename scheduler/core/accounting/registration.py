"""The Korean business registration number (NNN-NN-NNNNN) and its check digit.

Weights 1 3 7 1 3 7 1 3 5 on the first nine digits, plus the tens of five times the ninth; the
tenth digit fills the sum up to a multiple of ten. Whether the business still exists only the tax
service knows; this is arithmetic.
"""

from __future__ import annotations

import re

_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)
_FORM = re.compile(r"([0-9]{3})-?([0-9]{2})-?([0-9]{5})\Z")


def check_digit(first_nine: str) -> int:
    """The tenth digit that belongs to nine digits; raises ValueError unless they are nine ASCII digits."""
    if re.fullmatch(r"[0-9]{9}", first_nine) is None:
        raise ValueError(f"not nine digits: {first_nine!r}")
    digits = [int(digit) for digit in first_nine]
    total = sum(weight * digit for weight, digit in zip(_WEIGHTS, digits, strict=True)) + 5 * digits[8] // 10
    return (10 - total % 10) % 10


def normalise(text: str) -> str:
    """The number as NNN-NN-NNNNN, with or without hyphens in ``text``; raises ValueError with one sentence."""
    match = _FORM.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no business registration number of the form NNN-NN-NNNNN")
    digits = "".join(match.groups())
    if digits == "0" * 10:
        raise ValueError("000-00-00000 is no business registration number")
    expected = check_digit(digits[:9])
    if int(digits[9]) != expected:
        raise ValueError(f"{text!r} is no business registration number: its last digit would be {expected}")
    return "-".join(match.groups())


def is_valid(text: str) -> bool:
    """Whether ``normalise`` accepts the text."""
    try:
        normalise(text)
    except ValueError:
        return False
    return True
