"""Whole-number units: every quantity that decides, meters or bills is an integer.

A float never enters: decimals are read from their text (``parse_ppm``) into parts per million.
"""

from __future__ import annotations

import re
from typing import NewType

MilliGpus = NewType("MilliGpus", int)
"""Thousandths of one whole GPU; entitlements use it, requests are whole GPUs times 1,000."""
MilliGpuMs = NewType("MilliGpuMs", int)
"""Milli-GPUs times milliseconds: the unit of usage. One GPU-hour is 3,600,000,000."""
MicroWon = NewType("MicroWon", int)
"""Millionths of one Korean won; the unit of every ledger entry of money."""
Won = NewType("Won", int)
"""Whole won; appears on invoice lines only."""
Ppm = NewType("Ppm", int)
"""Parts per million: weights, exchange rates and price factors."""
AtMs = NewType("AtMs", int)
"""An instant: milliseconds since 1970-01-01T00:00:00Z."""

PPM_ONE = Ppm(1_000_000)
MILLI_PER_GPU = 1_000
MS_PER_SECOND = 1_000
MS_PER_HOUR = 3_600_000
MICRO_PER_WON = 1_000_000
MILLI_GPU_MS_PER_GPU_SECOND = MILLI_PER_GPU * MS_PER_SECOND
MILLI_GPU_MS_PER_GPU_HOUR = MILLI_PER_GPU * MS_PER_HOUR

_DECIMAL = re.compile(r"(?P<sign>-?)(?P<whole>\d{1,12})(?:\.(?P<part>\d{1,6}))?\Z", re.ASCII)
_DURATION = re.compile(r"(?P<count>\d{1,9})(?P<unit>ms|s|m|h|d)\Z", re.ASCII)
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": MS_PER_HOUR, "d": 24 * MS_PER_HOUR}


def parse_ppm(text: str) -> Ppm:
    """Read a decimal such as ``0.45`` (at most 6 places) into parts per million.

    Raises ValueError when the text is no such decimal.
    """
    match = _DECIMAL.match(text)
    if match is None:
        raise ValueError(f"not a decimal with at most 6 places: {text!r}")
    part = (match["part"] or "").ljust(6, "0")
    value = int(match["whole"]) * PPM_ONE + int(part)
    return Ppm(-value if match["sign"] else value)


def format_ppm(value: int) -> str:
    """Write parts per million as the shortest decimal: 450000 -> ``0.45``."""
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value), PPM_ONE)
    digits = f"{part:06d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def parse_duration_ms(text: str) -> int:
    """Read ``90s``, ``10m``, ``12h`` or ``7d`` into milliseconds; raises ValueError otherwise."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"not a duration such as 90s, 10m, 12h or 7d: {text!r}")
    return int(match["count"]) * _DURATION_MS[match["unit"]]


def format_duration(duration_ms: int) -> str:
    """Write milliseconds with the largest unit that divides them: 600000 -> ``10m``."""
    for unit in ("d", "h", "m", "s"):
        if duration_ms and duration_ms % _DURATION_MS[unit] == 0:
            return f"{duration_ms // _DURATION_MS[unit]}{unit}"
    return f"{duration_ms}ms"


def times_ppm(amount: int, factor: int) -> int:
    """``amount`` times a factor in ppm, rounded toward minus infinity."""
    return amount * factor // PPM_ONE
