"""What lies over a whole world: an outage cuts off what it is of and nothing else; clocks and operators are drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core.errors import Retry
from scheduler.sim.world import Parts, World
from scheduler.sim.world.chance import Dice, Rates
from scheduler.sim.world.hardship import APART_MS, NETWORK, OUTAGE_MS, STORE, Hardship, draw_hardship
from scheduler.sim.world.scenario import START_MS, draw

CALM = Rates().scaled(0)
NONE = Hardship("", START_MS, has_two_operators=False, has_clocks_apart=False)
WINDOW = {"before": (-1, False), "begins": (0, True), "lasts": (OUTAGE_MS - 1, True), "is over": (OUTAGE_MS, False)}


@pytest.mark.parametrize("outage", ["", NETWORK, STORE])
@pytest.mark.parametrize(("since_ms", "inside"), WINDOW.values(), ids=WINDOW.keys())
def test_an_outage_is_of_one_thing_and_has_an_end(outage: str, since_ms: int, inside: bool) -> None:
    hardship = replace(NONE, outage=outage)
    out = {what for what in (NETWORK, STORE) if hardship.is_out(what, START_MS + since_ms)}
    assert out == ({outage} if outage and inside else set())


def test_patience_is_longer_where_there_is_an_outage() -> None:
    assert NONE.patience_ms(60_000) == 60_000
    assert replace(NONE, outage=STORE).patience_ms(60_000) > OUTAGE_MS


def test_clocks_are_apart_and_not_too_far() -> None:
    names = [f"allocator-{number}" for number in range(200)]
    offsets = {replace(NONE, has_clocks_apart=True).offset_ms(name, Dice(1, Rates())) for name in names}
    assert len(offsets) > 100
    assert -APART_MS <= min(offsets) < 0 < max(offsets) <= APART_MS
    assert NONE.offset_ms("allocator-a", Dice(1, Rates())) == 0


def test_nothing_is_drawn_where_nothing_goes_wrong() -> None:
    for seed in range(20):
        hardship = draw_hardship(Dice(seed, CALM), draw(seed, 10))
        assert (hardship.outage, hardship.has_two_operators, hardship.has_clocks_apart) == ("", False, False)


def world_of(hardship: Hardship) -> World:
    """A world at its first instant with this hardship."""
    world = World(draw(1, 4), Parts(rates=CALM))
    world.hardship = hardship
    return world


def test_nobody_gets_a_transaction_while_the_store_is_away() -> None:
    world = world_of(replace(NONE, outage=STORE))
    with pytest.raises(Retry), world.store.write():
        raise AssertionError("a transaction has begun")
    with pytest.raises(Retry):
        world.store.read()
    world.agenda.move_to(START_MS + OUTAGE_MS)
    with world.store.read():
        assert world.auditor.premises == {"the store was away": 2}


def test_a_world_at_rest_has_no_outage() -> None:
    world = world_of(replace(NONE, outage=STORE))
    world.dice.calm = True
    with world.store.read():
        assert world.auditor.premises == {}


def test_two_operators_of_each_cluster_are_at_work() -> None:
    wanted = Rates(two_operators=10_000)
    world = World(replace(draw(1, 4), trouble_percent=100), Parts(rates=wanted))
    operators = [process.name for process in world.processes if process.name.startswith("operator-")]
    assert operators == [f"operator-{site.name}{also}" for also in ("", "-too") for site in world.scenario.sites]
    world.run()
    assert world.report().findings == ()
    assert all(process.steps > 10 for process in world.processes)


@pytest.mark.world
@pytest.mark.parametrize("outage", [NETWORK, STORE])
def test_jobs_outlive_an_outage(outage: str) -> None:
    """While it lasts nothing that was decided is lost, and afterwards everything goes on."""
    world = world_of(replace(NONE, outage=outage))
    world.run()
    report = world.report()
    assert report.findings == ()
    assert report.premises[f"the {outage} was away"] > 5
