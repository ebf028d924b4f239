"""Every pair of states: the stores allow exactly the steps of the two tables, also to somebody who writes SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler.core.errors import ConstraintBroken
from scheduler.core.lifecycle import ATTEMPT_STEPS, JOB_STEPS, AttemptState, JobState, StopReason
from scheduler.core.records import AttemptRecord, JobRecord, Record
from scheduler.services.ports import Store
from scheduler.store.sql import SqlStore
from tests.stores import samples

pytestmark = pytest.mark.store
JOB_PAIRS = [(one, other) for one in JobState for other in JobState]
ATTEMPT_PAIRS = [(one, other) for one in AttemptState for other in AttemptState]
LEGAL_JOBS = {(one, other) for one, other in JOB_PAIRS if other is one or other in JOB_STEPS[one]}
LEGAL_ATTEMPTS = {(one, other) for one, other in ATTEMPT_PAIRS if other is one or other in ATTEMPT_STEPS[one]}


def allowed(store: Store, before: Record, after: Record) -> bool:
    """Whether the store lets ``after`` replace ``before``; it stores ``before`` first."""
    with store.write() as tx:
        tx.add(before)
    try:
        with store.write() as tx:
            assert tx.change(after, version=1)
    except ConstraintBroken:
        return False
    return True


def test_there_are_steps_of_both_sorts() -> None:
    assert (len(JOB_PAIRS), len(LEGAL_JOBS)) == (36, 6 + 4 + 3 + 5)
    assert (len(ATTEMPT_PAIRS), len(LEGAL_ATTEMPTS)) == (25, 5 + 3 + 2 + 1 + 1)


def test_jobs_take_legal_steps_only(store: Store) -> None:
    found = set()
    for number, (one, other) in enumerate(JOB_PAIRS):
        before = samples.job(number, state=one)
        if allowed(store, before, replace(before, state=other)):
            found.add((one, other))
    assert found == LEGAL_JOBS


def test_attempts_take_legal_steps_only(store: Store) -> None:
    found = set()
    for number, (one, other) in enumerate(ATTEMPT_PAIRS):
        before = samples.attempt(1, job=f"j{number}", state=one)
        if allowed(store, before, replace(before, state=other)):
            found.add((one, other))
    assert found == LEGAL_ATTEMPTS


def test_the_first_stop_reason_stays(store: Store) -> None:
    reasons: list[StopReason | None] = [None, *StopReason]
    for number, (one, other) in enumerate((one, other) for one in reasons for other in reasons):
        before = samples.attempt(1, job=f"j{number}", state=AttemptState.STOPPING, stop_reason=one)
        assert allowed(store, before, replace(before, stop_reason=other)) == (one is None or other is one), (one, other)


def refused(sql: Callable[[str], None], statement: str) -> bool:
    """Whether the database refuses the statement."""
    try:
        sql(statement)
    except ConstraintBroken:
        return True
    return False


def test_sql_takes_legal_steps_only(database: SqlStore, sql: Callable[[str], None]) -> None:
    with database.write() as tx:
        for number, (state, _) in enumerate(JOB_PAIRS):
            tx.add(samples.job(number, state=state))
        for number, (attempt_state, _) in enumerate(ATTEMPT_PAIRS):
            tx.add(samples.attempt(1, job=f"j{number}", state=attempt_state))
    for number, (one, other) in enumerate(JOB_PAIRS):
        statement = f"UPDATE job SET state = '{other.value}' WHERE id = '{samples.job(number).id}'"
        assert refused(sql, statement) == ((one, other) not in LEGAL_JOBS), (one, other)
    for number, (first, then) in enumerate(ATTEMPT_PAIRS):
        statement = f"UPDATE attempt SET state = '{then.value}' WHERE job = 'j{number}'"
        assert refused(sql, statement) == ((first, then) not in LEGAL_ATTEMPTS), (first, then)
    with database.read() as view:
        assert view.count(JobRecord) == len(JOB_PAIRS)
        assert view.count(AttemptRecord) == len(ATTEMPT_PAIRS)
