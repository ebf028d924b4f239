"""Searching: every condition, order and bound, against the same question answered in plain Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import AttemptRecord, JobRecord, NodeRecord
from scheduler.services.ports import Store, Where
from tests.stores import samples

pytestmark = pytest.mark.store

MEANING: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    "<": lambda value, bound: value is not None and value < bound,
    "<=": lambda value, bound: value is not None and value <= bound,
    ">": lambda value, bound: value is not None and value > bound,
    ">=": lambda value, bound: value is not None and value >= bound,
    "in": lambda value, wanted: value in wanted,
}
FIELDS = ("job", "number", "org", "state", "gpus", "settled", "stop_reason", "exit_code", "cluster", "gone_at_ms")


def attempts(rng: random.Random) -> list[AttemptRecord]:
    """Sixty attempts with few different values, so that conditions meet."""
    made = []
    for number in range(60):
        stopped = rng.random() < 0.5
        made.append(
            samples.attempt(
                number % 3 + 1,
                job=f"j{number // 3:02d}",
                org=rng.choice(("b", "a", "Z", "é", "한")),
                cluster=rng.choice(("seoul", "busan")),
                state=AttemptState.GONE if number % 3 else rng.choice(list(AttemptState)),
                stop_reason=rng.choice(list(StopReason)) if stopped else None,
                exit_code=rng.choice((-9, 0, 1, None)),
                gpus=rng.randint(1, 4),
                settled=rng.random() < 0.5,
                gone_at_ms=rng.randint(0, 5),
            )
        )
    return made


def condition(rng: random.Random, rows: list[AttemptRecord]) -> Where:
    """A random condition whose value some record has."""
    field = rng.choice(FIELDS)
    values = [getattr(row, field) for row in rows]
    op = rng.choice(list(MEANING))
    if op == "in":
        chosen = rng.sample(values, rng.randint(0, 3))
        return Where(field, op, tuple(value for value in chosen if value is not None))
    value = rng.choice(values)
    if value is None and op not in ("=", "!="):
        op = "="
    return Where(field, op, value)


def ordered(rows: list[AttemptRecord], order: tuple[str, ...]) -> list[AttemptRecord]:
    """The rows in the order, None below every value, ties by key."""
    found = sorted(rows, key=lambda row: (row.job, row.number))
    for term in reversed(order):
        name = term.removeprefix("-")

        def place(row: AttemptRecord, name: str = name) -> tuple[bool, Any]:
            value = getattr(row, name)
            return (value is not None, 0 if value is None else value)

        found.sort(key=place, reverse=term.startswith("-"))
    return found


def test_searches_mean_what_python_means(store: Store, rng: random.Random) -> None:
    rows = attempts(rng)
    with store.write() as tx:
        for row in rows:
            tx.add(row)
    with store.read() as view:
        for _ in range(150):
            where = tuple(condition(rng, rows) for _ in range(rng.randint(0, 3)))
            order = tuple(rng.choice(("", "-")) + name for name in rng.sample(FIELDS, rng.randint(0, 2)))
            limit = rng.choice((0, 1, 5, 1_000))
            expected = [
                row for row in rows if all(MEANING[op](getattr(row, field), value) for field, op, value in where)
            ]
            assert view.select(AttemptRecord, *where, order=order, limit=limit) == ordered(expected, order)[:limit]
            assert view.count(AttemptRecord, *where) == len(expected)
            assert view.total(AttemptRecord, "gpus", *where) == sum(row.gpus for row in expected)
            sums: dict[tuple[str, ...], tuple[int, ...]] = {}
            for row in expected:
                gpus, instants = sums.get((row.org, str(row.tier)), (0, 0))
                sums[row.org, str(row.tier)] = (gpus + row.gpus, instants + row.admitted_at_ms)
            assert view.totals(AttemptRecord, ("gpus", "admitted_at_ms"), ("org", "tier"), *where) == sums


def test_a_transaction_searches_what_it_wrote(store: Store, rng: random.Random) -> None:
    rows = {(row.job, row.number): row for row in attempts(rng)}
    with store.write() as tx:
        for row in list(rows.values())[:40]:
            tx.add(row)
    with store.write() as tx:
        for row in list(rows.values())[40:]:
            tx.add(row)
        assert tx.select(AttemptRecord) == ordered(list(rows.values()), ())
        assert tx.count(AttemptRecord, Where("org", "=", "a")) == sum(row.org == "a" for row in rows.values())
        first = tx.select(AttemptRecord, order=("-gpus",), limit=1)[0]
        assert tx.change(replace(first, gpus=9), version=1)
        assert [row.gpus for row in tx.select(AttemptRecord, Where("gpus", ">", 4))] == [9]
        assert tx.total(AttemptRecord, "gpus") == sum(row.gpus for row in rows.values()) + 9 - first.gpus


def test_text_is_ordered_by_code_point(store: Store) -> None:
    names = ["Z", "a", "b", "z", "é", "두", "한", "🚜"]
    with store.write() as tx:
        for name in reversed(names):
            tx.add(samples.node(name=name))
    with store.read() as view:
        assert [row.name for row in view.select(NodeRecord)] == names
        assert [row.name for row in view.select(NodeRecord, order=("-name",), limit=2)] == ["🚜", "한"]
        assert [row.name for row in view.select(NodeRecord, Where("name", ">", "z"))] == names[4:]


def test_nothing_there(store: Store) -> None:
    with store.read() as view:
        assert view.get(JobRecord, "absent") is None
        assert view.select(JobRecord) == []
        assert view.count(JobRecord, Where("state", "=", JobState.QUEUED)) == 0
        assert view.total(JobRecord, "nodes") == 0
        assert view.totals(JobRecord, ("nodes",), ("org",)) == {}
        assert view.facts(0) == []


def test_sums_are_exact_beyond_floats(store: Store) -> None:
    with store.write() as tx:
        tx.add(samples.job(1, submitted_at_ms=2**62))
        tx.add(samples.job(2, submitted_at_ms=1))
    with store.read() as view:
        assert view.total(JobRecord, "submitted_at_ms") == 2**62 + 1
        [sums] = view.totals(JobRecord, ("submitted_at_ms",), ("org",)).values()
        assert sums == (2**62 + 1,)


def test_many_values_of_one_in(store: Store) -> None:
    with store.write() as tx:
        for number in range(5):
            tx.add(samples.job(number))
    wanted = tuple(f"job{number:09d}" for number in range(2, 10_002))
    with store.read() as view:
        assert view.count(JobRecord, Where("id", "in", wanted)) == 3


BAD: dict[str, tuple[Where, ...]] = {
    "no such field": (Where("colour", "=", "red"),),
    "no such operator": (Where("name", "like", "t%"),),
    "no such function": (Where("name); DROP TABLE job; --", "=", "x"),),
    "None with an order": (Where("name", "<", None),),
    "None for a field that is never None": (Where("name", "=", None),),
    "text for a number": (Where("nodes", "=", "1"),),
    "boolean for a number": (Where("nodes", "=", True),),
    "list for in": (Where("name", "in", ["a"]),),
    "None inside in": (Where("name", "in", ("a", None)),),
    "too many values": (Where("nodes", "in", tuple(range(20_001))),),
}


@pytest.mark.parametrize("where", BAD.values(), ids=BAD.keys())
def test_conditions_that_cannot_be(store: Store, where: tuple[Where, ...]) -> None:
    with store.read() as view:
        with pytest.raises(ValueError, match="job"):
            view.select(JobRecord, *where)
        with pytest.raises(ValueError, match="job"):
            view.count(JobRecord, *where)
        assert view.count(JobRecord) == 0


def test_orders_keys_and_bounds_that_cannot_be(store: Store) -> None:
    with store.read() as view:
        with pytest.raises(ValueError, match="colour"):
            view.select(JobRecord, order=("colour",))
        with pytest.raises(ValueError, match="limit"):
            view.select(JobRecord, limit=-1)
        with pytest.raises(ValueError, match="name"):
            view.total(JobRecord, "name")
        for fields, by in (
            (("name",), ("org",)),
            (("nodes",), ("attempt",)),
            (("colour",), ()),
            (("nodes",), ("hue",)),
        ):
            with pytest.raises(ValueError, match="to sum or to group by"):
                view.totals(JobRecord, fields, by)
        with pytest.raises(ValueError, match=r".+"):
            view.get(AttemptRecord, "job")
