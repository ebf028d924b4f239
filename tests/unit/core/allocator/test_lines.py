"""Lines kept job by job are those made from nothing, whatever came and went."""

from __future__ import annotations

import random

from scheduler.core.allocator.lines import Line, Lines, Shape, lines_of, shape_of
from scheduler.core.model import GangRequest, PendingJob, Tier

B = (Tier.BORROW,)


def job(seq: int, leaf: str = "/s/a/p/u", gpus: int = 1, time_limit_ms: int = 1) -> PendingJob:
    """A job; its name is its sequence."""
    return PendingJob(f"j{seq}", leaf, GangRequest("h100", 1, gpus, B, time_limit_ms), seq, 0, 1)


def names(lines: tuple[Line, ...]) -> list[str]:
    """The lines as text."""
    return [" ".join(job.job for job in line.jobs) for line in lines]


def test_lines_are_by_shape_and_ordered_by_their_first_job() -> None:
    jobs = [job(4), job(1, gpus=2), job(3), job(2, gpus=2), job(5, leaf="/s/a/p/v"), job(6, time_limit_ms=9)]
    view = lines_of(jobs)
    assert names(view["/s/a/p/u"]) == ["j1 j2", "j3 j4 j6"]  # a time limit makes no shape of its own
    assert names(view["/s/a/p/v"]) == ["j5"]
    assert view["/s/a/p/u"][0].shape == Shape("h100", 1, 2, B) == shape_of(jobs[1])


def test_incremental_lines_are_those_from_nothing(rng: random.Random) -> None:
    lines, present = Lines(), dict[int, PendingJob]()
    for seq in range(400):
        if present and rng.random() < 0.45:
            lines.remove(present.pop(rng.choice(list(present))))
        else:
            present[seq] = job(seq, rng.choice(("/s/a/p/u", "/s/a/p/v", "/s/b/p/u")), rng.choice((1, 2)))
            lines.add(present[seq])
        if rng.random() < 0.5:
            also = [job(1_000 + more, "/s/a/p/u", gpus=3) for more in range(rng.randrange(3))]
            assert lines.view(also) == lines_of([*present.values(), *also])
    assert lines.view() == lines_of(present.values())


def test_what_is_shown_for_once_is_not_kept() -> None:
    lines = Lines()
    lines.add(job(2))
    assert names(lines.view([job(1)])["/s/a/p/u"]) == ["j1 j2"]
    assert names(lines.view()["/s/a/p/u"]) == ["j2"]


def test_a_view_is_the_callers() -> None:
    lines = Lines()
    lines.add(job(1))
    lines.view().clear()
    assert names(lines.view()["/s/a/p/u"]) == ["j1"]
