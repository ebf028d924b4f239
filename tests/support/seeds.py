"""Seeds: every test that draws numbers takes them from here, and a failure prints the seed that repeats it."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Generator

import pytest

SEED_ENV = "DURE_TEST_SEED"
_SEED = pytest.StashKey[int]()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The test's seed: DURE_TEST_SEED, or a number made from the test's own name (the same in every run)."""
    chosen = os.environ.get(SEED_ENV)
    value = int(chosen) if chosen else zlib.crc32(request.node.nodeid.encode())
    request.node.stash[_SEED] = value
    return value


@pytest.fixture
def rng(seed: int) -> random.Random:
    """A generator started from the test's seed."""
    return random.Random(seed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the seed and the command that repeats the run to the report of a failed test."""
    del call
    report = yield
    used = item.stash.get(_SEED, None)
    if report.failed and used is not None:
        report.sections.append(("seed", f"repeat with: {SEED_ENV}={used} pytest '{item.nodeid}'"))
    return report
