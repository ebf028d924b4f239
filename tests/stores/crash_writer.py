"""Processes that write to a SQLite store until they are killed, for test_crash.py.

Each transaction adds jobs, a fact for each, a ledger transaction with two legs, and sets a node's seen_at_ms to the
number of the transaction. After each commit its number is printed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from scheduler.core.facts import JobHeld
from scheduler.core.records import NodeRecord
from scheduler.store.open import open_store
from tests.stores import samples

BATCH = 5
DEAD = "dead"


def write(url: str) -> None:
    """Write for ever."""
    store = open_store(url, migrate=True)
    while True:
        with store.write() as tx:
            number = tx.next_number("ledger")
            node = tx.get(NodeRecord, "seoul", "node-1")
            if node is None:
                node = samples.node()
                tx.add(node)
            for part in range(BATCH):
                job = samples.job(number * BATCH + part)
                tx.add(job)
                tx.append(JobHeld(job.id, "user"), number)
            tx.add(samples.ledger_tx(number))
            tx.add(samples.leg(number, 0, number))
            tx.add(samples.leg(number, 1, -number))
            assert tx.change(replace(node, seen_at_ms=number), version=node.version)
        say(number)


def say(word: object) -> None:
    """Print a line at once; short ones are never torn in a pipe."""
    os.write(sys.stdout.fileno(), f"{word}\n".encode())


def serve() -> None:
    """For each URL read, fork a writer, print its pid and, when it has been killed, DEAD: importing takes seconds."""
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            write(line.strip())
        say(f"pid {child}")
        os.waitpid(child, 0)
        say(DEAD)


if __name__ == "__main__":
    serve()
