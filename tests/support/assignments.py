"""Assignments as an operator gets them, to be changed where a test means something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from operators.ports import Assignment
from scheduler.core.model import Rank


def assignment(job: str = "aaaa", attempt: int = 1, **changes: object) -> Assignment:
    """A gang of one rank with one GPU, unless the changes say otherwise."""
    base = Assignment(
        job=job,
        attempt=attempt,
        org="hanbit-ai",
        project="nlp",
        user="kim",
        tier="borrow",
        flavor="h100-80g",
        ranks=(Rank(0, "h100-80g-0", 1),),
        entrypoint="script",
        run="true",
        setup="",
        env=(),
        package_sha256="",
        time_limit_ms=60_000,
        grace_ms=5_000,
        checkpoint_key=job,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # a test names the fields it means


def gang(nodes: Iterable[tuple[str, int]]) -> tuple[Rank, ...]:
    """One rank for each (node, GPUs), in this order."""
    return tuple(Rank(rank, node, gpus) for rank, (node, gpus) in enumerate(nodes))
