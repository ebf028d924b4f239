"""Around every route: allowed hosts, bounded bodies, security headers, and an answer when all else fails."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.api import problems
from scheduler.api.deps import Deps, Limits

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def host_name(header: str) -> str:
    """The name in a Host header: lower case, without port and the brackets of IPv6."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def body_limit(path: str, limits: Limits) -> int:
    """How many bytes a body to this path may have."""
    if path.startswith("/api/v1/packages/"):
        return limits.package_bytes
    if path.startswith("/api/v1/operator/") and ("/logs/" in path or "/artifacts/" in path):
        return limits.log_chunk_bytes
    return limits.body_bytes


class BoundedBody:
    """Receives a body that is neither larger nor slower than the limits; raises HTTPException 413 or 408."""

    def __init__(self, receive: Receive, scope: Scope, limits: Limits) -> None:
        """``receive`` is the server's; nothing is read yet."""
        self._receive = receive
        self._limits = limits
        self._most = body_limit(scope["path"], limits)
        self._announced = Headers(scope=scope).get("content-length", "0")
        self._size = 0
        self._complete = False
        self._deadline = asyncio.get_running_loop().time() + limits.body_total_seconds

    async def __call__(self) -> Message:
        """The next message."""
        if self._complete:
            return await self._receive()
        if self._announced.isdecimal() and int(self._announced) > self._most:
            raise HTTPException(413)
        message = await self._next()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._size > self._most:
                raise HTTPException(413)
        return message

    async def _next(self) -> MutableMapping[str, Any]:
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(self._receive(), min(left, self._limits.body_idle_seconds))
        except TimeoutError as error:
            raise HTTPException(408, headers={"Connection": "close"}) from error


class Edge:
    """The outermost layer that is ours."""

    def __init__(self, app: ASGIApp, deps: Deps) -> None:
        """Wrap ``app``."""
        self._app = app
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; only HTTP is spoken here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def secured(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if not self._host_allowed(scope):
            detail = "this server is not known under the name in the Host header"
            await problems.problem(421, problems.BAD_HOST, detail, "use its address")(scope, receive, secured)
            return
        try:
            await self._app(scope, BoundedBody(receive, scope, self._deps.limits), secured)
        except ClientDisconnect:
            return
        except Exception as error:
            response = self._unexpected(error, scope)
            if started:
                raise
            await response(scope, receive, secured)

    def _host_allowed(self, scope: Scope) -> bool:
        hosts = self._deps.hosts
        return not hosts or host_name(Headers(scope=scope).get("host", "")) in hosts

    def _unexpected(self, error: Exception, scope: Scope) -> Response:
        return problems.from_unexpected(error, self._deps.ids.new(), scope["method"], scope["path"])
