"""Units: decimals and durations read from text into whole numbers and written back, never through a float."""

from __future__ import annotations

import random

import pytest

from scheduler.core.units import (
    MILLI_GPU_MS_PER_GPU_HOUR,
    MILLI_GPU_MS_PER_GPU_SECOND,
    format_duration,
    format_ppm,
    parse_duration_ms,
    parse_ppm,
    times_ppm,
)

DECIMALS = {
    "0": 0,
    "1": 1_000_000,
    "0.45": 450_000,
    "2.5": 2_500_000,
    "0.000001": 1,
    "-0.1": -100_000,
    "12": 12_000_000,
}
NOT_DECIMALS = ["", ".5", "1.", "0.0000001", "1e3", "+1", "1,5", " 1", "1 ", "٣", "--1", "1.2.3", "9" * 13, "nan"]


@pytest.mark.parametrize(("text", "ppm"), DECIMALS.items())
def test_decimals(text: str, ppm: int) -> None:
    assert parse_ppm(text) == ppm
    assert format_ppm(ppm) == text


@pytest.mark.parametrize("text", NOT_DECIMALS)
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal"):
        parse_ppm(text)


def test_decimals_are_exact_both_ways(rng: random.Random) -> None:
    """0.1 + 0.2 is 0.3 here, and no value changes on the way through text."""
    assert parse_ppm("0.1") + parse_ppm("0.2") == parse_ppm("0.3")
    for _ in range(500):
        value = rng.randrange(-(10**15), 10**15)
        assert parse_ppm(format_ppm(value)) == value


DURATIONS = {"1ms": 1, "90s": 90_000, "10m": 600_000, "12h": 43_200_000, "7d": 604_800_000}


@pytest.mark.parametrize(("text", "duration_ms"), DURATIONS.items())
def test_durations(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms
    assert parse_duration_ms(format_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize(("duration_ms", "text"), [(600_000, "10m"), (86_400_000, "1d"), (61_000, "61s"), (0, "0ms")])
def test_durations_are_written_with_the_largest_unit(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


@pytest.mark.parametrize("text", ["", "5", "h", "1.5h", "-1h", "1w", "1h30m", " 1h", "1 h", "1H", "٣h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("amount", "factor", "product"),
    [(2_900, 400_000, 1_160), (10, 333_333, 3), (-10, 333_333, -4), (0, 5, 0)],  # rounded down: 3.33 and -3.33
)
def test_times_a_factor(amount: int, factor: int, product: int) -> None:
    assert times_ppm(amount, factor) == product


def test_usage_units_agree() -> None:
    assert MILLI_GPU_MS_PER_GPU_SECOND == 1_000 * 1_000
    assert MILLI_GPU_MS_PER_GPU_HOUR == 3_600 * MILLI_GPU_MS_PER_GPU_SECOND == 3_600_000_000
