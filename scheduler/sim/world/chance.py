"""Chance: every draw of the world comes from named streams of one seed; how often what goes wrong is one table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

T = TypeVar("T")


class Crashed(Exception):
    """The process died here: whatever it had in memory is gone, whatever it had committed stays."""


def stream(seed: int, name: str) -> random.Random:
    """A generator of its own for one part of the world, so that a new draw in one part leaves the others alone."""
    return random.Random(f"{seed}/{name}")  # noqa: S311 - draws must be repeatable, and guard nothing


@dataclass(frozen=True, slots=True)
class Rates:
    """Chances in ten thousand, each per occasion: a transaction, a request, a call of a backend, a look at it."""

    store_refuses: int = 30
    """The transaction does not begin: Retry."""
    commit_fails: int = 30
    """The transaction is rolled back at its end: Retry."""
    commit_unknown: int = 30
    """It is committed, and the caller is told Retry."""
    pause: int = 60
    """The process stops for a while before a transaction, and the world goes on."""
    crash: int = 30
    """The process dies before a transaction or right after its commit."""
    request_lost: int = 200
    response_lost: int = 200
    request_late: int = 100
    """The caller gives up; the request arrives later all the same."""
    request_twice: int = 200
    backend_refuses: int = 300
    """A call of the backend fails before or after it had its effect."""
    operator_dies: int = 60
    """The operator's process dies between two calls."""
    node_trouble: int = 400
    """Per look at a cluster: one of its nodes vanishes, is cordoned, loses a device, or comes back."""
    never_created: int = 100
    """Per attempt: the cluster creates nothing of it and says that it is gone."""
    start_fails: int = 500
    """Per attempt: it can never be started."""
    job_fails: int = 1_200
    attempt_lost: int = 700
    """Per attempt: its supervisor dies."""
    traces_lost: int = 60
    """Per look at a cluster: an attempt that runs is erased from its operator's records."""
    job_hangs: int = 700
    """Per attempt: it runs until its time limit."""
    grace_ignored: int = 4_000
    """Per notice: the job runs on until it is killed."""
    ends_well_in_grace: int = 2_000
    """Per notice: the job ends with exit code 0 all the same."""
    long_outage: int = 9_000
    """Per world: the network or the store is away for twelve minutes."""
    two_operators: int = 4_000
    """Per world: two operators of one cluster live at once, as in an upgrade that is never finished."""
    clocks_apart: int = 5_000
    """Per world: the clocks of allocators and settlers differ by up to three seconds."""

    def scaled(self, percent: int) -> Rates:
        """Every chance times a percentage, at most certain."""
        return replace(
            self, **{item.name: min(10_000, getattr(self, item.name) * percent // 100) for item in fields(self)}
        )


class Dice:
    """Rolls for what goes wrong and counts it; ``calm`` ends all trouble that a roll decides."""

    def __init__(self, seed: int, rates: Rates) -> None:
        self.rates = rates
        self.calm = False
        self.counts: Counter[str] = Counter()
        self._seed = seed
        self._streams: dict[str, random.Random] = {}

    def of(self, name: str) -> random.Random:
        """The stream of this name."""
        if name not in self._streams:
            self._streams[name] = stream(self._seed, name)
        return self._streams[name]

    def happens(self, what: str, where: str) -> bool:
        """Whether the trouble ``what`` (a field of Rates) strikes now; ``where`` names the stream."""
        rate: int = getattr(self.rates, what)
        if self.calm or self.of(where).randrange(10_000) >= rate:
            return False
        self.counts[what] += 1
        return True


def between(rng: random.Random, low: int, high: int) -> int:
    """A whole number from low to high, small ones as likely as their logarithm: 1 s, 10 s and 100 s alike."""
    steps = max(1, (high // max(low, 1)).bit_length())
    top = min(high, low << rng.randrange(steps + 1))
    return rng.randint(low, max(low, top))


def pick(rng: random.Random, items: Sequence[T]) -> T:
    """One of the items."""
    return items[rng.randrange(len(items))]
