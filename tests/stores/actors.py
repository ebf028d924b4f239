"""Actors: threads that do one thing after another as they are told, so that an interleaving can be written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from scheduler.services.ports import Reader, Store, Writer

T = TypeVar("T")
SECONDS_MAX = 30.0


class Actor:
    """A thread with at most one open transaction or view."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1)
        self._open: AbstractContextManager[Writer] | AbstractContextManager[Reader] | None = None
        self.tx: Writer
        self.view: Reader

    def begin(self) -> None:
        """Open a transaction."""

        def enter() -> None:
            block = self._store.write()
            self.tx = block.__enter__()
            self._open = block

        self.do(enter)

    def look(self) -> None:
        """Open a view, and look once, which fixes its instant."""

        def enter() -> None:
            block = self._store.read()
            self.view = block.__enter__()
            self.view.facts(0, 1)
            self._open = block

        self.do(enter)

    def start(self, act: Callable[[], T]) -> Future[T]:
        """Begin to do something that may have to wait for others."""
        return self._thread.submit(act)

    def do(self, act: Callable[[], T]) -> T:
        """Do something and wait for it."""
        return self.start(act).result(SECONDS_MAX)

    def end(self, error: Exception | None = None) -> None:
        """Leave the block: commit, or roll back with ``error``."""
        block, self._open = self._open, None
        if block is not None:
            self.do(lambda: block.__exit__(type(error) if error else None, error, None))

    def leave(self) -> None:
        """Roll back what is open and end the thread."""
        try:
            self.end(RuntimeError("the test is over"))
        finally:
            self._thread.shutdown()


@contextmanager
def actors(store: Store, count: int) -> Iterator[list[Actor]]:
    """Actors that are gone, with their transactions, at the end."""
    with ExitStack() as stack:
        made = [Actor(store) for _ in range(count)]
        for actor in made:
            stack.callback(actor.leave)
        yield made
