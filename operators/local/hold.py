"""How long an attempt of which a rank has failed is kept, so that its owner can look at it. Pure: time is given."""

from __future__ import annotations

from dataclasses import dataclass

NOBODY = -1


@dataclass(slots=True)
class FailureHold:
    """The hold of one attempt; all times are milliseconds since its ranks were started.

    hold_ms: what the task asks for, 0 for no hold. limit_ms: the attempt's time limit, which no hold outlives.
    rank: the one that failed first, NOBODY while none has. until_ms: when the hold is over.
    """

    hold_ms: int
    limit_ms: int
    rank: int = NOBODY
    until_ms: int = 0

    def begin(self, rank: int, ran_ms: int) -> bool:
        """A rank has failed; True when that begins the hold, which happens once in an attempt's life."""
        if not self.hold_ms or self.rank != NOBODY:
            return False
        self.rank, self.until_ms = rank, min(ran_ms + self.hold_ms, self.limit_ms)
        return True

    def is_on(self, ran_ms: int) -> bool:
        """Whether the attempt is kept at this moment."""
        return self.rank != NOBODY and ran_ms < self.until_ms
