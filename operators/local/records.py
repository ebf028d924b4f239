"""An attempt's own record: parsing its lines, folding them into a state, and the observations that follow.

Pure: bytes and values in, values out. The supervisor appends the lines (``recorder``), the backend adds one
``End`` where no supervisor can (lost, could not be started, never begun). Every instant is on this machine's clock
and never goes backwards within one record, so the last line bounds what can still be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from operators.ports import Assignment, Observation, ObservationKind

MESSAGE_CHARACTERS_MAX = 2_000


class LineKind(StrEnum):
    """What a line of the record says."""

    BEGIN = "begin"
    READY = "ready"
    START = "start"
    BEAT = "beat"
    HOLD = "hold"
    NOTICE = "notice"
    EXIT = "exit"
    FAIL = "fail"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Real devices of one rank: mean utilisation, memory in use now, energy since the rank got them (millijoules)."""

    rank: int
    utilisation_percent: int
    memory_bytes: int
    energy_mj: int


@dataclass(frozen=True, slots=True)
class Line:
    """One complete line; fields that its kind does not have are -1, 0, "" or empty."""

    seq: int
    kind: LineKind
    at_ms: int
    rank: int = -1
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    gpus: tuple[GpuUse, ...] = ()


class EndKind(StrEnum):
    """Why the backend had to say how an attempt ended."""

    LOST = "lost"
    """The supervisor died without its last line; nothing of the attempt runs any more."""
    FAILED = "failed"
    """It can never be started: a bad package, for example."""
    NEVER = "never"
    """It was to be stopped before anything of it had begun."""


@dataclass(frozen=True, slots=True)
class End:
    """The backend's word on an attempt without a living supervisor; written once, proven at ``at_ms``."""

    kind: EndKind
    at_ms: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """All lines so far, folded. ``last_at_ms`` is the newest sign of life, 0 before the first line.

    hold: the rank that failed, whose exit is told only when the attempt is no longer kept for its owner.
    exits is in the order in which the ranks ended; gpus is of the newest beat that had samples.
    """

    last_seq: int = 0
    last_at_ms: int = 0
    begin: Line | None = None
    ready: Line | None = None
    starts: tuple[Line, ...] = ()
    exits: tuple[Line, ...] = ()
    hold: Line | None = None
    notice: Line | None = None
    fail: Line | None = None
    gone: Line | None = None
    gpus: tuple[GpuUse, ...] = ()

    @property
    def running(self) -> frozenset[int]:
        """Ranks that have started and not ended."""
        return frozenset(line.rank for line in self.starts) - frozenset(line.rank for line in self.exits)


def parse(content: bytes) -> tuple[list[Line], int]:
    """The complete lines of a piece of a record that begins at a line's start, and how many bytes they take.

    A last line without its newline is torn or still being written: left for the next call. A complete line that
    cannot be read is skipped. Beats are read only where nothing newer follows, for a week of them is 600,000 lines.
    """
    consumed = content.rfind(b"\n") + 1
    rows = content[:consumed].split(b"\n")[:-1]
    last = len(rows) - 1
    skippable = b'"kind":"beat"'
    wanted = (row for at, row in enumerate(rows) if at == last or skippable not in row)
    return [line for row in wanted if (line := _line(row)) is not None], consumed


def fold(record: Record, lines: Sequence[Line]) -> Record:
    """The record with further lines; lines that repeat a sequence number change nothing."""
    for line in lines:
        if line.seq > record.last_seq:
            record = _with(record, line)
    return record


def read_end(content: bytes) -> End:
    """The backend's end file; raises ValueError when it is not one."""
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("an end is an object")
    return End(EndKind(value["kind"]), int(value["at_ms"]), str(value.get("message", "")))


def observations(assignment: Assignment, record: Record, end: End | None = None) -> list[Observation]:
    """Everything that was seen of the attempt, in order; the ids make every repeat the same fact."""
    return [replace(item, id=_id(item)) for item in _observations(assignment, record, end)]


def is_over(record: Record, end: End | None) -> bool:
    """Whether the attempt is proven gone."""
    return record.gone is not None or end is not None


