"""Random legal histories: the facts that services would append, with time that runs from milliseconds to hours."""

from __future__ import annotations

from scheduler.core.allocator.cycle import decide
from scheduler.core.effective import EffectivePolicy, Limits, TierRule
from scheduler.core.facts import (
    AttemptGone,
    AttemptRunning,
    AttemptStarting,
    AttemptStopping,
    CheckpointReported,
    CreditNoteIssued,
    Fact,
    FactBody,
    InvoiceIssued,
    JobEnded,
    JobHeld,
    JobReleased,
    JobSubmitted,
    NodeSeen,
    PolicyApplied,
    RegistryChanged,
)
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.model import Flavor, LiveAttempt, Tier
from scheduler.core.state import AllocatorState
from scheduler.core.tree import Tree
from scheduler.core.units import MS_PER_HOUR
from scheduler.sim.steps import facts_of
from tests.support.random_worlds import EXCHANGE, Draw
from tests.support.worlds import NOW_MS

HALF_LIFE_MS = 24 * MS_PER_HOUR
GRACE_MS = 600_000


def policy_for(draw: Draw, half_life_ms: int = HALF_LIFE_MS) -> EffectivePolicy:
    """An effective policy with a drawn tree; prices and limits do not matter to the allocator."""
    return EffectivePolicy(
        policy_version=1,
        registry_seq=1,
        policy_name="drawn",
        timezone="Asia/Seoul",
        flavors={name: Flavor(name, rate) for name, rate in EXCHANGE.items()},
        tiers={tier: TierRule(1_000_000, GRACE_MS) for tier in Tier},
        half_life_ms=half_life_ms,
        limits=Limits(1_000, MS_PER_HOUR, MS_PER_HOUR, 1_000, MS_PER_HOUR, 3),
        tree=Tree(draw.tree),
        class_prices={},
        rate_card="drawn",
        calendar="manual",
        vat_ppm=0,
    )


class History:
    """A history being made: ``facts`` so far, and the state that they fold to."""

    def __init__(self, seed: int) -> None:
        self.draw = Draw(seed)
        self.rng = self.draw.rng
        self.policy = policy_for(self.draw)
        self.state = AllocatorState()
        self.facts: list[Fact] = []
        self.at_ms = NOW_MS
        self._jobs = 0
        self._held: list[str] = []
        self.put(PolicyApplied(1))
        self.put(RegistryChanged(1))
        self.put(InvoiceIssued("DURE-2026-000001", "o0", "manual-0001", "ab" * 32))
        self.put(CreditNoteIssued("DURE-CN-2026-000001", "DURE-2026-000001", "o0", "manual-0002", "cd" * 32))
        for node in self.draw.nodes:
            self.put(NodeSeen(node.cluster, node.name, node.flavor, node.gpus, node.schedulable))

    def put(self, body: FactBody) -> None:
        """Append a fact and fold it; the sequence has gaps, as a database's has."""
        seq = self.state.fact_seq + self.rng.choice((1, 1, 1, 2, 5))
        fact = Fact(seq, self.at_ms, body)
        self.state.apply(fact)
        self.facts.append(fact)

    def run(self, events: int) -> None:
        """So many events, each at its own time, with a cycle after about every third."""
        for _ in range(events):
            self.at_ms += self.rng.choice((0, 1, 900, 60_000, MS_PER_HOUR, 5 * MS_PER_HOUR))
            self.rng.choice((self._submit, self._submit, self._attempt, self._attempt, self._job, self._node))()
            if self.draw.chance(35):
                self.cycle()

    def cycle(self) -> None:
        """Decide, and take every step; sometimes only some, as when guards fail."""
        for step in decide(self.state.snapshot(self.at_ms, self.policy)).steps:
            if not self.draw.chance(10):
                for body in facts_of(step, cycle=1):
                    self.put(body)

    def _submit(self) -> None:
        self._jobs += 1
        self.put(JobSubmitted(f"j{self._jobs:04}", self.rng.choice(self.draw.leaves), self.draw.request()))

    def _attempt(self) -> None:
        live = self.state.snapshot(self.at_ms, self.policy).live
        if live:
            self._advance(self.rng.choice(live))

    def _advance(self, live: LiveAttempt) -> None:
        name = (live.job, live.attempt)
        if live.state is AttemptState.STOPPING:
            self._gone(live)
        elif self.draw.chance(30):
            self.put(AttemptStopping(*name, self.rng.choice(list(StopReason))))
        elif live.state is AttemptState.ADMITTED and self.draw.chance(80):
            self.put(AttemptStarting(*name))
        elif live.state is AttemptState.ADMITTED:
            self._gone(live)
        elif live.state is AttemptState.STARTING:
            self.put(AttemptRunning(*name))
        else:
            self.put(CheckpointReported(*name, step=self.rng.randrange(100)))

    def _gone(self, live: LiveAttempt) -> None:
        after = self.rng.choice((JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED, JobState.QUEUED, JobState.HELD))
        until = self.at_ms + self.rng.choice((1_000, MS_PER_HOUR)) if self.draw.chance(50) else 0
        self.put(AttemptGone(live.job, live.attempt, after, until if after is JobState.QUEUED else 0))
        if after is JobState.HELD:
            self._held.append(live.job)

    def _job(self) -> None:
        queued = self.state.snapshot(self.at_ms, self.policy).pending
        if self._held and self.draw.chance(60):
            job = self._held.pop(self.rng.randrange(len(self._held)))
            self.put(JobReleased(job) if self.draw.chance(70) else JobEnded(job, JobState.CANCELLED))
        elif queued:
            job = self.rng.choice(queued).job
            if self.draw.chance(50):
                self.put(JobHeld(job, self.rng.choice(("user", "admin"))))
                self._held.append(job)
            else:
                self.put(JobEnded(job, self.rng.choice((JobState.CANCELLED, JobState.FAILED))))

    def _node(self) -> None:
        node = self.rng.choice(self.draw.nodes)
        gpus = node.gpus if self.draw.chance(60) else self.rng.randint(0, node.gpus)
        self.put(NodeSeen(node.cluster, node.name, node.flavor, gpus, not self.draw.chance(10)))
