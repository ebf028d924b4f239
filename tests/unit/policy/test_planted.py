"""Mistakes planted into policies made at random: every one is found at its place, and none is invented."""

from __future__ import annotations

import random
from collections import Counter

from scheduler.policy.loader import LoadedPolicy, lint, load
from tests.support.policy_mistakes import KINDS, Garden, Planted
from tests.support.policy_texts import policy, write

VALID = 300
BROKEN = 1_200
TOGETHER_MAX = 6
OF_A_KIND_MIN = 10


def test_a_valid_policy_has_no_mistakes(rng: random.Random) -> None:
    for _ in range(VALID):
        written = write(rng, policy(rng))
        assert lint(written.text, "p.yaml", None, ()) == [], written.text
        assert isinstance(load(written.text, "p.yaml", ()), LoadedPolicy)


def planted(rng: random.Random, garden: Garden) -> list[Planted]:
    """One to TOGETHER_MAX mistakes of kinds drawn; fewer where nothing is left to spoil."""
    found = []
    for name in rng.sample(sorted(KINDS), rng.randint(1, TOGETHER_MAX)):
        mistake = KINDS[name](rng, garden)
        found += [mistake] if mistake else []
    return found


def test_exactly_what_was_planted_is_found(rng: random.Random) -> None:
    seen: Counter[str] = Counter()
    for _ in range(BROKEN):
        garden = Garden(policy(rng))
        mistakes = planted(rng, garden)
        written = write(rng, garden.documents)
        wanted = Counter(
            (f"p.yaml:{line}:{column}", mistake.code)
            for mistake in mistakes
            for line, column in [mistake.place(written)]
        )
        found = lint(written.text, "p.yaml", None, ())
        names = [mistake.kind for mistake in mistakes]
        assert Counter((item.where, item.code) for item in found) == wanted, (names, found, written.text)
        seen.update(names)
    rare = {name: seen[name] for name in seen if seen[name] < OF_A_KIND_MIN}
    assert (len(seen), rare) == (len(KINDS), {})
