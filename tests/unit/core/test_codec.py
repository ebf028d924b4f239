"""Values to JSON and back: one text per value, exact types, and every mismatch refused."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from scheduler.core.allocator.plan import Admit
from scheduler.core.codec import canonical, from_json, sha256_hex, to_json
from scheduler.core.facts import FACT_KINDS, AttemptAdmitted, JobSubmitted, NodeSeen, decode, encode
from scheduler.core.model import GangRequest, LiveAttempt, Rank, Tier
from scheduler.core.units import AtMs
from tests.support.histories import History


class Colour(StrEnum):
    """An enum for the tests."""

    RED = "red"


@dataclass(frozen=True)
class Inner:
    """Nested."""

    at_ms: AtMs
    colour: Colour | None = None


@dataclass(frozen=True)
class Outer:
    """Every supported kind of field."""

    name: str
    flag: bool
    parts: tuple[Inner, ...]
    pair: tuple[str, int]
    maybe: int | None


VALUE = Outer("이름", True, (Inner(AtMs(5), Colour.RED), Inner(AtMs(6))), ("x", -1), None)
TEXT = (
    '{"flag":true,"maybe":null,"name":"이름","pair":["x",-1],'
    '"parts":[{"at_ms":5,"colour":"red"},{"at_ms":6,"colour":null}]}'
)


def test_the_one_text_and_back() -> None:
    assert canonical(VALUE) == TEXT
    assert from_json(Outer, json.loads(TEXT)) == VALUE
    assert sha256_hex(TEXT) == hashlib.sha256(TEXT.encode("utf-8")).hexdigest()


def test_the_text_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": (2, None)}) == canonical({"a": [2, None], "b": 1}) == '{"a":[2,null],"b":1}'


@pytest.mark.parametrize("value", [1.5, {"a": 0.1}, [float("nan")], {1, 2}, b"x", object()])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        to_json(value)


def changed(**fields: Any) -> dict[str, Any]:
    """The JSON value with fields changed; None as a value removes the field."""
    value: dict[str, Any] = json.loads(TEXT)
    value.update(fields)
    return {name: item for name, item in value.items() if item != "absent"}


BAD = {
    "a list": [1],
    "a missing field": changed(name="absent"),
    "an unknown field": changed(surprise=1),
    "a number for text": changed(name=5),
    "text for a number": changed(maybe="5"),
    "a boolean for a number": changed(pair=["x", True]),
    "a float for a number": changed(maybe=1.0),
    "a number for a boolean": changed(flag=1),
    "an unknown colour": changed(parts=[{"at_ms": 1, "colour": "blue"}]),
    "an object for a list": changed(parts={}),
    "a pair of three": changed(pair=["x", 1, 2]),
    "a bad item": changed(parts=[{"at_ms": "now"}]),
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
def test_a_mismatch_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        from_json(Outer, value)


EXAMPLES = [
    JobSubmitted("j1", "/sme/a/p/u", GangRequest("h100", 2, 4, (Tier.GUARANTEED, Tier.BORROW), 5)),
    AttemptAdmitted("j1", 1, Tier.BORROW, "c", (Rank(0, "n1", 4),), 3),
    NodeSeen("c", "n1", "h100", 8, schedulable=False),
]


@pytest.mark.parametrize("body", EXAMPLES, ids=lambda body: type(body).__name__)
def test_facts_are_read_back(body: Any) -> None:
    stored = json.loads(canonical(encode(body)))
    assert decode(type(body).__name__, stored) == body


def test_every_fact_of_a_history_is_read_back(seed: int) -> None:
    history = History(seed)
    history.run(300)
    for fact in history.facts:
        assert decode(fact.kind, json.loads(canonical(encode(fact.body)))) == fact.body
    seen = {fact.kind for fact in history.facts}
    assert seen == set(FACT_KINDS), "the history lacks a kind of fact"


def test_an_unknown_kind_of_fact_is_refused() -> None:
    with pytest.raises(KeyError):
        decode("Rumour", {})


def test_equal_texts_are_equal_values(rng: random.Random) -> None:
    """Whatever the ranks, two steps have one text exactly when they are equal."""
    steps = [
        Admit("j", 1, rng.choice(list(Tier)), "c", tuple(Rank(n, "n1", rng.randint(1, 2)) for n in range(2)))
        for _ in range(40)
    ]
    for one in steps:
        for other in steps:
            assert (canonical(one) == canonical(other)) == (one == other)


def test_optional_enums_and_numbers_come_back_typed() -> None:
    request = GangRequest("h100", 1, 1, (Tier.SCAVENGE,), 9)
    live = LiveAttempt("j", 2, "/a", request, Tier.SCAVENGE, "c", (), 5, running_at_ms=7)
    again = from_json(LiveAttempt, json.loads(canonical(live)))
    assert again == live and isinstance(again.tier, Tier) and again.stop_reason is None
