"""The pool that the cycle is measured on: 1,000 GPUs in 125 nodes, 500 queues, any number of pending jobs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TypeVar

from scheduler.core.allocator.plan import Plan
from scheduler.core.effective import ClassPrice, EffectivePolicy, Limits, TierRule
from scheduler.core.facts import AttemptGone, AttemptStopping, Fact, FactBody, JobSubmitted, NodeSeen
from scheduler.core.lifecycle import JobState, StopReason
from scheduler.core.model import Flavor, GangRequest, LiveAttempt, Tier
from scheduler.core.state import AllocatorState
from scheduler.core.tree import Tree, TreeNode
from scheduler.sim.steps import facts_of

CLASSES, ORGS, PROJECTS, USERS = 5, 20, 5, 2
QUEUES = CLASSES * ORGS * PROJECTS
NODES = {"h100": 100, "a100": 25}
START_MS = 1_800_000_000_000
T = TypeVar("T")
G, B, S = Tier.GUARANTEED, Tier.BORROW, Tier.SCAVENGE
SHAPES = {(1, 1): 50, (1, 2): 12, (1, 4): 12, (1, 8): 14, (2, 4): 2, (2, 8): 5, (4, 8): 4, (8, 8): 1}
TIERS = {(G, B): 68, (G,): 10, (B,): 5, (G, B, S): 10, (S,): 5, (B, G): 2}


def effective_policy() -> EffectivePolicy:
    """Guarantees on classes and organisations, caps on classes, one class that keeps half of what it has."""
    nodes = []
    for number in range(CLASSES):
        name = f"/class-{number}"
        kept = {"lending_limit": {"h100": 60_000}} if number == 0 else {}
        nodes.append(
            TreeNode(
                name,
                (number + 1) * 10_000_000,
                guarantee={"h100": 120_000, "a100": 30_000},
                borrowing_limit={"h100": 240_000},
                **kept,
            )
        )
        for org in range(ORGS):
            nodes.append(TreeNode(f"{name}/org-{org:02}", guarantee={"h100": 4_000}))
            nodes += [TreeNode(f"{name}/org-{org:02}/project-{project}") for project in range(PROJECTS)]
    return EffectivePolicy(
        policy_version=1,
        registry_seq=1,
        policy_name="bench",
        timezone="Asia/Seoul",
        flavors={"h100": Flavor("h100", 1_000_000), "a100": Flavor("a100", 450_000)},
        tiers={tier: TierRule(1_000_000, 600_000) for tier in Tier},
        half_life_ms=7 * 24 * 3_600_000,
        limits=Limits(128, 43_200_000, 604_800_000, 200, 3_600_000, 3),
        tree=Tree(nodes),
        class_prices={f"class-{number}": ClassPrice(100_000) for number in range(CLASSES)},
        rate_card="bench",
        calendar="month",
        vat_ppm=100_000,
    )


class Pool:
    """An allocator's state that is fed facts, as the cycle's service feeds it."""

    def __init__(self, seed: int) -> None:
        self.state = AllocatorState()
        self.policy = effective_policy()
        self.at_ms = START_MS
        self._rng = random.Random(seed)  # noqa: S311 - repeatable draws, no secret
        self.leaves = list(_leaves())
        self._jobs = 0
        for flavor, count in NODES.items():
            for number in range(count):
                self.put(NodeSeen("seoul", f"{flavor}-{number:03}", flavor, 8, schedulable=True))

    def put(self, body: FactBody) -> None:
        """Apply the next fact, a millisecond after the last."""
        self.at_ms += 1
        self.state.apply(Fact(self.state.fact_seq + 1, self.at_ms, body))

    def submit(self, count: int) -> None:
        """Queue that many jobs, spread evenly over the leaves."""
        for _ in range(count):
            leaf = self.leaves[self._jobs % len(self.leaves)]
            (nodes, gpus), tiers = self._draw(SHAPES), self._draw(TIERS)
            flavor = "a100" if self._rng.random() < 0.2 and nodes < 4 else "h100"
            self.put(JobSubmitted(f"j{self._jobs:07}", leaf, GangRequest(flavor, nodes, gpus, tiers, 43_200_000)))
            self._jobs += 1

    def admit(self, plan: Plan) -> None:
        """Take every step of a plan."""
        for step in plan.steps:
            for body in facts_of(step, cycle=1):
                self.put(body)

    def end(self, live: tuple[LiveAttempt, ...]) -> None:
        """Let these attempts end well."""
        for attempt in live:
            self.put(AttemptStopping(attempt.job, attempt.attempt, StopReason.FINISH))
            self.put(AttemptGone(attempt.job, attempt.attempt, JobState.SUCCEEDED))

    def _draw(self, odds: dict[T, int]) -> T:
        return self._rng.choices(list(odds), weights=list(odds.values()))[0]


def _leaves() -> Iterator[str]:
    for project in range(PROJECTS):
        for user in range(USERS):
            for org in range(ORGS):
                for number in range(CLASSES):
                    yield f"/class-{number}/org-{org:02}/project-{project}/user-{user}"
