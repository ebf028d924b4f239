"""What becomes of an attempt: drawn from the seed when it begins, and again when somebody or something interferes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from operators.ports import Assignment, ObservationKind, StopOrder
from scheduler.core.lifecycle import StopReason
from scheduler.sim.world.chance import Dice, between
from scheduler.sim.world.ground import GroundAttempt, observed

SECOND_MS = 1_000
START_MS_MAX = 60 * SECOND_MS
JOB_MS_MIN, JOB_MS_MAX = 5 * SECOND_MS, 1_800 * SECOND_MS
TIDY_MS_MAX = 20 * SECOND_MS
PROOF_MS_MAX = 90 * SECOND_MS
KILLED, TERMINATED = 137, 143


def run(attempt: GroundAttempt, dice: Dice) -> None:
    """Plan a whole life: begin, starts at different times, then one of the ways to end; or it is lost before."""
    rng = dice.of(f"fate {attempt.cluster}")
    assignment = attempt.assignment
    begin_ms = attempt.begun_at_ms + rng.randint(100, 3 * SECOND_MS)
    if dice.happens("never_created", attempt.cluster):
        never(attempt, dice)
        return
    attempt.plan(observed(assignment, ObservationKind.STARTING, begin_ms))
    if dice.happens("start_fails", attempt.cluster):
        _cannot_start(attempt, begin_ms + between(rng, SECOND_MS, TIDY_MS_MAX))
        return
    if dice.happens("attempt_lost", attempt.cluster):
        attempt.doom_ms = begin_ms + between(rng, SECOND_MS, JOB_MS_MAX // 2)
    starts = [begin_ms + between(rng, SECOND_MS, START_MS_MAX) for _ in assignment.ranks]
    for rank, at_ms in zip(assignment.ranks, starts, strict=True):
        attempt.plan(observed(assignment, ObservationKind.RANK_STARTED, at_ms, rank.rank))
    running_ms, length_ms = max(starts), between(rng, JOB_MS_MIN, JOB_MS_MAX)
    if dice.happens("job_hangs", attempt.cluster) or length_ms > assignment.time_limit_ms:
        at_ms = running_ms + assignment.time_limit_ms
        _notice(attempt, StopOrder(StopReason.TIMEOUT.value, assignment.grace_ms), at_ms, dice)
        return
    fails = dice.happens("job_fails", attempt.cluster)
    code = rng.choice((1, 2, 3, KILLED)) if fails else 0
    first = rng.randrange(len(assignment.ranks)) if fails else -1
    ends: dict[int, tuple[int, int]] = {}
    for number, rank in enumerate(assignment.ranks):
        late_ms = 0 if number == first else rng.randint(0, 5 * SECOND_MS)
        ends[rank.rank] = (running_ms + length_ms + late_ms, code if number == first else TERMINATED if fails else 0)
    _end(attempt, ends, rng)


def stop(attempt: GroundAttempt, order: StopOrder, now_ms: int, dice: Dice) -> None:
    """Give notice: what has not begun never runs; what runs honours its grace or not; what ends anyway ends."""
    rng = dice.of(f"fate {attempt.cluster}")
    if attempt.is_gone or attempt.died_at_ms or attempt.notice or attempt.has_failed:
        return
    if attempt.starts and not attempt.running:
        return
    attempt.drop_plans()
    if not attempt.is_starting:
        _gone(attempt, now_ms + rng.randint(1, SECOND_MS), None)
        return
    _notice(attempt, order, now_ms, dice)


def never(attempt: GroundAttempt, dice: Dice) -> None:
    """Nothing of it was ever created: it was to stop before, or the cluster would not have it."""
    _gone(attempt, attempt.begun_at_ms + dice.of(f"fate {attempt.cluster}").randint(1, SECOND_MS), None)


def lose(attempt: GroundAttempt, now_ms: int, through_ms: int, dice: Dice) -> None:
    """Its supervisor dies now: the last heartbeat is the end of what ran, and the proof comes later.

    A heartbeat is never older than what the cluster has vouched for.
    """
    if attempt.is_gone or attempt.died_at_ms:
        return
    rng = dice.of(f"fate {attempt.cluster}")
    proven_ms = now_ms + between(rng, 5 * SECOND_MS, PROOF_MS_MAX)
    beat_ms = min(now_ms, max(now_ms // SECOND_MS * SECOND_MS, through_ms, attempt.last_ms))
    attempt.drop_plans()
    attempt.died_at_ms = now_ms
    for rank in attempt.running:
        ended = observed(attempt.assignment, ObservationKind.RANK_ENDED, beat_ms, rank)
        attempt.plan(replace(ended, evidence="lost"), visible_ms=proven_ms)
    _gone(attempt, proven_ms, attempt.exit_code, lost=attempt.exit_code is None)


def erase(attempt: GroundAttempt, now_ms: int) -> bool:
    """Its cluster loses every trace of it, if all its ranks run on; it holds its GPUs until somebody looks for it."""
    runs = len(attempt.running) == len(attempt.assignment.ranks)
    if not runs or attempt.notice or attempt.died_at_ms or attempt.is_gone:
        return False
    attempt.drop_plans()
    attempt.doom_ms = 0
    attempt.erased_at_ms, attempt.is_untraced = now_ms, True
    return True


def end_untraced(attempt: GroundAttempt, now_ms: int, dice: Dice) -> None:
    """What is left of an erased attempt is found and killed: gone, and nobody knows since when it did not run."""
    attempt.is_untraced = False
    _gone(attempt, now_ms + dice.of(f"fate {attempt.cluster}").randint(1, SECOND_MS), None, lost=True)


def _cannot_start(attempt: GroundAttempt, at_ms: int) -> None:
    failed = observed(attempt.assignment, ObservationKind.FAILED, at_ms)
    attempt.plan(replace(failed, message="the environment could not be made"))
    gone = observed(attempt.assignment, ObservationKind.GONE, at_ms + SECOND_MS)
    attempt.plan(replace(gone, exit_code=1, evidence="observed"))


def _notice(attempt: GroundAttempt, order: StopOrder, at_ms: int, dice: Dice) -> None:
    """A notice at an instant, and how each rank that runs by then takes it."""
    rng = dice.of(f"fate {attempt.cluster}")
    notice = observed(attempt.assignment, ObservationKind.NOTICE, at_ms)
    attempt.plan(replace(notice, reason=order.reason))
    ends: dict[int, tuple[int, int]] = {}
    well = dice.happens("ends_well_in_grace", attempt.cluster)
    ignored = dice.happens("grace_ignored", attempt.cluster)
    expected = {event.what.rank for event in attempt.future if event.what.kind is ObservationKind.RANK_STARTED}
    for rank in sorted(set(attempt.running) | expected):
        in_grace_ms = at_ms + rng.randint(1, max(1, order.grace_ms))
        killed_ms = at_ms + order.grace_ms + rng.randint(1, 2 * SECOND_MS)
        ends[rank] = (in_grace_ms, 0) if well else (killed_ms, KILLED) if ignored else (in_grace_ms, TERMINATED)
    _end(attempt, ends, rng, at_ms)


def _end(attempt: GroundAttempt, ends: dict[int, tuple[int, int]], rng: Random, from_ms: int = 0) -> None:
    """Ranks end with their codes in the order of their instants, and then the attempt is gone."""
    codes = dict(attempt.exits)
    for rank, (at_ms, code) in sorted(ends.items(), key=lambda item: (item[1][0], item[0])):
        ended = observed(attempt.assignment, ObservationKind.RANK_ENDED, at_ms, rank)
        attempt.plan(replace(ended, exit_code=code, evidence="observed"))
        codes[rank] = code
    last_ms = max([from_ms, *(at_ms for at_ms, _ in ends.values())])
    all_known = len(codes) == len(attempt.assignment.ranks)
    code_of_all = next((code for code in codes.values() if code), 0 if all_known else None)
    _gone(attempt, last_ms + rng.randint(200, TIDY_MS_MAX), code_of_all)


def _gone(attempt: GroundAttempt, at_ms: int, code: int | None, *, lost: bool = False) -> None:
    """Proven gone; ``lost`` when ends are missing that nobody saw."""
    gone = observed(attempt.assignment, ObservationKind.GONE, at_ms)
    attempt.plan(replace(gone, exit_code=code, evidence="lost" if lost else "observed"))


def content(assignment: Assignment, rank: int, size: int) -> bytes:
    """The first ``size`` bytes of what a rank prints."""
    line = f"{assignment.name} rank {rank}\n".encode()
    return (line * (size // len(line) + 1))[:size]
