"""One failure at one transaction, at every place in turn: the world always comes to rest with all its promises kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.sim.world import Parts, World
from scheduler.sim.world.chance import Dice
from scheduler.sim.world.scenario import MINUTE_MS, draw
from scheduler.sim.world.watched import WRITE_STREAM

SEED = 4
JOBS = 3
BUSY_MS = 10 * MINUTE_MS
FAILURES = ("store_refuses", "commit_fails", "commit_unknown", "crash")
PLACES_A_FAILURE = 16
STEPS_MAX = 20_000


class OneFailure(Dice):
    """Nothing goes wrong but ``what``, at its ``place``-th occasion."""

    what = ""
    place = 0

    def happens(self, what: str, where: str) -> bool:
        """Count the occasions of the busy time."""
        if self.calm or where != WRITE_STREAM:
            return False
        self.counts[f"occasions of {what}"] += 1
        return what == self.what and self.counts[f"occasions of {what}"] == self.place


def one_failure(what: str, place: int) -> type[OneFailure]:
    """Dice that strike once."""
    return type("OneFailureHere", (OneFailure,), {"what": what, "place": place})


def run(dice: type[OneFailure]) -> World:
    """A small world in which nothing else goes wrong, and hence nobody waits for long."""
    scenario = replace(draw(SEED, JOBS), busy_ms=BUSY_MS, lease_ms=60_000)
    world = World(scenario, Parts(dice=dice, patience_ms=2 * MINUTE_MS), STEPS_MAX)
    world.run()
    return world


def ends(world: World) -> dict[str, int]:
    """Jobs by state: one failure may cost time, never a job."""
    counts = world.report().counts
    return {name: count for name, count in counts.items() if name.startswith("jobs")}


@pytest.mark.world
@pytest.mark.parametrize("failure", FAILURES)
def test_one_failure_at_any_transaction(failure: str) -> None:
    clean = run(OneFailure)
    assert clean.report().findings == ()
    count = clean.dice.counts[f"occasions of {failure}"]
    assert count > 3 * PLACES_A_FAILURE
    for place in range(1, count + 1, count // PLACES_A_FAILURE):
        world = run(one_failure(failure, place))
        assert world.report().findings == (), f"{failure} at transaction {place}"
        assert ends(world) == ends(clean), f"{failure} at transaction {place}"
