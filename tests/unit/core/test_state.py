"""The fold: each fact's effect on what a cycle sees, and every contradiction refused without a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from scheduler.core.allocator.decay import decay_table
from scheduler.core.codec import canonical
from scheduler.core.errors import InvariantBroken
from scheduler.core.facts import (
    AttemptAdmitted,
    AttemptGone,
    AttemptRunning,
    AttemptStarting,
    AttemptStopping,
    Fact,
    FactBody,
    JobEnded,
    JobHeld,
    JobReleased,
    JobSubmitted,
    NodeSeen,
    PolicyApplied,
    RegistryChanged,
)
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.model import Flavor, GangRequest, Node, Rank, Tier
from scheduler.core.state import GENESIS, AllocatorState
from scheduler.core.units import MS_PER_HOUR
from tests.support.histories import policy_for
from tests.support.random_worlds import Draw

START = 1_000 * MS_PER_HOUR
LEAF = "/sme/a/p/kim"
REQUEST = GangRequest("h100", 2, 4, (Tier.GUARANTEED, Tier.BORROW), MS_PER_HOUR)
RANKS = (Rank(0, "n1", 4), Rank(1, "n2", 4))
DAY = 24 * MS_PER_HOUR
POLICY = policy_for(Draw(0), half_life_ms=DAY)

NODES = (NodeSeen("c", "n1", "h100", 8, schedulable=True), NodeSeen("c", "n2", "h100", 8, schedulable=True))
SUBMIT = JobSubmitted("j1", LEAF, REQUEST)
ADMIT = AttemptAdmitted("j1", 1, Tier.BORROW, "c", RANKS, 7)
STARTING, RUNNING = AttemptStarting("j1", 1), AttemptRunning("j1", 1)
STOP = AttemptStopping("j1", 1, StopReason.FAIL)
QUEUED = (*NODES, SUBMIT)
ACTIVE = (*QUEUED, ADMIT)
RUNS = (*ACTIVE, STARTING, RUNNING)


def folded(*bodies: FactBody, step_ms: int = 0) -> AllocatorState:
    """The state after these facts, each ``step_ms`` after the one before."""
    state = AllocatorState()
    for number, body in enumerate(bodies):
        state.apply(Fact(number + 1, START + number * step_ms, body))
    return state


def picture(state: AllocatorState, at_ms: int = START) -> str:
    """What a cycle sees of jobs: ``job@attempt`` queued, and live attempts with their state."""
    snapshot = state.snapshot(at_ms, POLICY)
    waiting = [f"{job.job}@{job.attempt}" for lines in snapshot.lines.values() for line in lines for job in line.jobs]
    delayed = [f"{job.job}@{job.attempt} later" for job in snapshot.delayed]
    live = [f"{attempt.job}@{attempt.attempt} {attempt.state}" for attempt in snapshot.live]
    return ", ".join([*waiting, *delayed, *live])


EFFECTS = {
    "submitted": (QUEUED, "j1@1"),
    "held": ((*QUEUED, JobHeld("j1", "user")), ""),
    "released": ((*QUEUED, JobHeld("j1", "user"), JobReleased("j1")), "j1@1"),
    "cancelled while queued": ((*QUEUED, JobEnded("j1", JobState.CANCELLED)), ""),
    "cancelled while held": ((*QUEUED, JobHeld("j1", "admin"), JobEnded("j1", JobState.CANCELLED)), ""),
    "admitted": (ACTIVE, "j1@1 Admitted"),
    "starting": ((*ACTIVE, STARTING), "j1@1 Starting"),
    "running": (RUNS, "j1@1 Running"),
    "stopping": ((*RUNS, STOP), "j1@1 Stopping"),
    "succeeded": ((*RUNS, STOP, AttemptGone("j1", 1, JobState.SUCCEEDED)), ""),
    "never started": ((*ACTIVE, AttemptGone("j1", 1, JobState.QUEUED)), "j1@2"),
    "queued again": ((*RUNS, STOP, AttemptGone("j1", 1, JobState.QUEUED)), "j1@2"),
    "queued again, later": ((*RUNS, STOP, AttemptGone("j1", 1, JobState.QUEUED, START + 5)), "j1@2 later"),
    "held after its attempt": ((*RUNS, STOP, AttemptGone("j1", 1, JobState.HELD)), ""),
    "released after its attempt": ((*RUNS, STOP, AttemptGone("j1", 1, JobState.HELD), JobReleased("j1")), "j1@2"),
}


@pytest.mark.parametrize(("facts", "wanted"), EFFECTS.values(), ids=EFFECTS.keys())
def test_effect(facts: tuple[FactBody, ...], wanted: str) -> None:
    state = folded(*facts)
    assert picture(state) == wanted
    assert canonical(AllocatorState.from_json(state.to_json()).to_json()) == canonical(state.to_json())


REFUSED = {
    "submitted twice": (QUEUED, SUBMIT),
    "submitted again while held": ((*QUEUED, JobHeld("j1", "user")), SUBMIT),
    "submitted again while active": (ACTIVE, SUBMIT),
    "an unknown job is held": (QUEUED, JobHeld("j9", "user")),
    "an unknown job is released": (QUEUED, JobReleased("j9")),
    "a queued job is released": (QUEUED, JobReleased("j1")),
    "an active job is held": (ACTIVE, JobHeld("j1", "user")),
    "an active job ends": (ACTIVE, JobEnded("j1", JobState.CANCELLED)),
    "a job ends in no end": (QUEUED, JobEnded("j1", JobState.HELD)),
    "a queued job succeeds": (QUEUED, JobEnded("j1", JobState.SUCCEEDED)),
    "an ended job ends": ((*QUEUED, JobEnded("j1", JobState.FAILED)), JobEnded("j1", JobState.FAILED)),
    "admitted twice": (ACTIVE, ADMIT),
    "admitted while held": ((*QUEUED, JobHeld("j1", "user")), ADMIT),
    "an attempt is left out": (QUEUED, replace(ADMIT, attempt=2)),
    "half a gang": (QUEUED, replace(ADMIT, ranks=RANKS[:1])),
    "ranks of another size": (QUEUED, replace(ADMIT, ranks=(Rank(0, "n1", 8), Rank(1, "n2", 8)))),
    "an unknown node": (QUEUED, replace(ADMIT, ranks=(RANKS[0], Rank(1, "n9", 4)))),
    "a node of another cluster": (QUEUED, replace(ADMIT, cluster="d")),
    "running before starting": (ACTIVE, RUNNING),
    "starting twice": ((*ACTIVE, STARTING), STARTING),
    "an attempt that is not live": (ACTIVE, AttemptStarting("j1", 2)),
    "stopping what is not live": (QUEUED, STOP),
    "gone while running": (RUNS, AttemptGone("j1", 1, JobState.SUCCEEDED)),
    "gone and still active": ((*RUNS, STOP), AttemptGone("j1", 1, JobState.ACTIVE)),
    "gone twice": (
        (*ACTIVE, AttemptGone("j1", 1, JobState.FAILED)),
        AttemptGone("j1", 1, JobState.FAILED),
    ),
}


@pytest.mark.parametrize(("facts", "bad"), REFUSED.values(), ids=REFUSED.keys())
def test_a_contradiction_is_refused_and_changes_nothing(facts: tuple[FactBody, ...], bad: FactBody) -> None:
    state = folded(*facts)
    before = canonical(state.to_json())
    with pytest.raises(InvariantBroken):
        state.apply(Fact(100, START, bad))
    assert canonical(state.to_json()) == before
    assert picture(state) == picture(AllocatorState.from_json(state.to_json()))


def test_facts_come_in_order() -> None:
    state = folded(*QUEUED)
    for seq in (0, 1, 3):
        with pytest.raises(InvariantBroken):
            state.apply(Fact(seq, START, PolicyApplied(1)))
    state.apply(Fact(9, START, PolicyApplied(4)))  # a database's sequence has gaps
    state.apply(Fact(10, START, RegistryChanged(5)))
    assert (state.fact_seq, state.policy_version, state.registry_seq) == (10, 4, 5)


def test_the_first_reason_to_stop_stays() -> None:
    state = folded(*RUNS, STOP, AttemptStopping("j1", 1, StopReason.CANCEL))
    [attempt] = state.snapshot(START, POLICY).live
    assert (attempt.state, attempt.stop_reason) == (AttemptState.STOPPING, StopReason.FAIL)


def test_a_job_keeps_its_place_in_the_line() -> None:
    """j1 was submitted before j2 and comes back after its attempt failed: it is before j2 again."""
    second = JobSubmitted("j2", LEAF, REQUEST)
    state = folded(*QUEUED, second, ADMIT, AttemptGone("j1", 1, JobState.QUEUED))
    assert [job.job for job in state.snapshot(START, POLICY).pending] == ["j1", "j2"]


def test_back_off_ends_by_itself() -> None:
    state = folded(*ACTIVE, AttemptGone("j1", 1, JobState.QUEUED, not_before_ms=START + 500))
    assert picture(state, START + 499) == "j1@2 later"
    assert picture(state, START + 500) == "j1@2"
    assert [state.next_wake_ms(at_ms, POLICY) for at_ms in (START, START + 499, START + 500)] == [
        START + 500,
        START + 500,
        None,
    ]
    assert folded(*QUEUED).next_wake_ms(START, POLICY) is None


def test_the_newest_word_about_a_node_counts() -> None:
    state = folded(*NODES, NodeSeen("c", "n1", "h100", 6, schedulable=False))
    assert state.snapshot(START, POLICY).nodes == (
        Node("c", "n1", "h100", 6, schedulable=False),
        Node("c", "n2", "h100", 8, schedulable=True),
    )


class Usage(NamedTuple):
    """Facts an hour apart, the hours from START until now, and the weights of the hours held, of 2^32."""

    facts: tuple[FactBody, ...]
    hours: int
    held_ages: tuple[int, ...]


GONE = AttemptGone("j1", 1, JobState.FAILED)
USAGE = {
    "nothing before it is admitted": Usage(QUEUED, 3, ()),
    "admitted in hour 3, now hour 5: ages 2 and 1": Usage(ACTIVE, 5, (2, 1)),
    "gone in hour 4, now hour 6: hour 3 has age 3": Usage((*ACTIVE, GONE), 6, (3,)),
    "stopping still holds": Usage((*RUNS, STOP), 7, (4, 3, 2, 1)),
}


@pytest.mark.parametrize("row", USAGE.values(), ids=USAGE.keys())
def test_usage_is_held_from_admitted_to_gone(row: Usage) -> None:
    """8 GPUs over the hours held: 8 x sum of weights / sum of all weights, in millionths of a GPU."""
    table = decay_table(DAY)
    wanted = 8 * 1_000_000 * sum(table.weight(age) for age in row.held_ages) // table.sums[-1]
    usage = folded(*row.facts, step_ms=MS_PER_HOUR).snapshot(START + row.hours * MS_PER_HOUR, POLICY).usage
    assert {leaf: micro for leaf, micro in usage.items() if micro} == ({LEAF: wanted} if wanted else {})


def test_rates_apply_when_usage_is_read() -> None:
    state = folded(*ACTIVE, step_ms=MS_PER_HOUR)
    at_ms = START + 9 * MS_PER_HOUR
    [one] = state.snapshot(at_ms, POLICY).usage.values()
    half = replace(POLICY, flavors={"h100": Flavor("h100", 500_000)})
    unknown = replace(POLICY, flavors={})
    assert list(state.snapshot(at_ms, half).usage.values()) == [one // 2]
    assert list(state.snapshot(at_ms, unknown).usage.values()) == [one]


def test_a_snapshot_names_its_input() -> None:
    state = AllocatorState()
    assert state.chain_hex == GENESIS
    first = state.snapshot(START, POLICY)
    others = [
        state.snapshot(START + 1, POLICY),
        state.snapshot(START, replace(POLICY, policy_version=2)),
        state.snapshot(START, replace(POLICY, registry_seq=2)),
        folded(*NODES[:1]).snapshot(START, POLICY),
    ]
    assert len({first.input_hash, *(other.input_hash for other in others)}) == 5
    assert state.snapshot(START, POLICY).input_hash == first.input_hash
