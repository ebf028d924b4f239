"""Waits of jobs from their submission to their first admission, by class and size of gang."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from scheduler.core.fairness.indices import Percentile, percentile

SIZES = ((1, "1"), (8, "2-8"), (32, "9-32"))
LARGEST = "33+"
ALL = ""
"""Every class, or every size."""


class Outcome(StrEnum):
    """How a wait ended in the time that is looked at; the last two are known only as at-least values."""

    STARTED = "started"
    WAITING = "waiting"
    WITHDRAWN = "withdrawn"


class Wait(NamedTuple):
    """One job: how long it waited, without the time it was held; ``gpus`` of its gang."""

    class_name: str
    org: str
    gpus: int
    wait_ms: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WaitFigures:
    """Waits of one class and size; ALL is every one. orgs: whose jobs they are. hidden: the figures are withheld."""

    class_name: str
    size: str
    orgs: frozenset[str] = frozenset()
    jobs: int = 0
    waiting: int = 0
    withdrawn: int = 0
    p50: Percentile | None = None
    p95: Percentile | None = None
    hidden: bool = False


def size_of(gpus: int) -> str:
    """The band of a gang: ``1``, ``2-8``, ``9-32``, ``33+`` GPUs."""
    return next((name for most, name in SIZES if gpus <= most), LARGEST)


def wait_figures(waits: Iterable[Wait]) -> tuple[WaitFigures, ...]:
    """Figures of all, of each class, of each size, and of each class and size with any job; sorted, ALL first."""
    groups: dict[tuple[str, str], list[Wait]] = {}
    for wait in waits:
        for key in _groups(wait):
            groups.setdefault(key, []).append(wait)
    order = {name: place for place, name in enumerate((ALL, *(name for _, name in SIZES), LARGEST))}
    keys = sorted(groups, key=lambda key: (key[0], order[key[1]]))
    return tuple(_figures(*key, groups[key]) for key in keys)


def _groups(wait: Wait) -> Iterator[tuple[str, str]]:
    size = size_of(wait.gpus)
    for class_name in (ALL, wait.class_name):
        yield class_name, ALL
        yield class_name, size


def _figures(class_name: str, size: str, waits: list[Wait]) -> WaitFigures:
    over = [wait.wait_ms for wait in waits if wait.outcome is Outcome.STARTED]
    at_least = [wait.wait_ms for wait in waits if wait.outcome is not Outcome.STARTED]
    return WaitFigures(
        class_name,
        size,
        frozenset(wait.org for wait in waits),
        len(waits),
        sum(wait.outcome is Outcome.WAITING for wait in waits),
        sum(wait.outcome is Outcome.WITHDRAWN for wait in waits),
        percentile(over, at_least, 50),
        percentile(over, at_least, 95),
    )
