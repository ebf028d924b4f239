"""Every property of a cycle over generated worlds, with the share of worlds in which its premise held."""

from __future__ import annotations

import random

import pytest

from scheduler.core.allocator.cycle import decide
from scheduler.sim.checkers import PROPERTIES, Property, check_all
from tests.support.histories import History
from tests.support.random_worlds import random_world
from tests.unit.properties.oracle import Oracle

WORLDS = 400
ORDERED_WORLDS = 400
HISTORIES = 60
EVENTS = 40
PREMISE_PERCENT_MIN = 20


@pytest.mark.parametrize("item", PROPERTIES, ids=[item.name for item in PROPERTIES])
def test_property_holds_in_generated_worlds(item: Property, seed: int) -> None:
    broken, premises = [], 0
    for number in range(seed, seed + WORLDS):
        snapshot = random_world(number)
        plan = decide(snapshot)
        broken += [(number, finding) for finding in item.check(snapshot, plan)]
        premises += item.premise(snapshot, plan)
    assert broken == [], f"{item.name}: random_world({broken[0][0]})"
    assert premises * 100 >= WORLDS * PREMISE_PERCENT_MIN, f"{item.name} says something in {premises} worlds only"


def test_order_is_the_oracles(seed: int) -> None:
    """Steps, tiers, places and their order are those of a brute-force reading of decision 0001."""
    starts = 0
    for number in range(seed, seed + ORDERED_WORLDS):
        snapshot = random_world(number)
        wanted = tuple(Oracle(snapshot).run())
        assert decide(snapshot).steps == wanted, f"random_world({number})"
        starts += len(wanted) > 1
    assert starts * 100 >= ORDERED_WORLDS * PREMISE_PERCENT_MIN


def test_properties_hold_along_histories(seed: int) -> None:
    """All properties again on states that facts and cycles have led to."""
    waits = 0
    for number in range(seed, seed + HISTORIES):
        history = History(number)
        history.run(EVENTS)
        snapshot = history.state.snapshot(history.at_ms, history.policy)
        plan = decide(snapshot)
        assert check_all(snapshot, plan) == [], f"History({number})"
        waits += len(snapshot.pending) > len(plan.steps)
    assert waits * 100 >= HISTORIES * PREMISE_PERCENT_MIN


def test_worlds_are_repeatable_and_differ(rng: random.Random) -> None:
    number = rng.randrange(1 << 30)
    assert decide(random_world(number)).canonical() == decide(random_world(number)).canonical()
    assert len({decide(random_world(number + more)).canonical() for more in range(20)}) > 10
