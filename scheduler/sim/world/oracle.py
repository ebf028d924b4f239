"""The usage that really was, counted from the machines' own instants by code that shares nothing with the settler."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.sim.world.ground import Ground, GroundAttempt

Usage = dict[tuple[str, str], list[int]]
"""(ORG/PROJECT, flavor) -> [held, billed] in milli-GPU-milliseconds."""


def truth(ground: Ground, admitted: Mapping[tuple[str, int], int], evicted: frozenset[str] = frozenset()) -> Usage:
    """Held from the instant of AttemptAdmitted to gone; billed from the gang's last start to each rank's own end.

    admitted: (job, attempt) -> instant on the control plane's clock. evicted: names of attempts whose billing ends
    at their notice. An attempt is never gone before it was admitted, and nothing is billed outside what is held.
    """
    usage: Usage = {}
    for name, attempt in sorted(ground.attempts.items()):
        wanted = attempt.assignment
        begin_ms = admitted[wanted.job, wanted.attempt]
        gone_ms = max(begin_ms, attempt.gone_at_ms)
        sums = usage.setdefault((f"{wanted.org}/{wanted.project}", wanted.flavor), [0, 0])
        notice_ms = _notice_ms(attempt) if name in evicted else gone_ms
        for rank in wanted.ranks:
            sums[0] += rank.gpus * 1_000 * (gone_ms - begin_ms)
            sums[1] += rank.gpus * 1_000 * _billed_ms(attempt, rank.rank, begin_ms, min(gone_ms, notice_ms))
    return usage


def _billed_ms(attempt: GroundAttempt, rank: int, begin_ms: int, latest_ms: int) -> int:
    if len(attempt.starts) < len(attempt.assignment.ranks):
        return 0
    first_ms = max(begin_ms, *attempt.starts.values())
    last_ms = min(latest_ms, attempt.ends.get(rank, latest_ms))
    return last_ms - first_ms if last_ms > first_ms else 0


def _notice_ms(attempt: GroundAttempt) -> int:
    return min((event.at_ms for event in attempt.past if event.what.reason), default=attempt.gone_at_ms)
