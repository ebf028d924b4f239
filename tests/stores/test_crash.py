"""kill -9 in the middle of writing: what was acknowledged is there, what was begun is there whole or not at all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.core.records import CounterRecord, JobRecord, LedgerEntryRecord, LedgerTxRecord, NodeRecord
from scheduler.store.open import open_store
from scheduler.store.sql import SqlStore
from tests.stores.crash_writer import BATCH, DEAD
from tests.support.source import ROOT

pytestmark = [pytest.mark.store, pytest.mark.slow]
KILLS = 20


class Writers:
    """A process that forks writers, one after another."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.stores.crash_writer"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def killed_after(self, url: str, seconds: float) -> int:
        """Start a writer, kill it that long after its first commit; the last number it acknowledged."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{url}\n")
        self.process.stdin.flush()
        pid = 0
        numbers: list[int] = []
        for line in self.process.stdout:
            if line.startswith("pid"):
                pid = int(line.split()[1])
            elif line.strip() == DEAD:
                return numbers[-1]
            else:
                numbers.append(int(line))
            if pid and len(numbers) == 1:
                time.sleep(seconds)
                os.kill(pid, signal.SIGKILL)
        raise AssertionError("the writers ended")


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    """The process of the writers; ends when its input does."""
    made = Writers()
    yield made
    made.process.communicate(timeout=30)


def committed(store: SqlStore) -> int:
    """The number of the last transaction, after checking that everything of each is there."""
    assert store.damage() == ""
    with store.read() as view:
        counter = view.get(CounterRecord, "ledger")
        assert counter is not None
        last = counter.value
        seqs = [row.seq for row in view.select(LedgerTxRecord, limit=100_000)]
        assert seqs == list(range(1, last + 1))
        assert view.count(LedgerEntryRecord) == 2 * last
        assert view.total(LedgerEntryRecord, "amount") == 0
        jobs = [job.id for job in view.select(JobRecord, limit=1_000_000)]
        facts = view.facts(0, 1_000_000)
        assert [fact.body.job for fact in facts] == jobs  # type: ignore[union-attr]  # the writer appends JobHeld only
        assert len(jobs) == last * BATCH
        assert [node.seen_at_ms for node in view.select(NodeRecord)] == [last]
    return last


def test_a_killed_writer_loses_nothing_it_acknowledged(writers: Writers, tmp_path: Path, rng: random.Random) -> None:
    url = f"sqlite:///{tmp_path / 'dure.db'}"
    before = 0
    for kill in range(KILLS):
        acknowledged = writers.killed_after(url, rng.uniform(0.0, 0.05))
        store = open_store(url, migrate=False)
        assert isinstance(store, SqlStore)
        last = committed(store)
        store.close()
        # One more than acknowledged may be there: killed between the commit and the word about it.
        assert acknowledged <= last <= acknowledged + 1, f"kill {kill}"
        assert last > before
        before = last


def test_every_prefix_of_the_log_is_a_whole_state(writers: Writers, tmp_path: Path, rng: random.Random) -> None:
    """A power cut leaves some prefix of the write-ahead log: each opens as the state after some transaction."""
    url = f"sqlite:///{tmp_path / 'dure.db'}"
    open_store(url, migrate=True).close()
    acknowledged = writers.killed_after(url, 0.05)
    main, log = (tmp_path / "dure.db").read_bytes(), (tmp_path / "dure.db-wal").read_bytes()
    assert len(log) > 4_096
    lengths = sorted({0, 1, 31, 32, len(log) - 1, len(log), *(rng.randrange(len(log)) for _ in range(8))})
    states = []
    for number, length in enumerate(lengths):
        copy = tmp_path / f"copy-{number}.db"
        copy.write_bytes(main)
        copy.with_name(f"{copy.name}-wal").write_bytes(log[:length])
        store = open_store(f"sqlite:///{copy}", migrate=True)
        assert isinstance(store, SqlStore)
        with store.read() as view:
            empty = view.get(CounterRecord, "ledger") is None
        states.append(0 if empty else committed(store))
        store.close()
    assert states == sorted(states)
    assert states[0] == 0
    assert states[-1] >= acknowledged
