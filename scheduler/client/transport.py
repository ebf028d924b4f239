"""One HTTP exchange with the API: bounded in time, in size and in repeats.

Every call has a connect timeout and a deadline for the whole exchange; the answer's size is limited while it is read.
A repeatable call is tried again after connection errors, timeouts and 429/502/503/504 answers, with growing random
pauses; a call that is not repeatable is tried again only when it certainly never reached the server.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import httpx

from scheduler.client.errors import (
    NOT_UNDERSTOOD,
    TIMED_OUT,
    UNEXPLAINED,
    UNREACHABLE,
    ApiBusy,
    ApiProblem,
    ApiRefused,
    Unreachable,
)
from scheduler.core.errors import Fatal, Finding, Retry
from scheduler.schema.bodies import Problem

ANSWER_BYTES_MAX = 32 * 1024 * 1024
PIECE_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0
BUSY_STATUSES = frozenset({429, 502, 503, 504})
LAST_TRY_SECONDS = 0.5
PAUSE_FIRST_SECONDS = 0.2
PAUSE_MAX_SECONDS = 5.0
CHECK_SERVER = "check the address and the network: dure doctor"


Progress = Callable[[int, int], None]
"""Bytes so far, and bytes in all (0 where that is not known)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. ``repeatable``: sending it twice has the effect of sending it once."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    content: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    timeout_seconds: float = 30.0
    """Of one try."""
    total_seconds: float = 0.0
    """Of all tries and the pauses between them; 0: as many times ``timeout_seconds`` as there are tries."""
    answer_bytes_max: int = ANSWER_BYTES_MAX
    progress: Progress | None = None
    """Told while the content is sent, or where there is none while the answer is read; begins anew with each try."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer."""

    status: int
    headers: httpx.Headers
    content: bytes


@dataclass(frozen=True, slots=True)
class Policy:
    """How often to try, and how time passes (tests give their own clock)."""

    tries: int = 4
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


def jittered_pause_seconds(attempt: int) -> float:
    """A random pause before try ``attempt`` + 2: uniform up to 0.2 s, doubled for each try, at most 5 s."""
    ceiling = min(PAUSE_MAX_SECONDS, PAUSE_FIRST_SECONDS * 2.0**attempt)
    return ceiling * (1 + secrets.randbelow(1_000)) / 1_000


