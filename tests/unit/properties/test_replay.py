"""S12 over random histories: folded one by one, rebuilt, or from a checkpoint on, all is the same to the byte."""

from __future__ import annotations

import json
from dataclasses import replace

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.decay import decay_table
from scheduler.core.codec import canonical
from scheduler.core.facts import AttemptAdmitted, AttemptGone, Fact, JobSubmitted, decode, encode
from scheduler.core.model import GangRequest
from scheduler.core.state import AllocatorState
from scheduler.core.units import MILLI_PER_GPU, MS_PER_HOUR
from tests.support.histories import History
from tests.support.random_worlds import EXCHANGE

HISTORIES = 40
EVENTS = 60


def fold(facts: list[Fact], state: AllocatorState | None = None) -> AllocatorState:
    """The state after these facts, each read back from its stored form."""
    state = state or AllocatorState()
    for fact in facts:
        state.apply(replace(fact, body=decode(fact.kind, json.loads(canonical(encode(fact.body))))))
    return state


def test_rebuilt_state_and_plan_are_the_same_bytes(seed: int) -> None:
    steps = 0
    for number in range(seed, seed + HISTORIES):
        history = History(number)
        history.run(EVENTS)
        rebuilt = fold(history.facts)
        assert canonical(rebuilt.to_json()) == canonical(history.state.to_json()), f"History({number})"
        mine, theirs = (state.snapshot(history.at_ms, history.policy) for state in (history.state, rebuilt))
        assert mine == theirs and mine.input_hash == theirs.input_hash, f"History({number})"
        assert decide(mine).canonical() == decide(theirs).canonical(), f"History({number})"
        steps += sum(isinstance(fact.body, AttemptAdmitted) for fact in history.facts)
    assert steps > 5 * HISTORIES, "the histories start too little to say anything"


def test_a_checkpoint_continues_to_the_same_bytes(seed: int) -> None:
    for number in range(seed, seed + HISTORIES):
        history = History(number)
        history.run(EVENTS)
        cut = history.rng.randrange(len(history.facts))
        text = canonical(fold(history.facts[:cut]).to_json())
        restored = AllocatorState.from_json(json.loads(text))
        assert canonical(restored.to_json()) == text, f"History({number}) at {cut}"
        continued = fold(history.facts[cut:], restored)
        assert canonical(continued.to_json()) == canonical(history.state.to_json()), f"History({number}) at {cut}"
        assert continued.snapshot(history.at_ms, history.policy) == history.state.snapshot(
            history.at_ms, history.policy
        )


def test_lines_kept_fact_by_fact_are_those_made_from_nothing(seed: int) -> None:
    """The view that lives on between cycles equals one of a state that has never shown a snapshot."""
    for number in range(seed, seed + HISTORIES):
        history = History(number)
        for _ in range(EVENTS):
            history.run(1)
            shown = history.state.snapshot(history.at_ms, history.policy)
            fresh = AllocatorState.from_json(history.state.to_json()).snapshot(history.at_ms, history.policy)
            assert shown == fresh, f"History({number})"


def usage_by_hand(history: History) -> dict[str, int]:
    """Decayed average per leaf from the facts alone: every hour of every attempt, weighted one by one."""
    table = decay_table(history.policy.half_life_ms)
    jobs: dict[str, tuple[str, GangRequest]] = {}
    held: dict[str, list[tuple[int, int]]] = {}
    since: dict[str, int] = {}
    for fact in history.facts:
        match fact.body:
            case JobSubmitted(job, leaf, request):
                jobs[job] = (leaf, request)
            case AttemptAdmitted(job):
                since[job] = fact.at_ms
            case AttemptGone(job):
                held.setdefault(job, []).append((since.pop(job), fact.at_ms))
    for job, start in since.items():
        held.setdefault(job, []).append((start, history.at_ms))
    now = history.at_ms // MS_PER_HOUR
    sums: dict[str, int] = {}
    for job, intervals in held.items():
        leaf, request = jobs[job]
        amount = 0
        for start, end in intervals:
            for hour in range(start // MS_PER_HOUR, end // MS_PER_HOUR + 1):
                inside = min(end, (hour + 1) * MS_PER_HOUR) - max(start, hour * MS_PER_HOUR)
                amount += max(0, inside) * table.weight(now - hour)
        sums[leaf] = sums.get(leaf, 0) + amount * request.milli_gpus * EXCHANGE[request.flavor]
    return {leaf: amount // (table.full * MILLI_PER_GPU) for leaf, amount in sums.items()}


def test_usage_is_what_the_facts_say(seed: int) -> None:
    used = 0
    for number in range(seed, seed + HISTORIES):
        history = History(number)
        history.run(EVENTS)
        shown = history.state.snapshot(history.at_ms, history.policy).usage
        by_hand = usage_by_hand(history)
        assert {leaf: micro for leaf, micro in shown.items() if micro} == {
            leaf: micro for leaf, micro in by_hand.items() if micro
        }, f"History({number})"
        used += any(by_hand.values())
    assert used * 2 > HISTORIES


def test_the_chain_is_the_identity_of_the_facts(seed: int) -> None:
    history = History(seed)
    history.run(EVENTS)
    whole = fold(history.facts).chain_hex
    assert whole == history.state.chain_hex
    assert fold(history.facts[:-1]).chain_hex != whole
    last = history.facts[-1]
    assert fold([*history.facts[:-1], replace(last, at_ms=last.at_ms + 1)]).chain_hex != whole
    assert fold([*history.facts[:-1], replace(last, seq=last.seq + 1)]).chain_hex != whole
