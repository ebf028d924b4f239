"""The two lifecycles: every state has a row, every end is final, and only the table's steps are legal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest

from scheduler.core.lifecycle import (
    ATTEMPT_STEPS,
    JOB_STEPS,
    TERMINAL_JOB_STATES,
    AttemptState,
    IllegalStep,
    JobState,
    step_attempt,
    step_job,
)

# DESIGN section 5, written once more: from -> to.
JOBS = """
Queued -> Held Active Cancelled Failed
Held -> Queued Cancelled Failed
Active -> Succeeded Failed Cancelled Queued Held
Succeeded ->
Failed ->
Cancelled ->
"""
ATTEMPTS = """
Admitted -> Starting Stopping Gone
Starting -> Running Stopping
Running -> Stopping
Stopping -> Gone
Gone ->
"""


def table(text: str) -> dict[str, set[str]]:
    """A lifecycle's text as from -> to."""
    rows = (line.split(" ->") for line in text.strip().splitlines())
    return {name: set(after.split()) for name, after in rows}


@pytest.mark.parametrize(("steps", "text"), [(JOB_STEPS, JOBS), (ATTEMPT_STEPS, ATTEMPTS)])
def test_tables_are_the_designs(steps: Mapping[StrEnum, frozenset[StrEnum]], text: str) -> None:
    assert {str(state): {str(to) for to in after} for state, after in steps.items()} == table(text)


def test_every_state_has_a_row() -> None:
    assert set(JOB_STEPS) == set(JobState)
    assert set(ATTEMPT_STEPS) == set(AttemptState)
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED} == TERMINAL_JOB_STATES


@pytest.mark.parametrize("current", list(JobState))
@pytest.mark.parametrize("to", list(JobState))
def test_job_steps(current: JobState, to: JobState) -> None:
    if to in table(JOBS)[current]:
        assert step_job(current, to) is to
    else:
        with pytest.raises(IllegalStep, match=f"JobState: {current} -> {to}") as caught:
            step_job(current, to)
        assert (caught.value.current, caught.value.to) == (current, to)


@pytest.mark.parametrize("current", list(AttemptState))
@pytest.mark.parametrize("to", list(AttemptState))
def test_attempt_steps(current: AttemptState, to: AttemptState) -> None:
    if to in table(ATTEMPTS)[current]:
        assert step_attempt(current, to) is to
    else:
        with pytest.raises(IllegalStep):
            step_attempt(current, to)


def test_every_attempt_can_end() -> None:
    """From each state Gone is reached, and quota comes back, in at most four steps."""
    for state in AttemptState:
        reached, frontier = {state}, {state}
        for _ in range(4):
            frontier = {to for at in frontier for to in ATTEMPT_STEPS[at]}
            reached |= frontier
        assert AttemptState.GONE in reached
