"""Members of a job array: how they are found, shown together, and let go on one after the other (decision 0011)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from scheduler.core.errors import Retry
from scheduler.core.facts import JobReleased
from scheduler.core.lifecycle import JobState
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.schema.arrays import SIZE_MAX, parse_array
from scheduler.schema.bodies import JobBody
from scheduler.services.job_bodies import array_body
from scheduler.services.ports import Reader, Where, Writer

ATTEMPTS_MAX = 100_000
HOLDER = "array"
"""``held_by`` of a member whose turn has not come."""


def members_of(view: Reader, array: str) -> list[JobRecord]:
    """All jobs of an array, by index; none when there is no such array."""
    return view.select(JobRecord, Where("array", "=", array), order=("array_index",), limit=SIZE_MAX)


def whole(view: Reader, members: Sequence[JobRecord], reason_of: Callable[[JobRecord], str], now_ms: int) -> JobBody:
    """The array of these members as one body; the reason is that of the first that waits."""
    number = {member.id: member.attempt for member in members if member.attempt}
    found = view.select(AttemptRecord, Where("job", "in", tuple(number)), limit=ATTEMPTS_MAX)
    newest = {attempt.job: attempt for attempt in found if attempt.number == number[attempt.job]}
    queued = first_waiting(members)
    reason = reason_of(queued) if queued is not None and queued.state is JobState.QUEUED else ""
    return array_body(members, newest, reason, now_ms)


def first_waiting(members: Sequence[JobRecord]) -> JobRecord | None:
    """The first member by index that is queued, or else that is held; None when none waits."""
    for state in (JobState.QUEUED, JobState.HELD):
        for member in members:
            if member.state is state:
                return member
    return None


def refill(tx: Writer, job: JobRecord, now_ms: int) -> None:
    """Queue as many members that only their array holds as its limit has room for, the lowest index first.

    Called at the end of a transaction that ends, holds or releases a member, so that nobody ever sees a place empty.
    The array's counter lets such transactions pass here one after the other: each sees what those before it left.
    """
    known = parse_array(job.array_text) if job.array else None
    if known is None or not known.is_limited:
        return
    tx.next_number(f"array:{job.array}")
    taken = Where("state", "in", (JobState.QUEUED, JobState.ACTIVE))
    free = known.at_once - tx.count(JobRecord, Where("array", "=", job.array), taken)
    if free <= 0:
        return
    held = (Where("array", "=", job.array), Where("state", "=", JobState.HELD), Where("held_by", "=", HOLDER))
    for member in tx.select(JobRecord, *held, order=("array_index",), limit=free):
        if not tx.change(replace(member, state=JobState.QUEUED, held_by=""), version=member.version):
            raise Retry("DURE-6001", "the array changed at the same moment", "try again")
        tx.append(JobReleased(member.id), now_ms)
