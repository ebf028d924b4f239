"""An ASGI application as an httpx transport without a network; each call runs on the transport's own event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx


class AsgiTransport(httpx.BaseTransport):
    """Answers requests by calling ``app``; what the app raises, the caller gets. Not for several threads at once."""

    def __init__(self, app: Any) -> None:
        """Nothing is called yet."""
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=True, client=("127.0.0.1", 40_000))
        self._runner = asyncio.Runner()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The whole answer."""
        return self._runner.run(self._handle(request))

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        content = b"".join([part async for part in answer.aiter_raw()])
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    def close(self) -> None:
        """Close the event loop."""
        self._runner.close()


def client(app: Any, token: str = "", host: str = "127.0.0.1") -> httpx.Client:
    """A client of the application, with a token if there is one; close it."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(transport=AsgiTransport(app), base_url=f"http://{host}", headers=headers)
