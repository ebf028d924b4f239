"""What lies over a whole world by its seed: a long outage, a second operator of a cluster, clocks that are apart."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.sim.world.chance import Dice, pick
from scheduler.sim.world.scenario import MINUTE_MS, START_MS, Scenario

OUTAGE_MS = 12 * MINUTE_MS
OUTAGE_PATIENCE_MS = 20 * MINUTE_MS
"""So long a job may be let wait that could start, where there is an outage."""
APART_MS = 1_500
"""A process's clock is so far from the world's at most, and hence two clocks are twice as far apart."""
NETWORK, STORE = "network", "store"


@dataclass(frozen=True, slots=True)
class Hardship:
    """outage: of what, NETWORK (between operators and control plane) or STORE; "" for none.

    has_two_operators: of each cluster, and neither knows of the other. Attempts, books and usage must be right all the
    same. Two promises need one operator at a time, which a lock (on one machine) or a lease sees to: output is whole
    when a record is archived, and nobody vouches for an attempt that was erased before it was seen.
    """

    outage: str
    outage_from_ms: int
    has_two_operators: bool
    has_clocks_apart: bool

    def is_out(self, what: str, now_ms: int) -> bool:
        """Whether the network or the store is away at an instant."""
        return what == self.outage and 0 <= now_ms - self.outage_from_ms < OUTAGE_MS

    def patience_ms(self, usual_ms: int) -> int:
        """How long a job may be let wait that could start."""
        return max(usual_ms, OUTAGE_PATIENCE_MS) if self.outage else usual_ms

    def offset_ms(self, process: str, dice: Dice) -> int:
        """How far the clock of an allocator or a settler is from the world's."""
        return dice.of(f"clock {process}").randint(-APART_MS, APART_MS) if self.has_clocks_apart else 0


def draw_hardship(dice: Dice, scenario: Scenario) -> Hardship:
    """Roll once a world; an outage begins in the first half of the busy time."""
    rng = dice.of("hardship")
    outage = pick(rng, (NETWORK, STORE))
    from_ms = START_MS + rng.randrange(max(1, scenario.busy_ms // 2))
    return Hardship(
        outage if dice.happens("long_outage", "outage") else "",
        from_ms,
        has_two_operators=dice.happens("two_operators", "operators twice"),
        has_clocks_apart=dice.happens("clocks_apart", "clocks"),
    )
