"""Records for tests: random ones of every kind that keep all rules, and short ways to write the common ones."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Any, TypeVar

from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.model import Tier
from scheduler.core.records import (
    AttemptRecord,
    JobRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    NodeRecord,
    Record,
)
from scheduler.core.rules import INT_MAX, INT_MIN, ONE_OF, ORDERS, SIGNED, Order, shape_of

R = TypeVar("R", bound=Record)
TEXTS = (
    "a",
    "hanbit-ai",
    "두레",
    "naïve",
    "'quoted\"; --",
    "a/b",
    "new\nline",
    "emoji 🚜",
    "%s :name ?",
    "{}",
    "Z",
    "~",
)


def drawn(kind: type[R], rng: random.Random, **given: Any) -> R:
    """A record of the kind with random values, edges included, that every rule allows."""
    shape = shape_of(kind)
    plain_kind: Any = kind
    at_least_1 = shape.at_least(1)
    values: dict[str, Any] = {}
    for name, plain in shape.types.items():
        if name in shape.optional and rng.random() < 0.3:
            values[name] = None
        elif name in ONE_OF.get(plain_kind, {}):
            values[name] = rng.choice(ONE_OF[plain_kind][name])
        elif issubclass(plain, StrEnum):
            values[name] = rng.choice(list(plain))
        elif plain is bool:
            values[name] = rng.random() < 0.5
        elif plain is int:
            low = INT_MIN if name in SIGNED.get(plain_kind, ()) else 1 if name in at_least_1 else 0
            values[name] = rng.choice([low, INT_MAX, rng.randint(1, 10**6)])
        else:
            values[name] = rng.choice(TEXTS) + (str(rng.randrange(10**9)) if name in kind.KEY else "")
    if kind is NodeRecord:
        values["healthy"] = values["held"] = 0
    for order in ORDERS.get(plain_kind, ()):
        _obey(values, order, rng)
    record: R = plain_kind(**(values | given))
    return record


def _obey(values: dict[str, Any], order: Order, rng: random.Random) -> None:
    if values[order.low] > values[order.high] or (order.strict and values[order.low] == values[order.high]):
        values[order.low] = rng.randint(0, 10**3)
        values[order.high] = values[order.low] + rng.randint(1, 10**3)


def job(number: int = 1, **given: Any) -> JobRecord:
    """A queued job; ``number`` makes its id and its place in the line."""
    values: dict[str, Any] = {"id": f"job{number:09d}", "org": "hanbit-ai", "project": "nlp", "user": "kim"}
    values |= {"class_name": "sme", "name": "train", "state": JobState.QUEUED, "flavor": "h100-80g", "nodes": 1}
    values |= {"gpus_per_node": 1, "tiers": "guaranteed,borrow", "time_limit_ms": 3_600_000, "task_json": "{}"}
    values |= {"submitted_at_ms": 1_000 + number, "submitted_seq": number}
    return JobRecord(**(values | given))


def attempt(number: int = 1, **given: Any) -> AttemptRecord:
    """An admitted attempt of the first job."""
    values: dict[str, Any] = {"job": "job000000001", "number": number, "org": "hanbit-ai", "project": "nlp"}
    values |= {"user": "kim", "state": AttemptState.ADMITTED, "tier": Tier.GUARANTEED, "cluster": "seoul"}
    values |= {"flavor": "h100-80g", "gpus": 1, "ranks_json": "[]", "admitted_at_ms": 2_000, "cycle": 1}
    values |= {"policy_version": 1, "rate_card": "card-1"}
    return AttemptRecord(**(values | given))


def node(**given: Any) -> NodeRecord:
    """A node with eight healthy GPUs."""
    values: dict[str, Any] = {"cluster": "seoul", "name": "node-1", "flavor": "h100-80g", "registered": 8, "healthy": 8}
    return NodeRecord(**(values | given))


def ledger_tx(seq: int = 1, **given: Any) -> LedgerTxRecord:
    """A transaction of the ledger without its legs."""
    values: dict[str, Any] = {"seq": seq, "idem_key": f"usage:{seq}", "kind": "usage", "occurred_from_ms": 1}
    values |= {"occurred_to_ms": 2, "booked_at_ms": 3, "period": "2026-01", "reverses_seq": 0, "body_json": "{}"}
    return LedgerTxRecord(**(values | given))


def leg(seq: int, line: int, amount: int, **given: Any) -> LedgerEntryRecord:
    """One leg in micro-won."""
    values: dict[str, Any] = {"account": f"account:{line}", "unit": "microwon", "amount": amount}
    return LedgerEntryRecord(seq=seq, line=line, **(values | given))
