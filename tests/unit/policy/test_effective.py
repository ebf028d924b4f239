"""The effective policy: defaults and overrides over the registry at an instant; and whether guarantees fit."""

from __future__ import annotations

import random

import pytest

from scheduler.core.records import OrgRecord, ProjectRecord
from scheduler.core.tree import TreeNode
from scheduler.policy.capacity import fits_capacity
from scheduler.policy.effective import Registry, effective
from scheduler.policy.loader import LoadedPolicy, load
from scheduler.policy.model import Policy

DAY_MS = 86_400_000
BASE = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: small}
flavors: {h100: {exchange: 1}, a100: {exchange: 0.45}}
limits: {max_gpus_per_job: 8, default_time: 1h, max_time: 1d}
classes:
  sme: {weight: 3, guarantee: {h100: 10}, org_default: {weight: 2, guarantee: {h100: 2}}, price: {of_list: 0.1}}
  uni: {weight: 1, guarantee: {h100: 6, a100: 4}, lending_limit: {a100: 1}, price: {of_list: 0}}
rate_card: card-1
overrides:
"""
# Leases end at the beginning of January 3rd and 5th, 1970: days 2 and 4.
LEASE_2 = "until: 1970-01-03T00:00:00Z"
LEASE_4 = "until: 1970-01-05T00:00:00Z"


def policy_of(*overrides: str) -> Policy:
    """BASE with overrides in flow style."""
    lines = "".join(f"  - {{{line}}}\n" for line in overrides) or "  []\n"
    result = load(BASE + lines, "p.yaml")
    assert isinstance(result, LoadedPolicy), result
    return result.policy


def orgs(*names: str, class_name: str = "sme", state: str = "verified") -> tuple[OrgRecord, ...]:
    """Organisations of one class."""
    return tuple(OrgRecord(name=name, class_name=class_name, state=state) for name in names)


def nodes(policy: Policy, registry: Registry, at_ms: int = 0) -> dict[str, TreeNode]:
    """Tree nodes by path."""
    return effective(policy, 1, registry, 1, at_ms).tree.nodes


def test_the_tree_has_classes_organisations_and_projects() -> None:
    policy = policy_of(
        "org: b, weight: 0.5", "project: a/nlp, weight: 4, guarantee: {h100: 1}, borrowing_limit: {a100: 0}"
    )
    registry = Registry(
        (*orgs("a", "b"), *orgs("c", class_name="uni")),
        (
            ProjectRecord(org="a", name="nlp"),
            ProjectRecord(org="c", name="vision"),
            ProjectRecord(org="gone", name="x"),
        ),
    )
    assert nodes(policy, registry) == {
        "/": TreeNode("/"),
        "/sme": TreeNode("/sme", 3_000_000, {"h100": 10_000}),
        "/sme/a": TreeNode("/sme/a", 2_000_000, {"h100": 2_000}),
        "/sme/a/nlp": TreeNode("/sme/a/nlp", 4_000_000, {"h100": 1_000}, {"a100": 0}),
        "/sme/b": TreeNode("/sme/b", 500_000, {"h100": 2_000}),
        "/uni": TreeNode("/uni", 1_000_000, {"h100": 6_000, "a100": 4_000}, {}, {"a100": 1_000}),
        "/uni/c": TreeNode("/uni/c", 1_000_000),
        "/uni/c/vision": TreeNode("/uni/c/vision", 1_000_000),
    }


def test_everything_else_comes_from_the_policy() -> None:
    policy = policy_of()
    result = effective(policy, 7, Registry(), 9, 0)
    assert (result.policy_version, result.registry_seq, result.policy_name) == (7, 9, "small")
    assert (result.rate_card, result.calendar, result.vat_ppm) == ("card-1", "month", 100_000)
    assert (result.limits, result.half_life_ms, result.tiers) == (policy.limits, policy.half_life_ms, policy.tiers)
    assert result.class_prices["sme"].of_list_ppm == 100_000
    assert result.until_ms == 0


LEASED = (
    "org: a, weight: 5, guarantee: {h100: 3}",
    f"org: a, guarantee: {{}}, {LEASE_2}",
    f"org: b, weight: 9, {LEASE_4}",
)


@pytest.mark.parametrize(
    ("day", "weight_a", "guarantee_a", "weight_b", "until_day"),
    [
        (0, 5, {}, 9, 2),  # the lease lies on the lasting override: its weight stays, its guarantee goes
        (2, 5, {"h100": 3_000}, 9, 4),  # a lease ends at its instant, and restores what was before
        (4, 5, {"h100": 3_000}, 2, 0),
    ],
)
def test_a_lease_restores_itself(
    day: int, weight_a: int, guarantee_a: dict[str, int], weight_b: int, until_day: int
) -> None:
    policy = policy_of(*LEASED)
    registry = Registry(orgs("a", "b"))
    tree = nodes(policy, registry, day * DAY_MS)
    assert (tree["/sme/a"].weight_ppm, tree["/sme/a"].guarantee) == (weight_a * 1_000_000, guarantee_a)
    assert (tree["/sme/b"].weight_ppm, tree["/sme/b"].guarantee) == (weight_b * 1_000_000, {"h100": 2_000})
    assert effective(policy, 1, registry, 1, day * DAY_MS).until_ms == until_day * DAY_MS
    if day:
        before = effective(policy, 1, registry, 1, day * DAY_MS - 1)
        assert before.until_ms == day * DAY_MS


@pytest.mark.parametrize("state", ["applied", "suspended", "expired", "closed"])
def test_only_verified_organisations_are_guaranteed_anything(state: str) -> None:
    tree = nodes(policy_of(), Registry(orgs("a", state=state)))
    assert tree["/sme/a"] == TreeNode("/sme/a", 2_000_000)
    assert fits_capacity(policy_of(), orgs(*"abcdefgh", state=state), {"h100": 16, "a100": 4}) == []


def test_a_class_that_the_policy_lacks_gets_nothing() -> None:
    tree = nodes(policy_of(), Registry(orgs("a", class_name="gone"), (ProjectRecord(org="a", name="nlp"),)))
    closed = {"h100": 0, "a100": 0}
    assert tree["/gone"] == TreeNode("/gone", 0, {}, closed)
    assert tree["/gone/a"] == TreeNode("/gone/a", 0, {}, closed)
    found = fits_capacity(policy_of(), orgs("a", class_name="gone"), None)
    assert [(item.where, item.code) for item in found] == [("p.yaml:7:3", "DURE-1232")]


PROJECTS = ("project: a/x, guarantee: {h100: 1}", "project: a/y, guarantee: {h100: 1}")
FIT: dict[str, tuple[tuple[str, ...], str, dict[str, int] | None, list[str]]] = {
    "5 x 2 = 10 of 10": ((), "abcde", {"h100": 16, "a100": 4}, []),
    "6 x 2 = 12 of 10": ((), "abcdef", None, ["class sme guarantees its 6 organisations 12 h100 but has 10"]),
    "capacity unknown": ((), "a", None, []),
    "10 + 6 = 16 of 15": ((), "a", {"h100": 15, "a100": 4}, ["the classes guarantee 16 h100 but 15 are registered"]),
    "no such flavor registered": ((), "a", {"h100": 16}, ["the classes guarantee 4 a100 but 0 are registered"]),
    "5 x 2 + 0 = 10 of 10": (("org: f, guarantee: {}",), "abcdef", None, []),
    "1 x 9 + 1 x 2 = 11 of 10": (
        ("org: a, guarantee: {h100: 9}",),
        "ab",
        None,
        ["class sme guarantees its 2 organisations 11 h100 but has 10"],
    ),
    "9 of 10, alone": (("org: a, guarantee: {h100: 9}",), "a", None, []),
    "a guarantee of another flavor": (
        ("org: a, guarantee: {a100: 1}",),
        "a",
        None,
        ["class sme guarantees its organisation a 1 a100 but has 0"],
    ),
    "an override of nobody registered": (("org: z, guarantee: {h100: 9}",), "abcde", None, []),
    "fits until the lease ends on day 2: 5 x 2 + 2 = 12": (
        (f"org: f, guarantee: {{}}, {LEASE_2}",),
        "abcdef",
        None,
        ["class sme guarantees its 6 organisations 12 h100 but has 10 from 1970-01-03 00:00 UTC on"],
    ),
    "a lease fills what is free: 4 x 2 + 2 = 10": ((f"org: e, guarantee: {{h100: 2}}, {LEASE_4}",), "abcde", None, []),
    "projects 1 + 1 = 2 of 2": (PROJECTS, "a", None, []),
    "projects 2 of 4, after day 4 of 2": ((f"org: a, guarantee: {{h100: 4}}, {LEASE_4}", *PROJECTS), "a", None, []),
}


@pytest.mark.parametrize(("overrides", "names", "capacity", "messages"), FIT.values(), ids=FIT.keys())
def test_guarantees_fit(
    overrides: tuple[str, ...], names: str, capacity: dict[str, int] | None, messages: list[str]
) -> None:
    assert [item.message for item in fits_capacity(policy_of(*overrides), orgs(*names), capacity)] == messages


def test_projects_fit_into_the_default_of_their_own_class() -> None:
    # The file alone cannot tell: the default of class sme would do.
    found = fits_capacity(policy_of(*PROJECTS), orgs("a", class_name="uni"), None)
    assert [item.message for item in found] == ["projects of a are guaranteed 2 h100 but it has 0"]
    assert found[0].where == "p.yaml:11:38"


def test_ended_leases_count_no_more() -> None:
    policy = policy_of(f"org: a, guarantee: {{h100: 9}}, {LEASE_2}")
    assert [item.code for item in fits_capacity(policy, orgs("a", "b"), None, DAY_MS)] == ["DURE-1220"]
    assert fits_capacity(policy, orgs("a", "b"), None, 2 * DAY_MS) == []


def test_sums_over_time_are_those_of_each_instant(rng: random.Random) -> None:
    """The running sums of fits_capacity against a sum anew at every end of a lease."""
    fitting = 0
    for _ in range(200):
        names = [f"o{number}" for number in range(rng.randint(1, 8))]
        overrides = []
        for name in names:
            if rng.random() < 0.4:
                overrides.append(f"org: {name}, guarantee: {{h100: {rng.randint(0, 5)}}}")
            if rng.random() < 0.4:
                day = rng.randint(2, 9)
                overrides.append(
                    f"org: {name}, guarantee: {{h100: {rng.randint(0, 5)}}}, until: 1970-01-0{day}T00:00:00Z"
                )
        policy, registry = policy_of(*overrides), Registry(orgs(*names))
        over = [
            day
            for day in range(9)
            if sum(
                node.guarantee.get("h100", 0)
                for path, node in nodes(policy, registry, day * DAY_MS).items()
                if path.startswith("/sme/")
            )
            > 10_000
        ]
        found = fits_capacity(policy, registry.orgs, None, 0)
        assert bool(found) == bool(over), (overrides, over)
        fitting += not over
    assert 20 < fitting < 180
