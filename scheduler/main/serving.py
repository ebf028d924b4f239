"""The HTTP server around the control plane: its socket, its signals, its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from scheduler.config import Settings
from scheduler.core.errors import Fatal
from scheduler.main import journal
from scheduler.main.bootstrap import ADMIN_TOKEN_FILE, ensure_admin, instance_id, write_private
from scheduler.main.connections import ConnectionLimits, bounded_protocol
from scheduler.main.control_plane import ControlPlane, build_control_plane, make_folder

CANNOT_LISTEN = "DURE-1051"
BACKLOG = 1_024
KEEP_ALIVE_SECONDS = 30
FORCED = 130
DEFAULT_LIMITS = ConnectionLimits()
URL_FILE = "server.url"

Say = Callable[[str], None]
"""Prints a line for people on standard error."""


def listen(settings: Settings) -> socket.socket:
    """The listening socket; raises Fatal when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(settings, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The multi-worker path of asyncio forgets it; answers would wait 40 ms for the acknowledgement of the last.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(settings, error) from error
    return listener


def _cannot_listen(settings: Settings, error: OSError) -> Fatal:
    where = f"{settings.host}:{settings.port}"
    return Fatal(CANNOT_LISTEN, f"{where} cannot be used: {error.strerror or error}", "choose another --port, or 0")


def url_of(listener: socket.socket) -> str:
    """The address under which the server answers on this machine."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


class Server(uvicorn.Server):
    """uvicorn's server with our signals: the first asks for an orderly end, the second ends at once.

    The loops end first, so that an operator in this process finds its server to the last.
    """

    def __init__(self, config: uvicorn.Config, stop_loops: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop_loops = stop_loops

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the loops, then the connections."""
        await asyncio.to_thread(self._stop_loops)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM while serving in the main thread; afterwards the handlers are as before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sign: signal.signal(sign, self._on_signal) for sign in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sign, handler in before.items():
                signal.signal(sign, handler)

    def _on_signal(self, _sign: int, _frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(FORCED)
        self.should_exit = True


def make_server(
    plane: ControlPlane, stop_loops: Callable[[], None], limits: ConnectionLimits = DEFAULT_LIMITS
) -> Server:
    """The HTTP server of the control plane; it logs through the process's logging and has no lifespan."""
    settings = plane.settings
    config = uvicorn.Config(
        plane.app,
        loop="uvloop",
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=settings.connections_max,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, settings.shutdown_ms // 1_000),
    )
    return Server(config, stop_loops)


def run_serve(settings: Settings, say: Say) -> int:
    """The control plane alone, until a signal."""
    make_folder(settings.data)
    journal.set_up(settings.log_level)
    listener = listen(settings)
    with contextlib.closing(listener):
        plane = build_control_plane(settings, settings.holder or instance_id(settings.data, unique=True))
        with contextlib.closing(plane):
            token_file = settings.data / ADMIN_TOKEN_FILE
            if ensure_admin(plane.store, token_file, plane.clock(), always=False):
                say(f"the first administrator's token is in {token_file}")
            plane.start()
            say(f"dure serve: {url_of(listener)}")
            write_private(settings.data / URL_FILE, f"{url_of(listener)}\n")
            try:
                make_server(plane, plane.stop).run(sockets=[listener])
            finally:
                plane.stop()
    return 0
