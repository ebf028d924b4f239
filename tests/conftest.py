"""What holds for every test: a home of its own, no environment from outside, repeatable random draws."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

import hypothesis
import pytest

pytest_plugins = ["tests.support.postgres", "tests.support.prometheus", "tests.support.seeds"]

# Environment that tests may be steered by; every other DURE_ variable of the caller would change what is tested.
KEPT_ENV = frozenset({"DURE_UPDATE_GOLDEN", "DURE_TEST_SEED"})
# What else steers a program under test: a home, a cluster, colours, and in a hook of git the repository itself.
STEERING = (
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "RAY_ADDRESS"),
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),
)
_HOME = pytest.StashKey[str]()

# The same examples in every run, so that a red run is the change's fault; --hypothesis-profile=explore draws new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1_000)


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a temporary home (Ray and the CLI write there), direct local HTTP past any proxy, interrupts."""
    # Also when it was started in the background, where a shell has interrupts ignored: fixtures clean up then.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption("--hypothesis-profile"):
        hypothesis.settings.load_profile("repeatable")
    home = tempfile.mkdtemp(prefix="dure-home-")
    config.stash[_HOME] = home
    for name in [name for name in os.environ if name.startswith("DURE_") and name not in KEPT_ENV]:
        del os.environ[name]
    for name in [name for name in os.environ if name.startswith("GIT_")] + [*STEERING]:
        os.environ.pop(name, None)
    os.environ |= {"HOME": home, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary home."""
    shutil.rmtree(config.stash.get(_HOME, ""), ignore_errors=True)
