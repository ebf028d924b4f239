"""How a call to the API can fail, as the callers of the client see it."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.core.errors import DureError, Fatal, Finding, Retry

UNREACHABLE = "DURE-8001"
TIMED_OUT = "DURE-8002"
NOT_UNDERSTOOD = "DURE-8003"
UNEXPLAINED = "DURE-8004"
USAGE = "DURE-1001"


class ApiProblem(DureError):
    """The server said no: its HTTP status, stable code, one sentence, the fix, and every finding at its place.

    Always raised as ``ApiRefused`` (somebody has to change something) or ``ApiBusy`` (the same call may succeed later).
    """

    def __init__(
        self, status: int, code: str, message: str, fix: str = "", findings: Sequence[Finding] = (), title: str = ""
    ) -> None:
        super().__init__(code, message, fix)
        self.status = status
        self.title = title
        self.findings = tuple(findings)


class ApiRefused(ApiProblem, Fatal):
    """A 4xx answer: repeating will not help."""


class ApiBusy(ApiProblem, Retry):
    """A 5xx or 429 answer, after the client's own retries where the call is repeatable."""


class Unreachable(Retry):
    """No connection to the server, or one that broke; ``sent`` tells whether the request may have arrived."""

    def __init__(self, code: str, message: str, fix: str, *, sent: bool) -> None:
        super().__init__(code, message, fix)
        self.sent = sent