class Transport:
    """Sends requests to one server with one token."""

    def __init__(
        self,
        server: str,
        token: str,
        *,
        user_agent: str = "dure",
        policy: Policy | None = None,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        """``server`` is the base address without a trailing slash; ``http`` replaces the network in tests.

        around: entered while the server is waited for, so that it can be said.
        """
        headers = {"User-Agent": user_agent, "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.server = server
        self._policy = policy or Policy()
        self._around = around
        # Redirects are not followed: the token must not travel to an address the user did not name.
        self._http = httpx.Client(headers=headers, transport=http, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, request: Request) -> Reply:
        """Send and return a 2xx answer. Raises ApiRefused, ApiBusy, Unreachable (a Retry), or Fatal."""
        started = self._policy.monotonic()
        with self._around():
            for attempt in range(self._policy.tries):
                try:
                    return self._exchange(request, self._left(request, started))
                except Retry as problem:
                    if attempt + 1 == self._policy.tries or not _may_repeat(request, problem):
                        raise
                    pause = jittered_pause_seconds(attempt)
                    if request.total_seconds and self._remaining(request, started) <= pause:
                        raise
                    self._policy.sleep(pause)
        raise Fatal(UNREACHABLE, "the request was never tried", "")  # tries < 1 is a caller's mistake

    def _left(self, request: Request, started: float) -> float:
        """How many seconds the next try may take: a little even after a pause that grew longer than was meant."""
        if not request.total_seconds:
            return request.timeout_seconds
        return max(LAST_TRY_SECONDS, min(request.timeout_seconds, self._remaining(request, started)))

    def _remaining(self, request: Request, started: float) -> float:
        """How many seconds are left of those for all tries."""
        return started + request.total_seconds - self._policy.monotonic()

    def _exchange(self, request: Request, seconds: float) -> Reply:
        deadline = self._policy.monotonic() + seconds
        timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        headers = {**_about(request), **request.headers}
        params = {name: str(value) for name, value in request.params.items() if value != ""}
        try:
            with self._http.stream(
                request.method,
                self.server + request.path,
                params=params,
                content=_counted(request) if request.content and request.progress else request.content or None,
                headers=headers,
                timeout=timeout,
            ) as response:
                content = self._read(response, request, deadline)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise self._unreachable(error, sent=False) from error
        except httpx.TimeoutException as error:
            raise self._timed_out(round(seconds, 1)) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise self._unreachable(error, sent=True) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Fatal(UNREACHABLE, f"{self.server} is not an address of a server: {error}", CHECK_SERVER) from error
        if response.is_success:
            return Reply(response.status_code, response.headers, content)
        raise problem_of(response.status_code, response.headers.get("Content-Type", ""), content)

    def _read(self, response: httpx.Response, request: Request, deadline: float) -> bytes:
        told = None if request.content or not response.is_success else request.progress
        parts, size, whole = [], 0, _length(response)
        for chunk in self._chunks(response, request.answer_bytes_max, deadline):
            parts.append(chunk)
            size += len(chunk)
            if told:
                told(size, whole)
        return b"".join(parts)

    def _chunks(self, response: httpx.Response, bytes_max: int, deadline: float) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > bytes_max:
                raise Fatal(NOT_UNDERSTOOD, f"the server's answer is larger than {bytes_max} bytes", CHECK_SERVER)
            if self._policy.monotonic() > deadline:
                raise self._timed_out(0)
            yield chunk

    def _unreachable(self, error: Exception, *, sent: bool) -> Unreachable:
        detail = str(error).strip() or type(error).__name__
        return Unreachable(UNREACHABLE, f"{self.server} cannot be reached: {detail}", CHECK_SERVER, sent=sent)

    def _timed_out(self, seconds: float) -> Unreachable:
        within = f" within {seconds:g} s" if seconds else " in time"
        return Unreachable(TIMED_OUT, f"{self.server} did not answer{within}", CHECK_SERVER, sent=True)


def _about(request: Request) -> dict[str, str]:
    """The headers of the content; its length, because content that is counted goes out piece by piece."""
    if not request.content:
        return {}
    return {"Content-Type": request.content_type, "Content-Length": str(len(request.content))}


def _counted(request: Request) -> Iterator[bytes]:
    """The content in pieces, each told once it was taken."""
    assert request.progress is not None
    whole = len(request.content)
    request.progress(0, whole)
    for start in range(0, whole, PIECE_BYTES):
        yield request.content[start : start + PIECE_BYTES]
        request.progress(min(start + PIECE_BYTES, whole), whole)


def _length(response: httpx.Response) -> int:
    """The answer's length where its headers say it and nothing is packed; else 0."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() and "Content-Encoding" not in response.headers else 0


def _may_repeat(request: Request, problem: Retry) -> bool:
    if isinstance(problem, Unreachable):
        return request.repeatable or not problem.sent
    return request.repeatable and isinstance(problem, ApiProblem) and problem.status in BUSY_STATUSES


def problem_of(status: int, content_type: str, content: bytes) -> ApiProblem:
    """The error of a non-2xx answer; also for answers that carry no problem details (proxies, other servers)."""
    kind = ApiBusy if status >= 500 or status == 429 else ApiRefused
    if "json" in content_type:
        try:
            problem = Problem.model_validate_json(content, extra="ignore")
        except ValueError:
            pass
        else:
            findings = [Finding(found.where, found.code, found.message, found.fix) for found in problem.findings]
            return kind(status, problem.code, problem.detail or problem.title, problem.fix, findings, problem.title)
    if 300 <= status < 400:
        return ApiRefused(status, NOT_UNDERSTOOD, f"the server answers with a redirect ({status})", CHECK_SERVER)
    if status == 404:
        return ApiRefused(status, NOT_UNDERSTOOD, "there is no Dure API at this address", CHECK_SERVER)
    message = f"the server answered {status} without saying why"
    return kind(status, UNEXPLAINED, message, "try again; if it stays, tell the server's operator")
