"""The hold after a failure in virtual time: when it begins, and when it is over."""

from __future__ import annotations

import pytest

from operators.local.hold import NOBODY, FailureHold

# hold, limit, failure (all in ms since the start of the ranks) -> until
CASES = {
    "its own length": (1_000, 60_000, 5_000, 5_000 + 1_000),
    "cut by the time limit": (1_000, 5_400, 5_000, 5_400),
    "as long as the limit, from the first moment": (5_000, 5_000, 0, 5_000),
    "a failure at the limit": (1_000, 5_000, 5_000, 5_000),
    "one found late": (1_000, 5_000, 5_100, 5_000),
}


@pytest.mark.parametrize(("hold_ms", "limit_ms", "failed_ms", "until_ms"), CASES.values(), ids=CASES.keys())
def test_how_long(hold_ms: int, limit_ms: int, failed_ms: int, until_ms: int) -> None:
    hold = FailureHold(hold_ms, limit_ms)
    assert (hold.is_on(failed_ms), hold.rank) == (False, NOBODY)
    assert hold.begin(2, failed_ms)
    assert (hold.rank, hold.until_ms) == (2, until_ms)
    kept = [ran_ms for ran_ms in range(failed_ms, failed_ms + 8_000, 100) if hold.is_on(ran_ms)]
    assert kept == list(range(failed_ms, until_ms, 100))


def test_it_begins_once_and_for_the_first_that_failed() -> None:
    hold = FailureHold(1_000, 60_000)
    assert hold.begin(1, 5_000)
    assert not hold.begin(0, 5_500)
    assert (hold.rank, hold.until_ms) == (1, 6_000)
    assert not hold.begin(0, 9_000), "no second hold after the first is over"
    assert not hold.is_on(9_000)


def test_a_task_that_asks_for_none_gets_none() -> None:
    hold = FailureHold(0, 60_000)
    assert not hold.begin(0, 5_000)
    assert not hold.is_on(5_000)
