"""Which columns each kind of body has, and how its fields read for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from scheduler.core.units import (
    MICRO_PER_WON,
    MILLI_GPU_MS_PER_GPU_HOUR,
    MILLI_GPU_MS_PER_GPU_SECOND,
    MS_PER_SECOND,
    format_duration,
    format_ppm,
)
from scheduler.schema.quantities import UNREADABLE_WON, gpu_hours_text, gpus_text, microwon_text, won_text
from scheduler.schema.times import local_text, parse_rfc3339, span_text

BAR_CELLS = 16
SMALL_MICROWON = 100 * MICRO_PER_WON
NOTHING = "-"
ENDED = frozenset({"Succeeded", "Failed", "Cancelled"})


@dataclass(frozen=True, slots=True)
class View:
    """What cells may look at beside their row: the time, and the two characters of a bar."""

    now_ms: int = 0
    bars: str = "▇▁"


Cell = Callable[[Any, View], str]


def bars_of(stream: TextIO) -> str:
    """The two characters of a bar that a stream's encoding has."""
    encoding = (stream.encoding or "ascii").lower().replace("-", "")
    return "▇▁" if encoding.startswith("utf") else "#."


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading and how a row's cell is made.

    wide: only with -o wide. right: numbers. On a terminal that is too narrow: folds: free text may break lines; cuts: a
    name may end in an ellipsis; leaves: columns are left out in this order (0: never). Anything else stays whole.
    """

    title: str
    cell: Cell
    wide: bool = False
    right: bool = False
    folds: bool = False
    cuts: bool = False
    leaves: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """How one kind of body is shown.

    id, name: what ``-o id`` and ``-o name`` print. fields: the columns of CSV. card: a single one is shown as lines of
    label and value. empty: what is said to people when a list has no items.
    """

    columns: Sequence[Column]
    id: Callable[[Any], str]
    name: Callable[[Any], str]
    fields: Sequence[str]
    card: bool = False
    empty: str = ""


def text(name: str) -> Cell:
    """A field as it is; a dash when it is empty."""
    return lambda row, view: str(getattr(row, name)) or NOTHING


def joined(name: str) -> Cell:
    """A list's items with commas."""
    return lambda row, view: ",".join(getattr(row, name)) or NOTHING


def number(name: str) -> Cell:
    """A whole number with thousands separators."""
    return lambda row, view: f"{getattr(row, name):,}"


def instant(name: str) -> Cell:
    """An instant in Korean time, to the minute."""
    return lambda row, view: instant_text(getattr(row, name))


def second(name: str) -> Cell:
    """An instant in Korean time, to the second."""

    def cell(row: Any, view: View) -> str:
        minute, at_ms = instant_text(getattr(row, name)), instant_ms(getattr(row, name))
        # Offsets from UTC are whole minutes: the second is the same in every zone.
        return minute if at_ms is None else f"{minute[:16]}:{at_ms // MS_PER_SECOND % 60:02d}{minute[16:]}"

    return cell


def instant_text(value: str) -> str:
    """RFC 3339 text as people read it; as it is when it is something else."""
    at_ms = instant_ms(value)
    return (value or NOTHING) if at_ms is None else local_text(at_ms)


def instant_ms(value: str) -> int | None:
    """Milliseconds of RFC 3339 text, or None."""
    try:
        return parse_rfc3339(value)
    except ValueError:
        return None


def won(name: str) -> Cell:
    """A whole number of won."""
    return lambda row, view: won_text(getattr(row, name))


def amount(name: str) -> Cell:
    """Whole won of an invoice; a dash where its text does not say, and -1 stands for a text that cannot be read."""

    def cell(row: Any, view: View) -> str:
        value = getattr(row, name, None)
        return NOTHING if value is None else "unreadable" if value == UNREADABLE_WON else won_text(value)

    return cell


def less(name: str) -> Cell:
    """Whole won that are taken off."""
    return lambda row, view: NOTHING if getattr(row, name, None) is None else won_text(-getattr(row, name))


def tier_part(row: Any, view: View) -> str:
    """What the tiers' factors take off the list price, or put on it."""
    product = getattr(row, "product_won", None)
    return NOTHING if product is None else won_text(product - row.list_won)


def gpus(name: str) -> Cell:
    """Milli-GPUs as GPUs; a dash where there is no limit."""
    return lambda row, view: NOTHING if getattr(row, name) is None else gpus_text(getattr(row, name))


