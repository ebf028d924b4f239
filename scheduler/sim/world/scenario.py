"""A world's people and machines, drawn from its seed: clusters and nodes, classes, organisations, projects, users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from scheduler.core.instants import rfc3339_utc
from scheduler.core.model import Node
from scheduler.core.units import MILLI_PER_GPU
from scheduler.sim.world.chance import between, pick, stream

EXCHANGE = {"h100-80g": "1.0", "a100-80g": "0.45", "l40s-48g": "0.2"}
FLAVORS = tuple(EXCHANGE)
CLASSES = ("university", "sme", "startup")
MINUTE_MS = 60_000
START_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z: an instant inside a month, an hour and a day."""


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster, its nodes, and how far its clock is from the control plane's."""

    name: str
    nodes: tuple[Node, ...]
    offset_ms: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation with its projects, and the members of each."""

    name: str
    class_name: str
    projects: tuple[str, ...]
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a world begins with. Jobs come during ``busy_ms``; a short lease is often taken over, a long one kept."""

    seed: int
    sites: tuple[Site, ...]
    classes: tuple[str, ...]
    tenants: tuple[Tenant, ...]
    jobs: int
    busy_ms: int
    trouble_percent: int
    lease_ms: int

    @property
    def flavors(self) -> tuple[str, ...]:
        """Flavors of the nodes, in a fixed order."""
        present = {node.flavor for site in self.sites for node in site.nodes}
        return tuple(flavor for flavor in FLAVORS if flavor in present)

    def capacity(self, flavor: str) -> int:
        """Whole GPUs of a flavor in all clusters."""
        return sum(node.gpus for site in self.sites for node in site.nodes if node.flavor == flavor)

    def largest_node(self, flavor: str) -> int:
        """GPUs of the largest node of a flavor."""
        return max(node.gpus for site in self.sites for node in site.nodes if node.flavor == flavor)


def draw(seed: int, jobs: int) -> Scenario:
    """A small world: 1-2 clusters, 1-3 flavors, 2-6 nodes of 2-4 GPUs each, 2-5 organisations of 2-3 classes."""
    rng = stream(seed, "scenario")
    flavors = rng.sample(FLAVORS, rng.randint(1, 3))
    sites = tuple(_site(rng, f"cluster-{letter}", flavors) for letter in "ab"[: rng.randint(1, 2)])
    classes = CLASSES[: rng.randint(2, 3)]
    tenants = tuple(tenant(rng, number, classes) for number in range(rng.randint(2, 5)))
    busy_ms = jobs * rng.randint(40, 100) * 1_000
    trouble_percent, lease_ms = rng.choice((0, 50, 100, 100, 200)), rng.choice((15_000, 15_000, 60_000))
    return Scenario(seed, sites, classes, tenants, jobs, busy_ms, trouble_percent, lease_ms)


def tenant(rng: Random, number: int, classes: Sequence[str]) -> Tenant:
    """The number-th organisation."""
    projects = tuple(f"p{project}" for project in range(1, rng.randint(1, 2) + 1))
    users = tuple(f"user{number}{letter}" for letter in "abc"[: rng.randint(1, 3)])
    return Tenant(f"org{number}", pick(rng, classes), projects, users)


def _site(rng: Random, name: str, flavors: Sequence[str]) -> Site:
    letters = [pick(rng, flavors) for _ in range(rng.randint(2, 6))]
    nodes = tuple(Node(name, f"n{number}", flavor, rng.randint(2, 4)) for number, flavor in enumerate(letters, 1))
    return Site(name, nodes, rng.randint(-2_000, 2_000))


