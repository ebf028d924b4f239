"""Amounts as text: GPU requests, milli-GPUs, GPU-seconds and GPU-hours, and Korean won."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scheduler.core.units import (
    MICRO_PER_WON,
    MILLI_GPU_MS_PER_GPU_HOUR,
    MILLI_GPU_MS_PER_GPU_SECOND,
    MILLI_PER_GPU,
)

GPUS_PER_NODE_MAX = 9_999
UNREADABLE_WON = -1
"""Stands for an amount of a document whose stored text cannot be read; no document has it."""
FLAVOR_PATTERN = r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}"
_GPUS = re.compile(rf"({FLAVOR_PATTERN}):([1-9]\d{{0,3}})\Z", re.ASCII)
_COUNT_ONLY = re.compile(r"\d+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Gpus:
    """A request for each node: a flavor's name or unique prefix as written, and whole GPUs from 1."""

    flavor: str
    per_node: int

    def __str__(self) -> str:
        """``FLAVOR:N``, as it is written."""
        return f"{self.flavor}:{self.per_node}"


def parse_gpus(text: str) -> Gpus:
    """Read ``FLAVOR:N``; raises ValueError with a sentence that says what is wrong."""
    match = _GPUS.match(text)
    if match:
        return Gpus(match[1], int(match[2]))
    flavor, colon, count = text.partition(":")
    if not colon:
        raise ValueError("it names no flavor" if _COUNT_ONLY.match(text) else "it names no number of GPUs")
    if not re.fullmatch(FLAVOR_PATTERN, flavor, re.ASCII):
        raise ValueError(f'"{flavor}" is no flavor\'s name')
    if _COUNT_ONLY.match(count) and int(count[:9]) == 0:
        raise ValueError("a job needs at least 1 GPU on each node")
    if re.fullmatch(r"0*[.]\d+|\d+[.]\d+", count, re.ASCII):
        raise ValueError("GPUs are requested whole")
    raise ValueError(f'"{count}" is no whole number from 1 to {GPUS_PER_NODE_MAX}')


def gpus_text(milli_gpus: int) -> str:
    """Milli-GPUs as GPUs with only the places they need: 12000 -> ``12``, 1500 -> ``1.5``."""
    sign = "-" if milli_gpus < 0 else ""
    whole, part = divmod(abs(milli_gpus), MILLI_PER_GPU)
    places = f"{part:03d}".rstrip("0")
    return f"{sign}{whole:,}.{places}" if places else f"{sign}{whole:,}"


def gpu_seconds_text(milli_gpu_ms: int) -> str:
    """Usage in GPU-seconds with three places, rounded half up: ``5,400.000``."""
    return _fixed(milli_gpu_ms, MILLI_GPU_MS_PER_GPU_SECOND, 3)


def gpu_hours_text(milli_gpu_ms: int, places: int = 2) -> str:
    """Usage in GPU-hours, rounded half up: ``1.50``."""
    return _fixed(milli_gpu_ms, MILLI_GPU_MS_PER_GPU_HOUR, places)


def won_text(won: int) -> str:
    """Won with thousands separators and the sign of the won: ``₩1,160``, ``-₩116``."""
    return f"{'-' if won < 0 else ''}₩{abs(won):,}"


def microwon_text(microwon: int, places: int = 0) -> str:
    """Micro-won as won, rounded half up (away from zero): 1160500000 -> ``₩1,161``; for screens, never for books."""
    text = _fixed(microwon, MICRO_PER_WON, places)
    return f"-₩{text[1:]}" if text.startswith("-") else f"₩{text}"


def _fixed(amount: int, unit: int, places: int) -> str:
    """``amount / unit`` with this many places, rounded half up, away from zero; integers only."""
    scale: int = 10**places
    scaled = (abs(amount) * scale * 2 + unit) // (unit * 2)
    sign = "-" if amount < 0 and scaled else ""
    whole, part = divmod(scaled, scale)
    return f"{sign}{whole:,}.{part:0{places}d}" if places else f"{sign}{whole:,}"
