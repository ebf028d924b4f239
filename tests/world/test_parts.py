"""The played parts keep the promises of the real ones: time, chance, a cluster that vouches for the past only."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from operators.ports import Assignment, Observation, ObservationKind, StopOrder
from scheduler.core.errors import Fatal, Retry
from scheduler.core.model import Node
from scheduler.policy.loader import LoadedPolicy, load
from scheduler.sim.world import fate
from scheduler.sim.world.agenda import Agenda
from scheduler.sim.world.backend import FakeBackend
from scheduler.sim.world.chance import Dice, Rates, between, stream
from scheduler.sim.world.ground import Ground
from scheduler.sim.world.oracle import truth
from scheduler.sim.world.scenario import draw, policy_text
from tests.support import assignments
from tests.support.assignments import gang

NODES = [Node("site", "n1", "h100", 4), Node("site", "n2", "h100", 4)]
START_MS = 1_000_000


def assignment(job: str, attempt: int = 1, ranks: int = 2) -> Assignment:
    """A gang of one GPU each on both nodes in turn."""
    spread = gang((f"n{rank % 2 + 1}", 1) for rank in range(ranks))
    return assignments.assignment(
        job, attempt, flavor="h100", ranks=spread, time_limit_ms=600_000, grace_ms=10_000, org="acme"
    )


class Site:
    """A cluster on its own, with a clock to turn."""

    def __init__(self, seed: int, percent: int) -> None:
        self.now_ms = START_MS
        self.found: list[str] = []
        self.ground = Ground(self.found.append)
        self.dice = Dice(seed, Rates().scaled(percent))
        self.backend = FakeBackend("site", NODES, self.ground, self.dice, lambda: self.now_ms, lambda what: None)

    def start(self, wanted: Assignment) -> bool:
        """Begin an attempt; False when the call failed."""
        try:
            self.backend.start(wanted, None)
        except Retry:
            return False
        return True

    def stop(self, name: str) -> None:
        """Give notice; a failed call is no matter."""
        try:
            self.backend.stop(name, StopOrder("cancel", 10_000), self.now_ms)
        except Retry:
            return


@pytest.mark.parametrize("seed", range(20))
def test_a_cluster_never_vouches_for_what_is_to_come(seed: int) -> None:
    """Whatever becomes visible later happened at or after the watermark of every earlier look, and nothing vanishes."""
    site, rng = Site(seed, 300), stream(seed, "test")
    seen: dict[str, Observation] = {}
    through_ms, kinds = 0, Counter[ObservationKind]()
    for number in range(400):
        site.now_ms += rng.randrange(8_000)
        if number % 20 == 0:
            site.start(assignment(f"job{number}"))
        if rng.randrange(15) == 0:
            site.stop(f"d-job{number // 20 * 20}-a1")
        view = site.backend.observe(0)
        assert through_ms <= view.observed_through_ms <= view.at_ms == site.now_ms
        for item in view.observations:
            if item.id not in seen:
                assert item.at_ms >= through_ms
                kinds[item.kind] += 1
            assert seen.setdefault(item.id, item) == item
            assert item.at_ms < view.at_ms
        visible = {item.id for item in view.observations}
        assert {key for key, item in seen.items() if item.kind is not ObservationKind.NODE} <= visible
        through_ms = view.observed_through_ms
    # The world's own backend keeps no failed attempt: no job of the world asks for it.
    assert set(kinds) >= set(ObservationKind) - {ObservationKind.FAILED, ObservationKind.NOTICE, ObservationKind.HELD}


@pytest.mark.parametrize("seed", range(20))
def test_every_attempt_ends_and_its_story_is_in_order(seed: int) -> None:
    site = Site(seed, 300)
    for number in range(6):
        site.start(assignment(f"job{number}"))
        site.now_ms += 5_000
    for _ in range(400):
        site.now_ms += 10_000
        site.backend.observe(0)
    for attempt in site.ground.attempts.values():
        kinds = [event.what.kind for event in attempt.past]
        assert attempt.is_gone
        assert kinds[-1] is ObservationKind.GONE
        assert kinds.count(ObservationKind.GONE) == 1
        assert set(attempt.ends) <= set(attempt.starts)
        assert all(attempt.starts[rank] <= attempt.ends[rank] <= attempt.gone_at_ms for rank in attempt.ends)
        assert attempt.is_lost or set(attempt.ends) == set(attempt.starts)
        assert attempt.exit_code is not None or attempt.is_lost or len(attempt.starts) < 2


def test_beginning_twice_is_beginning_once() -> None:
    site = Site(1, 0)
    for _ in range(2):
        assert site.start(assignment("job"))
    assert len(site.ground.attempts) == site.backend.writes == 1


def test_what_was_to_stop_never_runs() -> None:
    site = Site(1, 0)
    site.start(replace(assignment("job"), stop=StopOrder("cancel", 1)))
    site.now_ms += 60_000
    kinds = [item.kind for item in site.backend.observe(0).observations if item.job]
    assert kinds == [ObservationKind.GONE]


def test_what_is_erased_is_seen_again_only_by_its_end() -> None:
    site = Site(1, 0)
    site.start(assignment("job"))
    site.now_ms += 61_000
    site.backend.observe(0)
    attempt = site.ground.attempts["d-job-a1"]
    assert fate.erase(attempt, site.now_ms) == (len(attempt.running) == 2)
    assert site.backend.observe(0).attempts == frozenset()
    site.now_ms += 3_600_000
    assert not attempt.is_gone
    site.start(replace(assignment("job"), begun=True))
    site.now_ms += 10_000
    seen = [(item.kind, item.evidence) for item in site.backend.observe(0).observations if item.job]
    assert (seen, site.found) == ([(ObservationKind.GONE, "lost")], [])


def test_what_is_forgotten_is_gone_for_good() -> None:
    site = Site(1, 0)
    site.start(assignment("job"))
    site.backend.forget("d-job-a1")
    assert site.found == ["d-job-a1 is to be forgotten while it lives"]
    site.now_ms += 3_600_000
    site.backend.observe(0)
    site.backend.forget("d-job-a1")
    assert site.backend.observe(0).attempts == frozenset()
    with pytest.raises(Fatal):
        site.start(assignment("job"))


MISTAKES = {
    "two attempts of one job": ([assignment("job"), assignment("job", 2)], "begins on site while d-job-a1 lives"),
    "more GPUs than there are": ([assignment("a", ranks=6), assignment("b", ranks=4)], "5 GPUs of n1 are in use"),
    "an attempt before its first": ([assignment("job", 2)], "never reached a cluster"),
}


@pytest.mark.parametrize(("begun", "says"), MISTAKES.values(), ids=MISTAKES.keys())
def test_the_machines_see_mistakes(begun: list[Assignment], says: str) -> None:
    site = Site(1, 0)
    for wanted in begun:
        site.start(wanted)
    assert any(says in finding for finding in site.found)


def test_the_oracle_counts_by_hand() -> None:
    """Two ranks: started at 10 s and 30 s, ended at 70 s and 80 s, gone at 90 s; admitted at 5 s."""
    site = Site(1, 0)
    site.start(assignment("job"))
    attempt = site.ground.attempts["d-job-a1"]
    attempt.starts, attempt.ends, attempt.gone_at_ms = {0: 10_000, 1: 30_000}, {0: 70_000, 1: 80_000}, 90_000
    # held 2 x 85 s; billed (70 - 30) + (80 - 30) s
    assert truth(site.ground, {("job", 1): 5_000}, {}, ()) == {("acme/nlp", "h100"): [170_000_000, 90_000_000]}
    # admitted by a clock that is 10 s ahead: nothing is billed before it was held
    assert truth(site.ground, {("job", 1): 40_000}, {}, ()) == {("acme/nlp", "h100"): [100_000_000, 70_000_000]}
    # erased after its cluster had vouched for 50 s: (50 - 30) s each; and before its second rank ran
    attempt.erased_at_ms = 60_000
    for vouched_ms, billed in ((50_000, 40_000_000), (20_000, 0)):
        found = truth(site.ground, {("job", 1): 5_000}, {("job", 1): vouched_ms}, ())
        assert found == {("acme/nlp", "h100"): [170_000_000, billed]}
    attempt.erased_at_ms = 0
    del attempt.starts[1]
    assert truth(site.ground, {("job", 1): 5_000}, {}, ()) == {("acme/nlp", "h100"): [170_000_000, 0]}


def test_an_agenda_goes_by_instant_and_then_by_arrival() -> None:
    agenda, done = Agenda(100, 1_000), []

    def do(name: str) -> None:
        done.append((agenda.now_ms, name))

    for at_ms, name in ((130, "c"), (110, "a"), (130, "d"), (50, "past"), (120, "b"), (500, "later")):
        agenda.at(at_ms, partial(do, name))
    agenda.run_until(200)
    assert done == [(100, "past"), (110, "a"), (120, "b"), (130, "c"), (130, "d")]
    assert (agenda.now_ms, agenda.done) == (200, 5)


def test_an_agenda_can_go_on_while_an_action_stands_still() -> None:
    agenda, done = Agenda(0, 1_000), []

    def stands_still() -> None:
        done.append("begins")
        agenda.run_until(20)
        done.append(f"goes on at {agenda.now_ms}")

    agenda.at(5, stands_still)
    agenda.at(10, lambda: done.append("meanwhile"))
    agenda.run_until(15)
    assert done == ["begins", "meanwhile", "goes on at 20"]
    assert agenda.now_ms == 20


def test_an_agenda_ends() -> None:
    agenda = Agenda(0, 3)

    def again() -> None:
        agenda.at(agenda.now_ms, again)

    again()
    agenda.run_until(1)
    assert (agenda.done, agenda.is_spent) == (3, True)


def test_chance_is_repeatable_calm_and_counted() -> None:
    rolls = [[Dice(seed, Rates(crash=5_000)).happens("crash", "here") for _ in range(3)] for seed in (1, 1)]
    assert rolls[0] == rolls[1]
    dice = Dice(1, Rates(crash=5_000))
    struck = sum(dice.happens("crash", "here") for _ in range(1_000))
    assert 400 < struck == dice.counts["crash"] < 600
    dice.calm = True
    assert not any(dice.happens("crash", "here") for _ in range(100))
    assert Rates(crash=5_000).scaled(300).crash == 10_000
    assert {between(stream(1, str(n)), 3, 3) for n in range(9)} == {3}
    assert all(3 <= between(stream(1, str(n)), 3, 900) <= 900 for n in range(99))


@pytest.mark.parametrize("seed", range(30))
def test_every_drawn_policy_can_be_loaded(seed: int) -> None:
    scenario = draw(seed, 10)
    capacity = {flavor: scenario.capacity(flavor) for flavor in scenario.flavors}
    for version in (1, 2, 3):
        loaded = load(policy_text(scenario, version), "drawn.yaml", frozenset(), capacity)
        assert isinstance(loaded, LoadedPolicy), loaded
