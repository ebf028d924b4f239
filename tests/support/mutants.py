"""A mistake put into the real code, and the proof that the deterministic world finds it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from scheduler.sim.world import Parts, run

Patch = pytest.MonkeyPatch
SEEDS_MAX = 12
JOBS = 24
ONE = Parts(findings_max=1)


def no_change(patch: Patch) -> None:
    """The mistake is in a part."""


@dataclass(frozen=True)
class Mutant:
    """A mistake, and what one of the findings must say."""

    put_in: Callable[[Patch], None]
    says: str
    parts: Parts = ONE
    seeds: int = SEEDS_MAX
    """It is found in so many seeds at most."""


def assert_found(mutant: Mutant, patch: Patch) -> None:
    """Run world after world until one finds the mistake."""
    mutant.put_in(patch)
    found: list[str] = []
    for seed in range(mutant.seeds):
        found += run(seed, jobs=JOBS, parts=mutant.parts).findings
        if any(re.search(mutant.says, finding) for finding in found):
            return
    raise AssertionError(f"not found in {mutant.seeds} seeds; found is {found}")
