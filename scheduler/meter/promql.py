"""A small client of Prometheus's HTTP API: range queries, bounded in time and size. Values stay text until used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx

from scheduler.core.errors import Fatal, Retry

UNREACHABLE = "DURE-8040"
REFUSED = "DURE-8041"
NOT_UNDERSTOOD = "DURE-8042"
ANSWER_BYTES_MAX = 32 * 1024 * 1024
TIMEOUT_SECONDS = 30.0
POINTS_MAX = 10_000
"""Points a series may have in one answer; Prometheus itself refuses more than 11,000."""
FIX = "check the address of Prometheus"


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels and (milliseconds, value) in order of time."""

    labels: dict[str, str]
    points: tuple[tuple[int, Decimal], ...]


class PromQL:
    """Asks one Prometheus; close it, or use it as a context manager."""

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, http: httpx.BaseTransport | None = None
    ) -> None:
        """``url`` is the base address; ``http`` replaces the network in tests. Raises Fatal for no http address."""
        if not url.startswith(("http://", "https://")):
            raise Fatal(REFUSED, f"{url!r} is not the address of a Prometheus", "write it as http://HOST:9090")
        self._url = url.rstrip("/")
        self._http = httpx.Client(timeout=timeout_seconds, transport=http, follow_redirects=False, trust_env=False)

    def __enter__(self) -> PromQL:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def query_range(self, promql: str, start_ms: int, end_ms: int, step_ms: int) -> list[Series]:
        """The expression at start, start + step, ... up to end.

        Raises ValueError for more points than one answer may have, Retry when Prometheus cannot be reached or is busy,
        Fatal when it refuses the query or answers something else.
        """
        if step_ms < 1 or end_ms < start_ms or (end_ms - start_ms) // step_ms >= POINTS_MAX:
            raise ValueError(f"no range of at most {POINTS_MAX} points: {start_ms}, {end_ms}, {step_ms}")
        data = {"query": promql, "start": _seconds(start_ms), "end": _seconds(end_ms), "step": _seconds(step_ms)}
        answer = self._ask("/api/v1/query_range", data)
        try:
            return [_series(item) for item in answer["data"]["result"]]
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            raise Fatal(NOT_UNDERSTOOD, f"Prometheus's answer is not understood: {error}", FIX) from error

    def _ask(self, path: str, data: dict[str, str]) -> Any:
        try:
            with self._http.stream("POST", self._url + path, data=data) as response:
                content = self._read(response)
                status = response.status_code
        except (httpx.TransportError, httpx.DecodingError) as error:
            detail = str(error).strip() or type(error).__name__
            raise Retry(UNREACHABLE, f"Prometheus cannot be reached: {detail}", FIX) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Fatal(REFUSED, f"the address of Prometheus cannot be used: {error}", FIX) from error
        if status in (429, 502, 503, 504):
            raise Retry(UNREACHABLE, f"Prometheus answers {status}", "try again")
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise Fatal(NOT_UNDERSTOOD, f"this is no Prometheus (status {status})", FIX) from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            said = str(answer.get("error", ""))[:300] if isinstance(answer, dict) else ""
            raise Fatal(REFUSED, f"Prometheus refuses the query: {said or status}", FIX)
        return answer

    @staticmethod
    def _read(response: httpx.Response) -> bytes:
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > ANSWER_BYTES_MAX:
                raise Fatal(NOT_UNDERSTOOD, f"Prometheus's answer is larger than {ANSWER_BYTES_MAX} bytes", "ask less")
            parts.append(part)
        return b"".join(parts)


def _seconds(at_ms: int) -> str:
    return f"{at_ms // 1_000}.{at_ms % 1_000:03d}"


def _series(item: Any) -> Series:
    points = tuple((int(Decimal(str(at)) * 1_000), Decimal(value)) for at, value in item["values"])
    return Series({str(name): str(value) for name, value in item["metric"].items()}, points)
