"""Exit codes, and which error leads to which."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # on the path of ``dure --help``: nothing is loaded for a name
    from scheduler.core.errors import DureError

OK = 0
UNEXPECTED = 1
USAGE = 2
NOT_FOUND = 3
LOGIN_NEEDED = 4
FORBIDDEN = 5
CONFLICT = 6
REFUSED = 7
UNREACHABLE = 8
MISMATCH = 20
JOB_FAILED = 100
JOB_NOT_FINISHED = 101
JOB_NOT_FOUND = 102
JOB_CANCELLED = 103
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143

MEANING = {
    OK: "done",
    UNEXPECTED: "unexpected: a mistake of Dure itself",
    USAGE: "wrong usage, or a file that is not valid",
    NOT_FOUND: "no such thing, or none that you may see",
    LOGIN_NEEDED: "a login is needed",
    FORBIDDEN: "your roles do not allow it",
    CONFLICT: "it is in another state, or has changed",
    REFUSED: "refused by policy or quota",
    UNREACHABLE: "the server cannot be reached, or did not answer in time",
    MISMATCH: "verification found a difference",
    JOB_FAILED: "the job failed",
    JOB_NOT_FINISHED: "the job has not ended yet",
    JOB_NOT_FOUND: "there is no such job",
    JOB_CANCELLED: "the job was cancelled",
    INTERRUPTED: "stopped by you (Ctrl-C)",
    BROKEN_PIPE: "the reader of the output went away",
    TERMINATED: "ended by a signal (SIGTERM)",
}

REFUSED_PREFIX = "DURE-2"
_BY_STATUS = {400: USAGE, 401: LOGIN_NEEDED, 403: FORBIDDEN, 404: NOT_FOUND, 409: CONFLICT, 413: USAGE, 422: USAGE}
# The first two digits of a code, for errors that no server answered.
_BY_RANGE = {"30": NOT_FOUND, "40": LOGIN_NEEDED, "60": CONFLICT, "80": UNREACHABLE, "90": UNEXPECTED}
_JOB_ENDS = {"Succeeded": OK, "Failed": JOB_FAILED, "Cancelled": JOB_CANCELLED}


def exit_code(error: DureError) -> int:
    """The exit code of an error: by its HTTP status where a server answered, else by its code's range."""
    if error.code.startswith(REFUSED_PREFIX):
        return REFUSED
    status = getattr(error, "status", None)  # only an ApiProblem has one; its module is not loaded for every command
    if isinstance(status, int):
        if status in _BY_STATUS:
            return _BY_STATUS[status]
        return UNREACHABLE if status >= 500 or status == 429 else UNEXPECTED
    number = error.code.partition("-")[2]
    return USAGE if number.startswith("1") else _BY_RANGE.get(number[:2], UNEXPECTED)


def job_end(state: str) -> int:
    """The exit code that tells how a job ended, or that it has not."""
    return _JOB_ENDS.get(state, JOB_NOT_FINISHED)
