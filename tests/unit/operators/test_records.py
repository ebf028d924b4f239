"""Records: torn, repeated and unreadable lines; what an attempt's lines say; ids that never change."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest

from operators.local.records import (
    End,
    EndKind,
    GpuUse,
    Record,
    exit_code,
    fold,
    is_over,
    observations,
    parse,
    read_end,
)
from scheduler.core.model import Rank
from tests.support.assignments import assignment

Row = dict[str, Any]

GANG = assignment(ranks=(Rank(0, "h100-80g-0", 1), Rank(1, "h100-80g-1", 1)))
BEGIN: Row = {"kind": "begin", "pid": 7, "start_ticks": 3, "boot_id": "b"}
READY: Row = {"kind": "ready"}
BEAT: Row = {"kind": "beat"}
STARTS: list[Row] = [{"kind": "start", "rank": rank, "pid": 8 + rank} for rank in (0, 1)]
LOST = End(EndKind.LOST, 900)


def ended(rank: int, code: int) -> Row:
    """A rank's exit line."""
    return {"kind": "exit", "rank": rank, "code": code}


def held(rank: int, code: int) -> Row:
    """The line of a rank after whose failure the attempt is kept."""
    return {"kind": "hold", "rank": rank, "code": code}


def gone(code: int) -> Row:
    """The supervisor's last line."""
    return {"kind": "gone", "code": code}


def content(*lines: Row, first_ms: int = 100) -> bytes:
    """A record of these lines, one every 10 ms."""
    rows = [{"seq": at + 1, "at_ms": first_ms + 10 * at, **line} for at, line in enumerate(lines)]
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


def record(*lines: Row) -> Record:
    """The fold of these lines."""
    return fold(Record(), parse(content(*lines))[0])


def told(found: Record, end: End | None = None) -> str:
    """The gang's observations as ``id@instant``, and after a colon what else they say."""
    shown = []
    for seen in observations(GANG, found, end):
        code = "" if seen.exit_code is None else str(seen.exit_code)
        more = "".join(":" + part for part in (code, seen.reason, seen.evidence, seen.message) if part)
        shown.append(f"{seen.id.removeprefix('d-aaaa-a1/')}@{seen.at_ms}{more}")
    return " ".join(shown)


CASES: dict[str, tuple[list[Row], End | None, str]] = {
    "nothing": ([], None, ""),
    "begun": ([BEGIN], None, "starting@100"),
    "to its end": (
        [BEGIN, READY, *STARTS, BEAT, ended(1, 0), ended(0, 0), gone(0)],
        None,
        (
            "starting@100 rank-started/0@120 rank-started/1@130"
            " rank-ended/1@150:0:observed rank-ended/0@160:0:observed gone@170:0:observed"
        ),
    ),
    "stopped with notice": (
        [BEGIN, *STARTS, {"kind": "notice", "reason": "evict"}, ended(0, 143)],
        None,
        "starting@100 rank-started/0@110 rank-started/1@120 notice@130:evict rank-ended/0@140:143:observed",
    ),
    "setup failed": (
        [BEGIN, {"kind": "fail", "message": "no"}, gone(9)],
        None,
        "starting@100 failed@110:no gone@120:9:observed",
    ),
    "lost while it ran: ends with its last beat": (
        [BEGIN, *STARTS, ended(0, 0), BEAT, BEAT],
        LOST,
        (
            "starting@100 rank-started/0@110 rank-started/1@120"
            " rank-ended/0@130:0:observed rank-ended/1@150:lost gone@900:lost"
        ),
    ),
    "lost after a rank had failed: the code is known": (
        [BEGIN, *STARTS, ended(0, 3), BEAT],
        LOST,
        (
            "starting@100 rank-started/0@110 rank-started/1@120"
            " rank-ended/0@130:3:observed rank-ended/1@140:lost gone@900:3:observed"
        ),
    ),
    "held after a failure: its rank has not ended yet": (
        [BEGIN, *STARTS, held(1, 3), BEAT],
        None,
        "starting@100 rank-started/0@110 rank-started/1@120 held/1@130:3",
    ),
    "held to its end": (
        [BEGIN, *STARTS, held(1, 3), ended(1, 3), {"kind": "notice", "reason": "fail"}, ended(0, 143), gone(3)],
        None,
        (
            "starting@100 rank-started/0@110 rank-started/1@120 held/1@130:3"
            " rank-ended/1@140:3:observed notice@150:fail rank-ended/0@160:143:observed gone@170:3:observed"
        ),
    ),
    "lost while it was held: the code is known": (
        [BEGIN, *STARTS, held(1, 3), BEAT, BEAT],
        LOST,
        (
            "starting@100 rank-started/0@110 rank-started/1@120 held/1@130:3"
            " rank-ended/0@150:lost rank-ended/1@150:3:lost gone@900:3:observed"
        ),
    ),
    "lost while it tidied up: all ends were seen": (
        [BEGIN, *STARTS, ended(0, 0), ended(1, 0)],
        LOST,
        (
            "starting@100 rank-started/0@110 rank-started/1@120"
            " rank-ended/0@130:0:observed rank-ended/1@140:0:observed gone@900:0:observed"
        ),
    ),
    "lost before it ran": ([BEGIN, BEAT], LOST, "starting@100 gone@900:lost"),
    "never begun": ([], End(EndKind.NEVER, 900), "gone@900:observed"),
    "could not be started": ([], End(EndKind.FAILED, 900, "bad"), "failed@900:bad gone@900:1:observed"),
    "an end beside a last line changes nothing": ([BEGIN, gone(0)], LOST, "starting@100 gone@110:0:observed"),
}


