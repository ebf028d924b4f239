"""The memory store as the world sees it: transactions fail by seed, and every commit is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from scheduler.core.errors import Retry
from scheduler.core.facts import Fact
from scheduler.core.records import ClusterRecord, LeaseRecord
from scheduler.sim.world.chance import Crashed, Dice
from scheduler.store.memory import MemoryReader, MemoryStore, MemoryWriter

HEARTBEATS: frozenset[Any] = frozenset({LeaseRecord, ClusterRecord})
"""Records that are written while nothing happens: who leads, and how far a cluster has been observed."""
WRITE_STREAM = "store"


class Commit(NamedTuple):
    """What one transaction has committed: records by kind, and facts."""

    written: dict[Any, list[Any]]
    facts: tuple[Fact, ...]

    @property
    def is_news(self) -> bool:
        """Something else than a heartbeat."""
        return bool(self.facts) or bool(self.written.keys() - HEARTBEATS)


class WatchedStore:
    """services.ports.Store around the memory store. Committed is committed: a failure never takes a part of it."""

    def __init__(
        self,
        inner: MemoryStore,
        dice: Dice,
        pause: Callable[[], None],
        committed: Callable[[Commit], None],
        is_out: Callable[[], bool] = lambda: False,
    ) -> None:
        """pause: called before each transaction, where the process may be paused or die; committed: after each.

        is_out: whether there is an outage, in which no transaction begins.
        """
        self._inner = inner
        self._dice = dice
        self._pause = pause
        self._committed = committed
        self._is_out = is_out

    def read(self) -> AbstractContextManager[MemoryReader]:
        """A consistent view."""
        self._begin()
        return self._inner.read()

    @contextmanager
    def write(self) -> Iterator[MemoryWriter]:
        """A transaction that may be refused, rolled back, or committed with its answer lost."""
        self._begin()
        if self._dice.happens("store_refuses", WRITE_STREAM):
            raise Retry("DURE-8020", "the database is not there", "try again")
        with self._inner.write() as tx:
            yield tx
            if self._dice.happens("commit_fails", WRITE_STREAM):
                raise Retry("DURE-8020", "the database could not commit", "try again")
        records = {kind: list(overlay.rows.values()) for kind, overlay in tx.written.items()}
        if records or tx.appended:
            self._committed(Commit(records, tuple(tx.appended)))
        if self._dice.happens("commit_unknown", WRITE_STREAM):
            raise Retry("DURE-8020", "the database's answer was lost", "try again")
        if self._dice.happens("crash", WRITE_STREAM):
            raise Crashed("after a commit")

    def _begin(self) -> None:
        self._pause()
        if self._is_out():
            raise Retry("DURE-8020", "the database is away for a while", "try again")
