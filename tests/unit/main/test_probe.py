"""The look into the database: what everybody may read of its faults, and what the log has of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scheduler.core.errors import Fatal, Retry
from scheduler.main.probe import NO_ANSWER, DatabaseProbe
from scheduler.store.memory import MemoryStore

SECRET = 'connection to server at "10.0.0.5", user "dure" failed'


class BrokenStore:
    """A store that raises what it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    @contextmanager
    def read(self) -> Iterator[Any]:
        """A view, or the error."""
        if self.error is not None:
            raise self.error
        with MemoryStore().read() as view:
            yield view

    def write(self) -> Any:
        """Nobody writes here."""
        raise AssertionError


@pytest.mark.parametrize("error", [Retry("DURE-8020", SECRET), Fatal("DURE-8021", SECRET), OSError(SECRET)], ids=repr)
def test_faults_are_told_in_one_sentence_and_logged_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    store = BrokenStore()
    probe = DatabaseProbe(store)
    with caplog.at_level(logging.DEBUG):
        assert probe.fault() == ""
        for _ in range(2):
            store.error = error
            assert [probe.fault(), probe.fault()] == [NO_ANSWER, NO_ANSWER]
            store.error = None
            assert probe.fault() == ""
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error, error]
