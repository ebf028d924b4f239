"""Instants, durations and amounts as text and back."""

from __future__ import annotations

import random
from datetime import UTC

import pytest

from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.quantities import (
    Gpus,
    gpu_hours_text,
    gpu_seconds_text,
    gpus_text,
    microwon_text,
    parse_gpus,
    won_text,
)
from scheduler.schema.times import LATEST_MS, clock_duration_text, local_text, parse_rfc3339, rfc3339, span_text

INSTANTS = {
    "1970-01-01T00:00:00Z": 0,
    "1970-01-01T09:00:00+09:00": 0,
    "1970-01-01T00:00:00.001Z": 1,
    "1970-01-01t00:00:00.0019z": 1,
    "1970-01-01 00:00:01-00:00": 1_000,
    # 20,788 days and 15 hours: 20788 * 86,400,000 + 15 * 3,600,000
    "2026-12-01T00:00:00+09:00": 1_796_050_800_000,
    "2024-02-29T23:59:59.5-05:30": 1_709_270_999_500,
}


@pytest.mark.parametrize(("text", "at_ms"), INSTANTS.items())
def test_instants_are_read(text: str, at_ms: int) -> None:
    assert parse_rfc3339(text) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-01",
        "2026-12-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-12-01T24:00:00Z",
        "2026-12-01T00:00:60Z",
        "2026-12-01T00:00:00+24:00",
        "2026-12-01T00:00:00+09:60",
        "2026-12-01T00:00:00+0900",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+09:00",
        "9999-12-31T23:59:59-23:59",
        "0000-01-01T00:00:00Z",
        "２026-12-01T00:00:00Z",
        "2026-12-01T00:00:00Z\n",
    ],
)
def test_other_texts_are_no_instants(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


def test_instants_survive_the_way_there_and_back(rng: random.Random) -> None:
    for at_ms in (0, LATEST_MS, *(rng.randint(0, LATEST_MS) for _ in range(500))):
        assert parse_rfc3339(rfc3339(at_ms)) == at_ms


def test_people_read_korean_time() -> None:
    assert rfc3339(1_796_050_800_123) == "2026-11-30T15:00:00.123Z"
    assert local_text(1_796_050_800_123) == "2026-12-01 00:00 KST"
    assert local_text(1_796_050_800_123, UTC) == "2026-11-30 15:00 UTC"
    assert local_text(LATEST_MS).startswith("9999-12-30")


SPANS = {
    0: "0s",
    999: "0s",
    -999: "0s",
    59_999: "59s",
    60_000: "1m 00s",
    3_599_999: "59m 59s",
    3_720_000: "1h 02m",
    86_400_000: "1d 00h",
    4 * 86_400_000 + 5 * MS_PER_HOUR: "4d 05h",
    -90_000: "-1m 30s",
}


@pytest.mark.parametrize(("duration_ms", "text"), SPANS.items())
def test_spans_show_their_two_largest_units(duration_ms: int, text: str) -> None:
    assert span_text(duration_ms) == text


CLOCKS = {
    "12:30:00": "750m",
    "1:30": "90m",
    "2:00": "2h",
    "0:00:90": "90s",
    "0:0": "0s",
    "12": "",
    "a:b": "",
    "1:2:3:4": "",
}


@pytest.mark.parametrize(("text", "duration"), CLOCKS.items())
def test_clock_times_have_a_duration(text: str, duration: str) -> None:
    assert clock_duration_text(text) == duration


@pytest.mark.parametrize(
    ("text", "request_"),
    [("H100:4", Gpus("H100", 4)), ("a100-80g:1", Gpus("a100-80g", 1)), ("b200.x:9999", Gpus("b200.x", 9_999))],
)
def test_gpu_requests_are_read(text: str, request_: Gpus) -> None:
    assert parse_gpus(text) == request_
    assert str(request_) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8", "names no flavor"),
        ("H100", "no number of GPUs"),
        (":4", "no flavor's name"),
        ("24GB+:2", "no flavor's name"),
        ("H100:0", "at least 1 GPU"),
        ("H100:000", "at least 1 GPU"),
        ("H100:0.5", "requested whole"),
        ("H100:1.0", "requested whole"),
        ("H100:-1", "no whole number"),
        ("H100:", "no whole number"),
        ("H100:10000", "no whole number"),
        ("H100:4:2", "no whole number"),
        ("H100:1x", "no whole number"),
        ("H100:٤", "no whole number"),
        ("한:1", "no flavor's name"),
    ],
)
def test_other_texts_are_no_request(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_gpus(text)


HOUR = 1_000 * MS_PER_HOUR


def test_amounts_read_well() -> None:
    assert [gpus_text(value) for value in (0, 1, 1_500, 12_000, 1_234_500, -250)] == [
        "0",
        "0.001",
        "1.5",
        "12",
        "1,234.5",
        "-0.25",
    ]
    # 3 half hours = 1.5 GPU-hours; 5 ms of a GPU-second at three places round half up: 0.0005 -> 0.001.
    assert gpu_hours_text(HOUR * 3 // 2) == "1.50"
    assert gpu_hours_text(HOUR * 12_345) == "12,345.00"
    assert gpu_seconds_text(1_000 * 5_400_000) == "5,400.000"
    assert gpu_seconds_text(500) == "0.001"
    assert gpu_seconds_text(499) == "0.000"
    assert won_text(1_160) == "₩1,160"
    assert won_text(-116) == "-₩116"
    assert microwon_text(1_160_500_000) == "₩1,161"
    assert microwon_text(1_160_499_999) == "₩1,160"
    assert microwon_text(-499_999) == "₩0"
    assert microwon_text(-1_160_500_000) == "-₩1,161"
    assert microwon_text(1_234_567, 2) == "₩1.23"
