"""How a job array, or a member of one, reads in tables and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.cli.tables import ENDED, NOTHING, View, instant_ms
from scheduler.schema.times import local_text

if TYPE_CHECKING:
    from scheduler.cli.session import Session

HELD_AFTER_FAILURE = "HeldAfterFailure"


def name_of(row: Any, view: View) -> str:
    """``ablate[3]`` for a member, ``ablate[1-20]`` for a whole array, the plain name for a single job."""
    part = row.array
    if part is None:
        return str(row.name)
    return f"{row.name}[{part.indices if part.index is None else part.index}]"


def reason_of(row: Any, view: View) -> str:
    """Why it waits or what it does: of an array how many of its jobs run, or wait, or how they ended."""
    if row.reason == HELD_AFTER_FAILURE:
        return _held(row)
    part = row.array
    if part is None or part.index is not None:
        return row.reason or NOTHING
    if row.state == "Active":
        return f"{part.states['Active']} of {part.size} running"
    if row.state in ENDED:
        return f"{part.states[row.state]} of {part.size} {row.state.lower()}"
    waiting = f"{part.states[row.state]} of {part.size} waiting"
    return f"{waiting}: {row.reason}" if row.reason else waiting


def _held(row: Any) -> str:
    """``held after exit 3 until 12:30``: the time alone, for it is never far away."""
    at_ms = instant_ms(row.held_until)
    until = f" until {local_text(at_ms)[11:]}" if at_ms is not None else ""
    return f"held after exit {row.exit_code}{until}"


def told_text(job: Any) -> str:
    """What became of it: ``job/ID queued``, or ``array/ID queued, 20 jobs``."""
    if job.array is not None and job.array.index is None:
        return f"array/{job.id} {job.state.lower()}, {job.array.size} jobs"
    return f"job/{job.id} {job.state.lower()}"


def told(session: Session, job: Any, output: str) -> None:
    """Say what became of a job or an array, in the shape that was asked for."""
    from scheduler.cli.sheets import JOB

    session.told(job, JOB, output, told_text(job))


def one_of(job: Any) -> str:
    """A name for commands that need one job: of an array its first member."""
    if job.array is None or job.array.index is not None:
        return str(job.id)
    from scheduler.schema.arrays import parse_array

    return f"{job.id}.{parse_array(job.array.indices).indices[0]}"
