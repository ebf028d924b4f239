"""The composition root: the only place that builds adapters, and the entry of everything that runs a server.

Heavy parts are imported by the function that needs them, so that ``dure policy lint`` stays light.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from scheduler.core.errors import Fatal, Finding

__all__ = ["lint_policy", "meter_gap", "serve", "up"]

NOT_INSTALLED = "DURE-1055"


@contextmanager
def _installed(extras: str) -> Iterator[None]:
    """Around imports: a third party that is missing is a Fatal that says which extras bring it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("scheduler", "operators"):
            raise
        fix = f"pip install 'dure[{extras}]'"
        raise Fatal(NOT_INSTALLED, f"this needs a part of Dure that is not installed: {error.name}", fix) from error


def lint_policy(text: str, name: str, capacity: Mapping[str, int] | None = None) -> list[Finding]:
    """Every mistake of a policy text, without a server; ``name`` is used in findings' places."""
    from scheduler.policy.loader import lint

    return lint(text, name, capacity)


def serve(
    *, say: Callable[[str], None], database: str = "", data: str = "", host: str = "", port: int | None = None
) -> int:
    """Run the control plane until a signal; returns the exit status. What is not given comes from DURE_ variables.

    Raises Fatal for settings, folders or databases that cannot be used, Retry when the database is out of reach.
    """
    with _installed("server"):
        from scheduler.config import read_settings
        from scheduler.main.serving import run_serve

    arguments = {"database_url": database, "data": data, "host": host, "port": port}
    return run_serve(read_settings(arguments, os.environ), say)


def up(
    *,
    say: Callable[[str], None],
    gpus: Sequence[str] = (),
    data: str = "",
    host: str = "",
    port: int | None = None,
    policy: str = "",
    policy_name: str = "policy.yaml",
    demo_org: bool = True,
) -> int:
    """Run control plane and local operator on one data folder until a signal; returns the exit status.

    policy: the text to apply when no policy is in force yet, "" for the default; ``policy_name`` is used in findings.
    Raises Fatal for what the user can change; for a broken policy before anything is changed.
    """
    with _installed("server,local"):
        from scheduler.config import read_settings
        from scheduler.main.embedded import FirstPolicy, run_up

    arguments = {"gpus": tuple(gpus), "data": data, "host": host, "port": port}
    first = FirstPolicy(policy, policy_name, chosen=True) if policy else None
    return run_up(read_settings(arguments, os.environ), first, demo_org, say)


def meter_gap(
    prometheus: str, server: str, token: str, since_ms: int, until_ms: int
) -> tuple[list[str], list[Finding]]:
    """Compare the ledger with a Prometheus over [since, until): one line for each organisation, and findings.

    Raises Retry or Fatal when either cannot be asked.
    """
    with _installed("server"):
        from scheduler.main.gap import compare_usage, gap_text

    lines, findings = compare_usage(prometheus, server, token, since_ms, until_ms)
    return [gap_text(line) for line in lines], findings