def exit_code(assignment: Assignment, record: Record) -> int | None:
    """The first code that is not 0 in the order of the exits; 0 when all ended well; None when not all are known.

    A rank that is held after its failure has ended with its code, though its exit is not told yet.
    """
    for line in record.exits:
        if line.code != 0:
            return line.code
    if record.hold:
        return record.hold.code
    known = {line.rank for line in record.exits}
    return 0 if known >= {rank.rank for rank in assignment.ranks} else None


def _observations(assignment: Assignment, record: Record, end: End | None) -> Iterator[Observation]:
    def make(kind: ObservationKind, at_ms: int, **fields: Any) -> Observation:
        return Observation("", kind, at_ms, assignment.job, assignment.attempt, **fields)

    single = (record.begin, record.hold, record.notice, record.fail)
    events = [line for line in (*single, *record.starts, *record.exits) if line]
    for line in sorted(events, key=lambda item: item.seq):
        match line.kind:
            case LineKind.BEGIN:
                yield make(ObservationKind.STARTING, line.at_ms)
            case LineKind.START:
                yield make(ObservationKind.RANK_STARTED, line.at_ms, rank=line.rank)
            case LineKind.HOLD:
                yield make(ObservationKind.HELD, line.at_ms, rank=line.rank, exit_code=line.code)
            case LineKind.NOTICE:
                yield make(ObservationKind.NOTICE, line.at_ms, reason=line.reason)
            case LineKind.EXIT:
                ended = {"rank": line.rank, "exit_code": line.code, "evidence": "observed"}
                yield make(ObservationKind.RANK_ENDED, line.at_ms, **ended)
            case LineKind.FAIL:
                yield make(ObservationKind.FAILED, line.at_ms, message=line.message)
    if record.gone:
        yield make(ObservationKind.GONE, record.gone.at_ms, exit_code=record.gone.code, evidence="observed")
    elif end:
        for rank in sorted(record.running):
            failed = record.hold.code if record.hold and record.hold.rank == rank else None
            yield make(ObservationKind.RANK_ENDED, record.last_at_ms, rank=rank, exit_code=failed, evidence="lost")
        if end.kind is EndKind.FAILED:
            yield make(ObservationKind.FAILED, end.at_ms, message=end.message)
        code = 1 if end.kind is EndKind.FAILED else exit_code(assignment, record)
        # Ends that were all seen are no loss, even if the supervisor died while it tidied up.
        lost = end.kind is EndKind.LOST and code is None
        yield make(ObservationKind.GONE, end.at_ms, exit_code=code, evidence="lost" if lost else "observed")


def _id(item: Observation) -> str:
    rank = f"/{item.rank}" if item.rank >= 0 else ""
    return f"d-{item.job}-a{item.attempt}/{item.kind}{rank}"


def _line(row: bytes) -> Line | None:
    try:
        value = json.loads(row)
        return Line(
            seq=int(value["seq"]),
            kind=LineKind(value["kind"]),
            at_ms=int(value["at_ms"]),
            rank=int(value.get("rank", -1)),
            pid=int(value.get("pid", 0)),
            start_ticks=int(value.get("start_ticks", 0)),
            boot_id=str(value.get("boot_id", "")),
            code=int(value.get("code", 0)),
            reason=str(value.get("reason", "")),
            message=str(value.get("message", ""))[:MESSAGE_CHARACTERS_MAX],
            gpus=tuple(GpuUse(**use) for use in value.get("gpus", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _with(record: Record, line: Line) -> Record:
    base = replace(record, last_seq=line.seq, last_at_ms=max(record.last_at_ms, line.at_ms))
    match line.kind:
        case LineKind.BEGIN:
            return replace(base, begin=record.begin or line)
        case LineKind.READY:
            return replace(base, ready=record.ready or line)
        case LineKind.START if line.rank not in {start.rank for start in record.starts}:
            return replace(base, starts=(*record.starts, line))
        case LineKind.BEAT:
            return replace(base, gpus=line.gpus or record.gpus)
        case LineKind.HOLD:
            return replace(base, hold=record.hold or line)
        case LineKind.NOTICE:
            return replace(base, notice=record.notice or line)
        case LineKind.EXIT if line.rank not in {end.rank for end in record.exits}:
            return replace(base, exits=(*record.exits, line))
        case LineKind.FAIL:
            return replace(base, fail=record.fail or line)
        case LineKind.GONE:
            return replace(base, gone=record.gone or line)
    return base
