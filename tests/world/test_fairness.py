"""The fairness report of a world's whole life against what its machines really did."""

from __future__ import annotations

import pytest

from scheduler.core.fairness.hours import Span
from scheduler.core.fairness.report import report
from scheduler.core.tree import ROOT, level_of, parent_of
from scheduler.core.units import MS_PER_HOUR
from scheduler.services.effective import EffectivePolicies
from scheduler.services.fairness_reading import read
from scheduler.sim.world import Parts, World, oracle
from scheduler.sim.world.scenario import draw

SEEDS = range(100, 106)
JOBS = 40


@pytest.mark.parametrize("seed", SEEDS)
def test_receipt_is_what_the_machines_gave_and_sums_hold(seed: int) -> None:
    world = World(draw(seed, JOBS), Parts())
    world.run(None)
    end_ms = world.agenda.now_ms
    with world.inner.read() as view:
        first_ms = min(fact.at_ms for fact in view.facts(0, 1))
        reading = read(view, EffectivePolicies(), Span(first_ms // MS_PER_HOUR * MS_PER_HOUR, end_ms + 1))
    really = oracle.truth(world.ground, world.auditor.admitted, world.auditor.vouched, world.auditor.evicted)
    found: dict[tuple[str, str], int] = {}
    for line in reading.inputs.held.keys:
        owner = line.path.split("/", 2)[2], line.flavor
        found[owner] = found.get(owner, 0) + sum(reading.inputs.held.of(line))
    assert {owner: held for owner, held in found.items() if held} == {
        owner: held for owner, (held, _) in really.items() if held
    }
    assert reading.unposted == 0
    whole = report(reading.inputs)
    by_path = {share.path: share for share in whole.shares}
    assert by_path[ROOT].held > 0
    for share in whole.shares:
        assert share.held <= share.demand
        assert share.guaranteed <= share.entitled <= share.demand
        if level_of(share.path) not in ("project", "user"):
            below = [other for other in whole.shares if other.path != ROOT and parent_of(other.path) == share.path]
            for name in ("demand", "entitled", "held", "billed"):
                parts = sum(getattr(other, name) for other in below)
                assert 0 <= getattr(share, name) - parts <= len(below), (share.path, name)
    assert sum(day.held for day in whole.days) <= by_path[ROOT].held
