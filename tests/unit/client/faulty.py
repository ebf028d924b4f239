"""A real HTTP server that answers as it is told, for what a good server never does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Exchange:
    """One request as the server sees it, and the means to answer."""

    def __init__(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        self.handler = handler
        self.number = number
        self.path = handler.path
        self.headers = dict(handler.headers)
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer as a whole; header names are written with underscores."""
        self.begin(status, {"Content-Length": str(len(body)), **headers})
        self.handler.wfile.write(body)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the head only."""
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def cut(self) -> None:
        """Close the connection without an answer."""
        self.handler.close_connection = True
        self.handler.connection.close()


Answer = Callable[[Exchange], None]


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[Exchange]]]:
    """A server on a free port; yields its address and the exchanges it had."""
    seen: list[Exchange] = []

    class Handler(BaseHTTPRequestHandler):
        """Hands every request to ``answer``."""

        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            """Any method."""
            exchange = Exchange(self, len(seen) + 1)
            seen.append(exchange)
            try:
                answer(exchange)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def finish(self) -> None:
            """The connection may have been cut on purpose."""
            try:
                super().finish()
            except (OSError, ValueError):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # cut connections are what is tested
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
