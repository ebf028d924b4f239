"""How an amount becomes whole won: a mode, and the smallest step. docs/decisions/0002 says where it happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scheduler.core.errors import invariant


class RoundingMode(StrEnum):
    """What happens to a fraction: cut off, or rounded with halves away from zero."""

    DOWN = "down"
    HALF_UP = "half-up"


@dataclass(frozen=True, slots=True)
class Rounding:
    """How an amount becomes whole won: the mode, and the smallest step (1, or 10 where the treasury is paid)."""

    mode: RoundingMode = RoundingMode.DOWN
    quantum_won: int = 1

    def __post_init__(self) -> None:
        invariant(self.quantum_won >= 1, "amounts are rounded to one won or more")

    def won(self, numerator: int, denominator: int) -> int:
        """``numerator / denominator`` won as a multiple of the quantum; numerator >= 0, denominator > 0."""
        invariant(numerator >= 0 and denominator > 0, "only amounts of zero or more are rounded")
        step = denominator * self.quantum_won
        steps = numerator // step if self.mode is RoundingMode.DOWN else (2 * numerator + step) // (2 * step)
        return steps * self.quantum_won


DOWN_TO_ONE_WON = Rounding()
"""The default for lines and for tax: no tenant is charged a won that was not wholly used."""