@pytest.mark.parametrize(("lines", "end", "expected"), CASES.values(), ids=CASES.keys())
def test_what_a_record_says(lines: list[Row], end: End | None, expected: str) -> None:
    assert told(record(*lines), end) == expected


def test_observations_never_take_back_what_they_said() -> None:
    notice: Row = {"kind": "notice", "reason": "fail"}
    lines = [BEGIN, READY, *STARTS, BEAT, ended(1, 3), notice, BEAT, ended(0, 143), gone(3)]
    stories = [told(record(*lines[:count])) for count in range(len(lines) + 1)]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(stories))
    assert stories[-1].endswith(
        "rank-ended/1@150:3:observed notice@160:fail rank-ended/0@180:143:observed gone@190:3:observed"
    )


def test_a_torn_last_line_is_left_for_later() -> None:
    whole = content(BEGIN, *STARTS, ended(0, 0))
    boundaries = [0, *(at + 1 for at, byte in enumerate(whole) if byte == 10)]
    for cut in range(len(whole) + 1):
        lines, consumed = parse(whole[:cut])
        assert consumed == max(boundary for boundary in boundaries if boundary <= cut)
        assert len(lines) == boundaries.index(consumed)


def test_reading_in_pieces_is_reading_at_once(rng: random.Random) -> None:
    beats = [BEAT] * 5
    whole = content(BEGIN, *beats, *STARTS, *beats, ended(1, 2), *beats)
    for _ in range(50):
        cuts = sorted(rng.sample(range(len(whole)), 4))
        found, rest = Record(), b""
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            rest += whole[start:end]
            lines, consumed = parse(rest)
            found, rest = fold(found, lines), rest[consumed:]
        assert found == fold(Record(), parse(whole)[0])


BAD_LINES = {
    "no JSON": b"{nonsense\n",
    "no object": b"[1]\n",
    "unknown kind": b'{"seq":2,"kind":"dance","at_ms":1}\n',
    "no instant": b'{"seq":2,"kind":"ready"}\n',
    "zeros after a power cut": b"\0" * 40 + b"\n",
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_an_unreadable_line_is_skipped(bad: bytes) -> None:
    first, rest = content(BEGIN, *STARTS).split(b"\n", 1)
    found = fold(Record(), parse(first + b"\n" + bad + rest)[0])
    assert found == record(BEGIN, *STARTS)


def test_beats_move_the_last_sign_of_life_and_carry_samples() -> None:
    use = {"rank": 1, "utilisation_percent": 90, "memory_bytes": 5, "energy_mj": 7}
    found = record(BEGIN, *STARTS, {"kind": "beat", "gpus": [use]})
    assert (found.last_at_ms, found.gpus) == (130, (GpuUse(1, 90, 5, 7),))
    assert found.running == {0, 1}


def test_what_was_read_is_not_read_twice() -> None:
    lines = parse(content(BEGIN, *STARTS))[0]
    assert fold(fold(Record(), lines), lines) == fold(Record(), lines)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], None),
        ([(0, 0)], None),
        ([(0, 0), (1, 0)], 0),
        ([(1, 3)], 3),
        ([(1, 3), (0, 143)], 3),
        ([(0, 0), (1, 9)], 9),
    ],
)
def test_the_first_failure_in_time_is_the_attempts_code(codes: list[tuple[int, int]], expected: int | None) -> None:
    assert exit_code(GANG, record(BEGIN, *STARTS, *(ended(*pair) for pair in codes))) == expected


def test_over_is_gone_or_ended() -> None:
    assert not is_over(record(BEGIN), None)
    assert is_over(record(BEGIN), LOST)
    assert is_over(record(BEGIN, gone(0)), None)


def test_an_end_file() -> None:
    assert read_end(b'{"kind":"lost","at_ms":900}') == LOST
    for bad in (b"", b"[]", b'{"kind":"x","at_ms":1}'):
        with pytest.raises(ValueError, match=r"."):
            read_end(bad)
