"""Past usage in hourly buckets: cut exactly, summed with weights, bounded, and the same after a round trip."""

from __future__ import annotations

import json

from scheduler.core.allocator.decay import HOURS_MAX, decay_table
from scheduler.core.allocator.history import UsageHistory
from scheduler.core.units import MS_PER_HOUR

HOUR = MS_PER_HOUR
PLACE = ("/sme/a/p/u", "h100")
TABLE = decay_table(24 * HOUR)


def test_usage_is_cut_at_whole_hours() -> None:
    history = UsageHistory()
    history.add(PLACE, 2_000, HOUR // 2, 2 * HOUR + 1)
    history.add(PLACE, 1_000, HOUR, 2 * HOUR)
    history.add(PLACE, 5_000, 9 * HOUR, 9 * HOUR)  # nothing
    assert history.to_json() == [
        ["/sme/a/p/u", "h100", [[0, 1_000 * HOUR], [1, 3_000 * HOUR], [2, 2_000]]]  # 2,000 x 1/2 h; 2 + 1; 2,000 x 1 ms
    ]


def test_decayed_sum_weighs_each_hour_by_its_age() -> None:
    history = UsageHistory()
    history.add(PLACE, 1_000, 0, HOUR)
    history.add(PLACE, 3_000, 24 * HOUR, 25 * HOUR)
    full = 2**32 * HOUR
    assert history.decayed(TABLE, 24) == {PLACE: 1_000 * full // 2 + 3_000 * full}  # ages 24 h and 0 h
    assert history.decayed(TABLE, 48) == {PLACE: 1_000 * full // 4 + 3_000 * full // 2}  # 48 h and 24 h
    assert history.decayed(decay_table(48 * HOUR), 48) == {PLACE: 1_000 * full // 2 + 3_000 * TABLE.weight(12) * HOUR}


def test_an_hour_that_has_not_come_counts_nothing() -> None:
    """The clock was an hour ahead when the attempt ended."""
    history = UsageHistory()
    history.add(PLACE, 1_000, 5 * HOUR, 7 * HOUR)
    assert history.decayed(TABLE, 5) == {PLACE: 1_000 * HOUR * 2**32}
    assert history.decayed(TABLE, 4) == {PLACE: 0}


def test_sums_follow_what_is_added_and_are_the_callers() -> None:
    history = UsageHistory()
    history.add(PLACE, 1_000, 0, HOUR)
    first = history.decayed(TABLE, 1)
    first[PLACE] = 0
    history.add(PLACE, 1_000, 0, HOUR)
    assert history.decayed(TABLE, 1) == {PLACE: 2 * 1_000 * HOUR * TABLE.weight(1)}


def test_hours_beyond_the_horizon_are_dropped() -> None:
    history = UsageHistory()
    history.add(PLACE, 1_000, 0, HOUR)
    history.add(PLACE, 1_000, HOUR, 2 * HOUR)
    history.add(PLACE, 1_000, (HOURS_MAX + 1) * HOUR, (HOURS_MAX + 2) * HOUR)
    [[_, _, buckets]] = history.to_json()
    assert [hour for hour, _ in buckets] == [1, HOURS_MAX + 1]


def test_a_round_trip_changes_nothing() -> None:
    history = UsageHistory()
    history.add(("/b", "h100"), 1_000, 5, 3 * HOUR)
    history.add(("/a", "a100"), 3_000, HOUR, HOUR + 7)
    text = json.dumps(history.to_json())
    again = UsageHistory.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.decayed(TABLE, 5) == history.decayed(TABLE, 5)
