"""The usage and the outcomes that really were, told from the machines alone, by code that services do not share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from scheduler.sim.world.ground import Ground, GroundAttempt

Usage = dict[tuple[str, str], list[int]]
"""(ORG/PROJECT, flavor) -> [held, billed] in milli-GPU-milliseconds."""


class Outcome(StrEnum):
    """How an attempt ended: well, by an order or its time limit, evicted, by its own fault, or without it lost."""

    WELL = "ended well"
    STOPPED = "was stopped"
    EVICTED = "was evicted"
    FAILED = "failed"
    LOST = "was lost"


def outcome(attempt: GroundAttempt, *, evicted: bool) -> Outcome:
    """The first thing that ended it counts; an end of all ranks with 0 is a good one whatever was ordered before.

    evicted: the control plane asked for its GPUs before it had heard of anything else that ended it.
    """
    if attempt.exit_code == 0 and not attempt.is_lost:
        return Outcome.WELL
    if evicted:
        return Outcome.EVICTED
    if attempt.notice:
        return Outcome.STOPPED
    return Outcome.FAILED if attempt.has_failed or attempt.exit_code else Outcome.LOST


def truth(
    ground: Ground,
    admitted: Mapping[tuple[str, int], int],
    vouched: Mapping[tuple[str, int], int],
    evicted: Collection[str],
) -> Usage:
    """Held from the instant of AttemptAdmitted to gone; billed from the gang's last start to each rank's own end.

    admitted: (job, attempt) -> instant on the control plane's clock. vouched: (job, attempt) -> up to where its cluster
    had vouched before it was gone; that is where billing of one ends whose traces were lost. evicted: names of attempts
    whose billing ends at their notice. An attempt is never gone before it was admitted, and nothing is billed outside
    what is held.
    """
    usage: Usage = {}
    for name, attempt in sorted(ground.attempts.items()):
        wanted = attempt.assignment
        begin_ms = admitted[wanted.job, wanted.attempt]
        gone_ms = max(begin_ms, attempt.gone_at_ms)
        sums = usage.setdefault((f"{wanted.org}/{wanted.project}", wanted.flavor), [0, 0])
        ends = erased_ends(attempt, vouched[wanted.job, wanted.attempt]) if attempt.was_erased else attempt.ends
        notice_ms = _notice_ms(attempt) if name in evicted else gone_ms
        for rank in wanted.ranks:
            sums[0] += rank.gpus * 1_000 * (gone_ms - begin_ms)
            latest_ms = min(gone_ms, notice_ms, ends.get(rank.rank, gone_ms))
            sums[1] += rank.gpus * 1_000 * _billed_ms(attempt, begin_ms, latest_ms)
    return usage


def erased_ends(attempt: GroundAttempt, vouched_ms: int) -> dict[int, int]:
    """Where each rank of an erased attempt must end for the control plane: as vouched for, and never before it ran."""
    return {rank: max(started_ms, vouched_ms) for rank, started_ms in attempt.starts.items()}


def _billed_ms(attempt: GroundAttempt, begin_ms: int, last_ms: int) -> int:
    if len(attempt.starts) < len(attempt.assignment.ranks):
        return 0
    first_ms = max(begin_ms, *attempt.starts.values())
    return last_ms - first_ms if last_ms > first_ms else 0


def _notice_ms(attempt: GroundAttempt) -> int:
    return min((event.at_ms for event in attempt.past if event.what.reason), default=attempt.gone_at_ms)
