"""Promptness: a job that could start does start, soon, whatever has gone wrong in between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from scheduler.core.allocator.cycle import decide
from scheduler.core.facts import AttemptAdmitted, EarmarkReleased, Fact, GpusEarmarked, JobEnded, JobHeld
from scheduler.core.state import AllocatorState
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import Reader

LOOK_EVERY_MS = 30_000
LEAVES_MS_MAX = 240_000
"""The longest grace of a tier that a world draws, and what an attempt may take beyond it."""


class Watchman:
    """Folds the same facts as the allocators and never dies; patience_ms: how long a job may be let wait."""

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[Reader]],
        found: Callable[[str], None],
        patience_ms: int,
    ) -> None:
        self._read = read
        self._found = found
        self._patience_ms = patience_ms
        self._policies = EffectivePolicies()
        self._state = AllocatorState()
        self._startable: dict[str, int] = {}
        """Job -> since when a cycle at any moment would have started it, or made room for it."""
        self._claims: dict[str, int] = {}
        """Job that room is made for -> since when."""

    def committed(self, facts: tuple[Fact, ...]) -> None:
        """Take in what was committed."""
        for fact in facts:
            self._state.apply(fact)
            match fact.body:
                case GpusEarmarked(job):
                    self._claims[job] = fact.at_ms
                case EarmarkReleased(job) | AttemptAdmitted(job) | JobHeld(job) | JobEnded(job):
                    self._claims.pop(job, None)

    def look(self, now_ms: int) -> None:
        """Find jobs that would have been started at every look for longer than the patience."""
        now = self.startable(now_ms)
        self._startable = {job: self._startable.get(job, now_ms) for job in now}
        for job, since_ms in sorted(self._claims.items()):
            if now_ms - since_ms > self._patience_ms + LEAVES_MS_MAX:
                self._found(f"room is made for job {job} for {now_ms - since_ms} ms, longer than anybody has to leave")
                self._claims[job] = now_ms
        for job, since_ms in sorted(self._startable.items()):
            if now_ms - since_ms > self._patience_ms:
                self._found(f"job {job} could start for {now_ms - since_ms} ms and nobody starts it")
                self._startable[job] = now_ms

    def startable(self, now_ms: int) -> list[str]:
        """Jobs that a cycle would start now, or make room for."""
        with self._read() as view:
            policy = self._policies.current(view, now_ms)
        if policy is None:
            return []
        return [step.job for step in decide(self._state.snapshot(now_ms, policy)).placed]
