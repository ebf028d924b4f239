"""Held and billed usage, findings, and slices that never change once cut."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from scheduler.core.accounting.usage import (
    END_UNKNOWN,
    IMPOSSIBLE_TIMES,
    RANKS_DIFFER,
    AttemptUsage,
    billed_until,
    cut,
    held_until,
    slice_id,
    usage_of,
)
from scheduler.core.lifecycle import StopReason
from scheduler.core.records import SliceRecord
from tests.unit.core.accounting import oracle
from tests.unit.core.accounting.worlds import HOUR, T0, Story, story, watermarks

FOREVER = T0 + 10_000 * HOUR
MINUTE = 60_000


def known(told: Story, through: int = FOREVER) -> AttemptUsage:
    """The attempt as it is known when everything before ``through`` has been observed."""
    attempt, ranks = told.known_at(through)
    return usage_of(attempt, ranks, told.class_name)


def minutes(
    reason: StopReason,
    notice: int,
    gone: int,
    *ranks: tuple[int, int],
    admitted: int = 0,
) -> Story:
    """A story told in minutes after T0, with one GPU a rank; 0 is never (but for ``admitted``)."""

    def at(minute: int) -> int:
        return T0 + minute * MINUTE if minute else 0

    return Story(
        admitted=T0 + admitted * MINUTE,
        gpus=(1,) * len(ranks),
        started=tuple(at(start) for start, _ in ranks),
        ended=tuple(at(end) for _, end in ranks),
        lost=(False,) * len(ranks),
        reason=reason,
        notice=at(notice),
        gone=at(gone),
    )


FINISH, CANCEL, EVICT = StopReason.FINISH, StopReason.CANCEL, StopReason.EVICT
TIMEOUT, FAIL, LOST = StopReason.TIMEOUT, StopReason.FAIL, StopReason.LOST
# name: (story, GPU-minutes held, GPU-minutes billed of each rank)
BILLED = {
    "one rank: held 0-50, billed 45-5": (minutes(FINISH, 0, 50, (5, 45)), 50, (40,)),
    "a gang is billed from its last start, 9": (minutes(FINISH, 0, 50, (5, 45), (9, 40)), 100, (45 - 9, 40 - 9)),
    "a rank that ends before the last start": (minutes(FAIL, 0, 50, (5, 8), (9, 40)), 100, (0, 40 - 9)),
    "a rank that never starts: the gang pays nothing": (minutes(FAIL, 0, 50, (5, 45), (0, 0)), 100, (0, 0)),
    "an eviction's notice at 30 ends billing": (minutes(EVICT, 30, 50, (5, 45)), 50, (30 - 5,)),
    "a rank that ends before the notice": (minutes(EVICT, 30, 50, (5, 45), (5, 20)), 100, (25, 15)),
    "a notice before the start": (minutes(EVICT, 3, 50, (5, 45)), 50, (0,)),
    "an eviction before any notice: it ended first": (minutes(EVICT, 0, 50, (5, 45)), 50, (40,)),
    "a cancel's notice does not end billing": (minutes(CANCEL, 30, 50, (5, 45)), 50, (40,)),
    "a timeout's notice does not": (minutes(TIMEOUT, 30, 50, (5, 45)), 50, (40,)),
    "a failure's notice does not": (minutes(FAIL, 30, 50, (5, 45)), 50, (40,)),
    "lost: to the last heartbeat": (minutes(LOST, 0, 50, (5, 31)), 50, (31 - 5,)),
    "no end known: to gone": (minutes(FINISH, 0, 50, (5, 0)), 50, (50 - 5,)),
    "an end after gone: to gone": (minutes(FINISH, 0, 50, (5, 55)), 50, (50 - 5,)),
    "a start before Admitted: from Admitted": (minutes(FINISH, 0, 50, (5, 45), admitted=8), 42, (45 - 8,)),
    "an end before the start": (minutes(FINISH, 0, 50, (45, 5)), 50, (0,)),
    "gone before Admitted": (minutes(FINISH, 0, 5, (6, 7), admitted=8), 0, (0,)),
    "three hours": (minutes(FINISH, 0, 200, (5, 190)), 200, (185,)),
}


@pytest.mark.parametrize(("told", "held_minutes", "billed_minutes"), BILLED.values(), ids=BILLED.keys())
def test_held_and_billed(told: Story, held_minutes: int, billed_minutes: tuple[int, ...]) -> None:
    usage = known(told)
    slices = cut(usage, FOREVER)
    billed = [
        sum(part.billed_milli_gpu_ms for part in slices if part.rank == rank) for rank in range(len(billed_minutes))
    ]
    assert billed == [count * 1_000 * MINUTE for count in billed_minutes]
    assert sum(part.held_milli_gpu_ms for part in slices) == held_minutes * 1_000 * MINUTE
    assert held_until(usage, FOREVER) == held_minutes * 1_000 * MINUTE
    assert billed_until(usage, FOREVER) == sum(billed_minutes) * 1_000 * MINUTE


FOUND = {
    "nothing wrong": (minutes(EVICT, 30, 50, (5, 45)), []),
    "a start 5.000 s before Admitted: clocks differ": (
        replace(minutes(FINISH, 0, 50, (5, 45)), admitted=T0 + 5 * MINUTE + 5_000),
        [],
    ),
    "a start 5.001 s before Admitted": (
        replace(minutes(FINISH, 0, 50, (5, 45)), admitted=T0 + 5 * MINUTE + 5_001),
        [(IMPOSSIBLE_TIMES, "rank 0")],
    ),
    "a rank that ended while others run": (minutes(FINISH, 0, 0, (5, 9), (5, 0)), []),
    "a rank that waits for its start": (minutes(FINISH, 0, 0, (0, 0)), []),
    "gone at its notice": (minutes(EVICT, 50, 50, (5, 50)), []),
    "no time at all": (minutes(FINISH, 0, 9, (9, 9), admitted=9), []),
    "start before Admitted": (minutes(FINISH, 0, 50, (5, 45), admitted=8), [(IMPOSSIBLE_TIMES, "rank 0")]),
    "end before start": (minutes(FINISH, 0, 50, (45, 5)), [(IMPOSSIBLE_TIMES, "rank 0")]),
    "end without start": (minutes(FAIL, 0, 50, (5, 45), (0, 9)), [(IMPOSSIBLE_TIMES, "rank 1")]),
    "end after gone": (minutes(FINISH, 0, 50, (5, 55)), [(IMPOSSIBLE_TIMES, "rank 0")]),
    "end unknown": (minutes(FINISH, 0, 50, (5, 45), (5, 0)), [(END_UNKNOWN, "rank 1")]),
    "gone before Admitted": (minutes(FINISH, 0, 5, (0, 0), admitted=8), [(IMPOSSIBLE_TIMES, "attempt")]),
    "notice after gone": (minutes(EVICT, 51, 50, (5, 45)), [(IMPOSSIBLE_TIMES, "attempt")]),
    "notice before Admitted": (
        minutes(EVICT, 2, 50, (9, 45), admitted=8),
        [(IMPOSSIBLE_TIMES, "attempt")],
    ),
    "two at once": (
        minutes(FINISH, 0, 50, (45, 5), (5, 55)),
        [(IMPOSSIBLE_TIMES, "rank 0"), (IMPOSSIBLE_TIMES, "rank 1")],
    ),
}


@pytest.mark.parametrize(("told", "found"), FOUND.values(), ids=FOUND.keys())
def test_impossible_orders_are_findings(told: Story, found: list[tuple[str, str]]) -> None:
    findings = known(told).findings
    assert [(finding.code, finding.message.split(" ")[0]) for finding in findings] == [
        (code, name.split(" ")[0]) for code, name in found
    ]
    assert all(finding.message.startswith(name) for finding, (_, name) in zip(findings, found, strict=True))
    assert all(finding.where.startswith("job jobaaaa attempt 1") and finding.fix for finding in findings)


def test_the_placement_counts_and_not_what_a_cluster_says() -> None:
    told = minutes(FINISH, 0, 50, (5, 45))
    attempt, ranks = told.known_at(FOREVER)
    elsewhere = replace(ranks[0], node="node-9", gpus=8)
    usage = usage_of(attempt, [elsewhere, replace(ranks[0], rank=7)], "sme")
    assert [(finding.code, finding.where) for finding in usage.findings] == [
        (RANKS_DIFFER, "job jobaaaa attempt 1 rank 0"),
        (RANKS_DIFFER, "job jobaaaa attempt 1 rank 7"),
    ]
    assert billed_until(usage, FOREVER) == 40 * 1_000 * MINUTE


def test_a_rank_without_a_record_never_started() -> None:
    attempt, ranks = minutes(FAIL, 0, 50, (5, 45), (6, 44)).known_at(FOREVER)
    usage = usage_of(attempt, ranks[:1], "sme")
    assert (billed_until(usage, FOREVER), held_until(usage, FOREVER)) == (0, 100 * 1_000 * MINUTE)


def test_a_placement_that_cannot_be_read_is_an_error() -> None:
    attempt, ranks = minutes(FAIL, 0, 50, (5, 45)).known_at(FOREVER)
    with pytest.raises(ValueError, match="expected a list"):
        usage_of(replace(attempt, ranks_json="{}"), ranks, "sme")


def spans(slices: list[SliceRecord]) -> list[tuple[int, int]]:
    """[start, end) in minutes after T0."""
    return [((part.start_ms - T0) // MINUTE, (part.end_ms - T0) // MINUTE) for part in slices]


RUNNING = replace(minutes(FINISH, 0, 200, (5, 190)), gone=FOREVER - 1, ended=(0,))
CUTS = {
    "gone: every hour, then the rest": (
        minutes(FINISH, 0, 200, (5, 190)),
        400,
        (),
        [(0, 60), (60, 120), (120, 180), (180, 200)],
    ),
    "gone on the hour": (minutes(FINISH, 0, 120, (5, 110)), 400, (), [(0, 60), (60, 120)]),
    "running: whole hours only": (RUNNING, 179, (), [(0, 60), (60, 120)]),
    "running: an hour is final at its end": (RUNNING, 180, (), [(0, 60), (60, 120), (120, 180)]),
    "running: a period's end cuts too": (RUNNING, 100, (90,), [(0, 60), (60, 90)]),
    "a boundary after the watermark": (RUNNING, 100, (110,), [(0, 60)]),
    "boundaries on the hour, twice, outside": (RUNNING, 120, (60, 60, -9), [(0, 60), (60, 120)]),
    "a boundary after gone": (minutes(FINISH, 0, 30, (5, 20)), 60, (45,), [(0, 30)]),
    "nothing observed yet": (RUNNING, 0, (), []),
}


@pytest.mark.parametrize(("told", "through", "boundaries", "expected"), CUTS.values(), ids=CUTS.keys())
def test_where_slices_are_cut(
    told: Story, through: int, boundaries: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    through_ms = T0 + through * MINUTE
    slices = cut(known(told, through_ms), through_ms, [T0 + minute * MINUTE for minute in boundaries])
    assert spans(slices) == expected


def test_a_loss_marks_the_slices_it_shortened() -> None:
    told = replace(minutes(LOST, 0, 200, (5, 70), (5, 150)), lost=(True, False))
    marks = [(part.rank, part.start_ms == T0, part.evidence) for part in cut(known(told), FOREVER)]
    assert [mark for rank, _, mark in marks if rank == 0] == ["observed", "lost", "lost", "lost"]
    assert {mark for rank, _, mark in marks if rank == 1} == {"observed"}


def test_an_id_is_made_from_what_is_sliced() -> None:
    # printf "jobaaaa|1|0|1792998000000" | sha256sum, the first 32 digits
    assert slice_id("jobaaaa", 1, 0, 1_792_998_000_000) == "65be1e4acf08067b2b98d0c1bce31e0d"
    names = [("a", 1, 0, 5), ("a", 1, 0, 6), ("a", 1, 1, 5), ("a", 2, 0, 5), ("b", 1, 0, 5), ("a", 11, 0, 5)]
    assert len({slice_id(*name) for name in names}) == len(names)


@pytest.mark.parametrize("step", [1, 1_000])
def test_slices_are_what_counting_gives(rng: random.Random, step: int) -> None:
    charged = shortened = 0
    for _ in range(60):
        told = story(rng, step=step)
        boundaries = [told.admitted + rng.randrange(-100, 3_000) * step for _ in range(rng.randrange(3))]
        held, billed = oracle.counted(told, step, boundaries)
        slices = cut(known(told), FOREVER, boundaries)
        assert {(part.rank, part.start_ms): part.held_milli_gpu_ms for part in slices} == dict(held), told
        found = {(part.rank, part.start_ms): part.billed_milli_gpu_ms for part in slices if part.billed_milli_gpu_ms}
        assert found == dict(billed), told
        charged += bool(billed)
        shortened += sum(billed.values()) < sum(held.values())
    assert charged >= 20, "the stories must exercise what they test"
    assert shortened >= 20


def test_any_watermarks_give_the_same_slices(rng: random.Random) -> None:
    posted_early = 0
    for _ in range(150):
        told = story(rng, step=rng.choice((1, 1_000, 9_973)))
        boundaries = sorted(rng.randrange(T0 - 2 * HOUR, T0 + 8 * HOUR) for _ in range(rng.randrange(4)))
        at_once = cut(known(told), FOREVER, boundaries)
        collected: dict[str, SliceRecord] = {}
        for through in watermarks(rng, told.admitted, max(told.gone, told.admitted), 6):
            given = [edge for edge in boundaries if edge <= through]
            for part in cut(known(told, through), through, given):
                assert collected.setdefault(part.id, part) == part, (told, through)
            posted_early += 0 < len(collected) < len(at_once)
        assert sorted(collected.values(), key=lambda part: (part.start_ms, part.rank)) == at_once, told
    assert posted_early >= 20, "the watermarks must stop inside attempts"


def test_what_was_posted_can_be_left_out(rng: random.Random) -> None:
    left_out = 0
    for _ in range(100):
        told = story(rng, step=9_973)
        boundaries = [rng.randrange(T0 - 2 * HOUR, T0 + 8 * HOUR) for _ in range(rng.randrange(4))]
        everything = cut(known(told), FOREVER, boundaries)
        since = rng.choice([part.start_ms for part in everything] + [rng.randrange(T0 - HOUR, T0 + 8 * HOUR)])
        rest = [part for part in everything if part.start_ms >= since]
        assert cut(known(told), FOREVER, boundaries, since_ms=since) == rest, told
        left_out += len(rest) < len(everything)
    assert left_out >= 20


def test_sums_until_an_instant_are_those_of_the_slices(rng: random.Random) -> None:
    for _ in range(100):
        told = story(rng, step=9_973)
        usage = known(told)
        at = rng.randrange(told.admitted - HOUR, max(told.gone, told.admitted) + HOUR)
        slices = [part for part in cut(usage, FOREVER, [at]) if part.end_ms <= at]
        assert held_until(usage, at) == sum(part.held_milli_gpu_ms for part in slices), told
        assert billed_until(usage, at) == sum(part.billed_milli_gpu_ms for part in slices), told
