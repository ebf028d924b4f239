"""Closing a period while a cluster reports and the settler posts: the end is never before a slice that is posted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from scheduler.core.accounting import calendar
from scheduler.core.errors import Retry
from scheduler.core.records import ClusterRecord, InvoiceRecord, PeriodRecord, SliceRecord
from scheduler.schema.bodies import PeriodBody
from scheduler.services import periods
from scheduler.store.sql import SqlStore, SqlWriter
from tests.support import control_plane
from tests.support.control_plane import ControlPlane

pytestmark = pytest.mark.store
MINUTE = 60_000
TRIES_MAX = 5
LOCK_SECONDS = 0.3


@pytest.fixture
def plane(database: SqlStore, monkeypatch: pytest.MonkeyPatch) -> ControlPlane:
    """A control plane on each of the databases."""
    monkeypatch.setattr(control_plane, "MemoryStore", lambda: database)
    return ControlPlane()


class Meanwhile:
    """Another process: its job ends, is reported and posted while this one is in the middle of its close."""

    def __init__(self, plane: ControlPlane, job: str, seconds: float) -> None:
        """seconds: how long the close stands still for it; less than it needs where it has to wait for the close."""
        self._plane, self._job, self._seconds = plane, job, seconds
        self._thread = ThreadPoolExecutor(1)
        self._done: Future[bool] | None = None

    def _report_and_settle(self) -> bool:
        try:
            self._plane.ended(self._job)
            self._plane.settle()
        except Retry:
            return False
        return True

    def strike(self) -> None:
        """Begin, once."""
        if self._done is None:
            self._done = self._thread.submit(self._report_and_settle)
            wait([self._done], self._seconds)

    def end(self) -> None:
        """It has got through, at once or when it was repeated."""
        assert self._done is not None
        at_once = self._done.result(30)
        self._thread.shutdown()
        assert at_once or self._report_and_settle()


def close(plane: ControlPlane, now_ms: int) -> PeriodBody:
    """Ask for a close until it is taken."""
    for _ in range(TRIES_MAX):
        try:
            return periods.close_period(plane.store, plane.policies, plane.actor(), "manual-0001", now_ms)
        except Retry:
            continue
    raise AssertionError(f"Retry {TRIES_MAX} times")


@pytest.mark.parametrize("moment", ["after it has looked", "after it has fixed the end"])
def test_a_report_in_the_middle_of_a_close(
    plane: ControlPlane, database: SqlStore, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The closing process has a clock that is a minute behind: the end that it would choose lies inside the job."""
    job = plane.started()
    early_ms = plane.now_ms + MINUTE
    plane.pass_ms(2 * MINUTE)
    waits = database.dialect == "sqlite" or moment == "after it has fixed the end"
    meanwhile = Meanwhile(plane, job, LOCK_SECONDS if waits else 30)
    look = SqlWriter.select

    def select(self: SqlWriter, kind: Any, *where: Any, order: Sequence[str] = (), limit: int = 1_000) -> list[Any]:
        found = look(self, kind, *where, order=order, limit=limit)
        if kind is ClusterRecord:
            meanwhile.strike()
        return found

    def manual_end(period: PeriodRecord, now_ms: int, observed_through_ms: Iterable[int]) -> int:
        meanwhile.strike()
        return calendar.manual_end(period, now_ms, observed_through_ms)

    if moment == "after it has looked":
        monkeypatch.setattr(SqlWriter, "select", select)
    else:
        monkeypatch.setattr(periods, "manual_end", manual_end)
    assert close(plane, early_ms).state == "closing"
    monkeypatch.undo()
    meanwhile.end()
    plane.settle()
    period = plane.period()
    parts = sorted((part.start_ms, part.end_ms, part.period) for part in plane.rows(SliceRecord))
    assert parts[-1][1] == plane.now_ms
    assert all(end_ms <= period.end_ms for _, end_ms, of_period in parts if of_period == period.id)
    assert period.state == "closed"
    assert len(plane.rows(InvoiceRecord)) == 1
