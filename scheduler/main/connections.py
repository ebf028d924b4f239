"""One HTTP connection that nobody can keep open, or fill, without ever sending a whole request.

Bodies are bounded where they are read (scheduler.api.edge); this is about everything before and beside that. What is
refused here has not reached the API: the answer, where there is one, is plain text.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_TOO_LARGE = "The head of the request is too large."


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of a connection.

    head_seconds: from its begin, or from the first byte of a later request, until the request's head is complete.
    rest_seconds: from the first such byte, how long what comes after an answer and begins no request is thrown away.
    head_bytes: request line and headers of one request.
    """

    head_seconds: float = 10
    rest_seconds: float = 30
    head_bytes: int = 64 * 1024


class _HeadTooLargeError(Exception):
    """Raised inside the parser, which then refuses the request."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a timer while the client owes something, and a bound for what it sends before a body."""

    LIMITS = ConnectionLimits()
    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _only_head = True
    """The present data ends no head and no body: all of it belongs to the head that is being read."""
    _raw_bytes = 0
    """Bytes of such data since the head began; they count while the parser keeps an unfinished part to itself."""
    _parsed_bytes = 0
    """Bytes of the parts of the head that the parser has told: a head that comes at once is bounded too."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """The first request has to begin now."""
        super().connection_made(transport)
        self._expect(self.LIMITS.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is expected."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse it; what it leaves unfinished, while no request is being answered, is waited for only so long."""
        self._only_head = True
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._only_head:
            self._raw_bytes += len(data)
        if self._in_head and self._raw_bytes > self.LIMITS.head_bytes:
            self.send_400_response(HEAD_TOO_LARGE)
        elif self._deadline is None and self._is_idle():
            self._expect(self.LIMITS.head_seconds if self._in_head else self.LIMITS.rest_seconds)

    def on_message_begin(self) -> None:
        """A request's head begins."""
        self._in_head, self._parsed_bytes = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: from here on the API's limits hold."""
        self._in_head, self._only_head, self._raw_bytes = False, False, 0
        self._expect_nothing()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._only_head = False
        super().on_body(body)

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _count(self, size: int) -> None:
        self._parsed_bytes += size
        if self._parsed_bytes > self.LIMITS.head_bytes:
            raise _HeadTooLargeError

    def _expect(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def bounded_protocol(limits: ConnectionLimits) -> type[BoundedProtocol]:
    """The protocol with these limits, as uvicorn takes it: a class."""
    return type("Bounded", (BoundedProtocol,), {"LIMITS": limits})
