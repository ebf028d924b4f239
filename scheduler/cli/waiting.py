"""Wait for a job's end by asking: patient with a server that is away for a while, bounded in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.cli import exits
from scheduler.cli.base import option
from scheduler.cli.tables import ENDED, state_text
from scheduler.cli.when import SPAN
from scheduler.core.errors import Retry

if TYPE_CHECKING:
    from scheduler.cli.session import Session
    from scheduler.schema.bodies import JobBody

POLL_FIRST_SECONDS = 0.5
POLL_MAX_SECONDS = 5.0
SILENCE_SECONDS_MAX = 300
WAIT_SECONDS_MAX = 90 * 86_400
JOB_EXITS = (exits.JOB_FAILED, exits.JOB_NOT_FINISHED, exits.JOB_NOT_FOUND, exits.JOB_CANCELLED, exits.INTERRUPTED)


def wait_timeout_option(**attributes: Any) -> Any:
    """``--wait-timeout``: the same words and the same meaning wherever something is waited for."""
    return option(
        "--wait-timeout",
        type=SPAN,
        metavar="DURATION",
        default=None,
        help="Wait at most so long, such as 30m; the exit code says that it was not over.",
        **attributes,
    )


def wait_for_end(session: Session, job: str, seconds: int | None) -> JobBody:
    """The job once it has ended, or as it is when the time is over. ``job`` is its id.

    Says each new state. Raises Retry when the server has been silent for SILENCE_SECONDS_MAX, and what asking raises.
    """
    now_ms, client = session.now_ms, session.client
    heard_ms = started_ms = now_ms()
    deadline_ms = started_ms + (WAIT_SECONDS_MAX if seconds is None else seconds) * 1_000
    pause, said, found = POLL_FIRST_SECONDS, "", None
    while True:
        try:
            found = client.job(job)
        except Retry as error:
            if now_ms() - heard_ms > SILENCE_SECONDS_MAX * 1_000 or (found is None and now_ms() >= deadline_ms):
                raise
            session.talk(f"{error.message}; trying again")
        else:
            heard_ms, state = now_ms(), state_text(found)
            if found.state in ENDED:
                return found
            if state != said:
                session.talk(f"job {job}: {state}")
                said, pause = state, POLL_FIRST_SECONDS
        left_seconds = (deadline_ms - now_ms()) / 1_000
        if found is not None and left_seconds <= 0:
            return found
        session.wait(max(0.0, min(pause, left_seconds)))
        pause = min(POLL_MAX_SECONDS, pause * 2)


def told_end(session: Session, job: JobBody) -> int:
    """Say how the job ended, or that it has not, with the commands that are useful then; the exit code for it."""
    code = f", exit code {job.exit_code}" if job.exit_code is not None else ""
    session.talk(f"job {job.id}: {job.state}{code}{f': {job.message}' if job.message else ''}")
    if job.state in ENDED:
        session.next(("Output", f"dure logs {job.id}"), ("Events", f"dure job events {job.id}"))
    else:
        session.next(("Wait on", f"dure job wait {job.id}"), ("Why waiting", f"dure why {job.id}"))
    return exits.job_end(job.state)


def stopped_looking(session: Session, job: str, again: tuple[str, str]) -> int:
    """After Ctrl-C: only the looking has ended. ``again``: how to go on, label and command."""
    session.talk("")
    session.talk("the job goes on")
    session.next(again, ("Cancel", f"dure cancel {job}"))
    return exits.INTERRUPTED