def policy_text(scenario: Scenario, version: int) -> str:
    """The version-th policy: the same flavors and classes, other weights, guarantees, limits and half-life."""
    rng = stream(scenario.seed, f"policy {version}")
    flavors = ", ".join(f"{flavor}: {{exchange: {EXCHANGE[flavor]}}}" for flavor in scenario.flavors)
    orgs = max(1, len(scenario.tenants))
    left = {flavor: scenario.capacity(flavor) * MILLI_PER_GPU for flavor in scenario.flavors}
    classes = "\n".join(_class(rng, scenario, name, left, orgs) for name in scenario.classes)
    prices = ", ".join(f"{flavor}: {900 + 700 * number}" for number, flavor in enumerate(scenario.flavors))
    most = max(scenario.capacity(flavor) for flavor in scenario.flavors)
    default_ms, max_ms = between(rng, 5 * MINUTE_MS, 20 * MINUTE_MS), 30 * MINUTE_MS
    return f"""\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {{name: world-{version}}}
flavors: {{{flavors}}}
tiers: {{guaranteed: {{}}, borrow: {{price: 0.4, grace: {rng.randint(5, 60)}s}}, scavenge: {{price: 0.1, grace: 5s}}}}
half_life: {rng.choice(("1h", "6h", "7d"))}
limits:
  max_gpus_per_job: {most}
  default_time: {default_ms // 1_000}s
  max_time: {max_ms // 1_000}s
  max_pending_per_project: {rng.choice((5, 20, 200))}
  max_losses: {rng.choice((0, 1, 3, 20))}
classes:
{classes}
overrides: {_overrides(scenario, version)}
rate_card: card-{version}
billing: {{calendar: manual, vat: {rng.choice(("0.10", "0"))}}}
---
apiVersion: dure.dev/v1alpha1
kind: RateCard
metadata: {{name: card-{version}}}
valid_from: 2026-07-01T00:00:00+09:00
won_per_gpu_hour: {{{prices}}}
"""


def _class(rng: Random, scenario: Scenario, name: str, left: dict[str, int], orgs: int) -> str:
    """One class; ``left``: milli-GPUs of each flavor that are not guaranteed to a class before it."""
    guarantee = {}
    for flavor in scenario.flavors:
        if rng.randrange(3):
            guarantee[flavor] = rng.randint(0, left[flavor] // MILLI_PER_GPU) * MILLI_PER_GPU
            left[flavor] -= guarantee[flavor]
    each = {flavor: amount // orgs // 500 * 500 for flavor, amount in guarantee.items()}
    limits = ""
    if rng.randrange(3) == 0:
        borrowing = {flavor: rng.randint(1, scenario.capacity(flavor)) * MILLI_PER_GPU for flavor in scenario.flavors}
        limits += f", borrowing_limit: {_amounts(borrowing)}"
    if rng.randrange(3) == 0:
        lending = {
            flavor: rng.randint(0, amount // MILLI_PER_GPU) * MILLI_PER_GPU for flavor, amount in guarantee.items()
        }
        limits += f", lending_limit: {_amounts(lending)}"
    default = f"{{weight: 1, guarantee: {_amounts(each)}}}" if rng.randrange(2) else "{weight: 2}"
    funder = ", funder: MSIT" if rng.randrange(2) else ""
    of_list = rng.choice(("0", "0.05", "0.333333", "1"))
    return (
        f"  {name}: {{weight: {rng.randint(1, 50)}, guarantee: {_amounts(guarantee)}{limits}, "
        f"org_default: {default}, price: {{of_list: {of_list}{funder}}}}}"
    )


def _overrides(scenario: Scenario, version: int) -> str:
    """Leases for some organisations, with another weight or without their default guarantee, until an instant."""
    rng = stream(scenario.seed, f"overrides {version}")
    leases = []
    for named in scenario.tenants:
        share = rng.choice(("weight: 30", "guarantee: {}", "weight: 30, guarantee: {}"))
        until = rfc3339_utc(START_MS + rng.randrange(scenario.busy_ms) // 1_000 * 1_000)
        if rng.randrange(2):
            leases.append(f"{{org: {named.name}, {share}, until: {until}}}")
    return f"[{', '.join(leases)}]"


def _amounts(milli_gpus: dict[str, int]) -> str:
    inside = ", ".join(
        f"{flavor}: {amount // MILLI_PER_GPU}{'.5' if amount % MILLI_PER_GPU else ''}"
        for flavor, amount in milli_gpus.items()
    )
    return f"{{{inside}}}"