def hours(name: str) -> Cell:
    """Milli-GPU-milliseconds as GPU-hours."""
    return lambda row, view: hours_text(getattr(row, name))


def hours_text(milli_gpu_ms: int) -> str:
    """GPU-hours with two places, with four below one hour: a short job is not nothing."""
    return gpu_hours_text(milli_gpu_ms, 4 if 0 < milli_gpu_ms < MILLI_GPU_MS_PER_GPU_HOUR else 2)


def fields_of(model: Any) -> tuple[str, ...]:
    """A body's fields in their order, for CSV."""
    return tuple(name for name in model.model_fields if name not in ("apiVersion", "kind"))


def bar(used: int, total: int, marks: str, cells: int = BAR_CELLS) -> str:
    """``used`` of ``total`` as a bar; full when there is no total but use, anything used shows at least one cell."""
    least = 1 if used > 0 else 0
    filled = min(cells, max(least, used * cells // total)) if total > 0 else least * cells
    return marks[0] * filled + marks[1] * (cells - filled)


def waited_or_ran(row: Any, view: View) -> str:
    """How long a job has waited, or runs, or ran."""
    start = instant_ms(row.started_at) or instant_ms(row.submitted_at)
    end = instant_ms(row.ended_at) or view.now_ms
    return NOTHING if start is None else span_text(max(0, end - start))


def gang(row: Any, view: View) -> str:
    """GPUs and flavor: ``8 h100-80g``."""
    return f"{row.gpus} {row.flavor}"


def shape(row: Any, view: View) -> str:
    """Nodes and GPUs on each: ``2x4``."""
    return f"{row.nodes}x{row.gpus_per_node}"


def tier_or_wanted(row: Any, view: View) -> str:
    """The tier of the newest attempt, or the tiers the job would accept."""
    return row.tier or ",".join(row.tiers)


def held_hours(row: Any, view: View) -> str:
    """GPU-seconds as GPU-hours."""
    return hours_text(row.held_gpu_seconds * MILLI_GPU_MS_PER_GPU_SECOND)


def time_limit(row: Any, view: View) -> str:
    """A time limit in its largest unit."""
    return format_duration(row.time_seconds * MS_PER_SECOND)


def token_state(row: Any, view: View) -> str:
    """Whether a token still opens anything: revoked, expired or valid."""
    expires_ms = instant_ms(row.expires_at)
    if row.revoked:
        return "revoked"
    return "expired" if expires_ms is not None and expires_ms <= view.now_ms else "valid"


def state_text(job: Any) -> str:
    """A job's state, with the reason or its attempt's state where there is one."""
    return f"{job.state} ({job.reason})" if job.reason else str(job.state)


def exit_status(row: Any, view: View) -> str:
    """A job's exit code, when there is one."""
    return NOTHING if row.exit_code is None else str(row.exit_code)


def guaranteed_bar(row: Any, view: View) -> str:
    """Guaranteed use against the guarantee that holds now; no bar where the tree node has none of its own."""
    used, total = row.held_guaranteed, row.effective_guarantee
    if not total:
        return f"{'':<{BAR_CELLS}}  {gpus_text(used)}/{NOTHING}"
    return f"{bar(used, total, view.bars)}  {gpus_text(used)}/{gpus_text(total)}"


def weight(row: Any, view: View) -> str:
    """A weight as a decimal."""
    return format_ppm(row.weight_ppm)


def cost(row: Any, view: View) -> str:
    """Micro-won as won; small amounts with two places."""
    return won_of(row.posted_microwon)


def won_of(microwon: int) -> str:
    """Micro-won as won for screens; small amounts with two places."""
    return microwon_text(microwon, 2 if 0 < microwon < SMALL_MICROWON else 0)


def by_field(name: str) -> Callable[[Any], str]:
    """A field as an id or a name."""
    return lambda row: str(getattr(row, name))


def note(lines: Sequence[tuple[str, Cell]]) -> tuple[Column, ...]:
    """Columns of a card from (label, cell)."""
    return tuple(Column(label, cell) for label, cell in lines)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list that is made here and not by the server."""

    values: dict[str, Any] = field(default_factory=dict)

    def model_dump(self, mode: str = "json") -> dict[str, Any]:
        """As a body's: the values for JSON."""
        return self.values

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None
