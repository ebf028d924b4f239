"""What the services need from the outside: small protocols, defined where they are consumed.

``Store`` is implemented by ``scheduler.store`` (SQLite and PostgreSQL) and by
``scheduler.store.memory``; one set of contract tests holds for all. A service opens one short
transaction, never calls the network inside it, and is told the time and the ids it uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

from scheduler.core.facts import Fact, FactBody
from scheduler.core.records import Record

R = TypeVar("R", bound=Record)


class Where(NamedTuple):
    """One condition: ``field`` ``op`` ``value``; op is one of ``= != < <= > >= in``.

    For ``in`` the value is a tuple (an empty one matches nothing). Enums are given as themselves.
    """

    field: str
    op: str
    value: object


class Reader(Protocol):
    """A consistent view: everything read through one Reader is of one instant."""

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with this primary key (in the order of ``kind.KEY``), or None."""

    def select(self, kind: type[R], *where: Where, order: Sequence[str] = (), limit: int = 1_000) -> list[R]:
        """At most ``limit`` records that meet all conditions, by ``order`` (``-field`` descends), ties by key."""

    def count(self, kind: type[R], *where: Where) -> int:
        """How many records meet all conditions."""

    def total(self, kind: type[R], field: str, *where: Where) -> int:
        """Sum of an integer field over the records that meet all conditions; 0 over none."""

    def totals(
        self, kind: type[R], fields: Sequence[str], by: Sequence[str], *where: Where
    ) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Sums of integer fields for each combination of the text fields ``by``, over the records that meet all."""

    def facts(self, after_seq: int, limit: int = 10_000, kinds: Sequence[str] = ()) -> list[Fact]:
        """Facts with a larger sequence, in order, none that could still be overtaken by an earlier one.

        kinds: only facts of these kinds, at most ten of them; empty for all.
        """

    def fact(self, seq: int) -> Fact | None:
        """The committed fact of this sequence, whatever may still come before it; None when there is none."""


class Writer(Reader, Protocol):
    """One transaction: commits when its block ends, rolls back when the block raises."""

    def add(self, record: Record) -> None:
        """Insert; raises DuplicateRecord when the key (or a unique field) is taken."""

    def add_new(self, record: Record) -> bool:
        """Insert unless the key is taken; True when it was inserted, False when it was there."""

    def change(self, record: Record, *, version: int) -> bool:
        """Replace the record with this key if its stored version is ``version``; the stored one becomes version + 1.

        False when it is gone or has another version: nothing was written and the caller drops its step.
        Raises ConstraintBroken when a table's rule refuses it (illegal lifecycle step, held > healthy).
        """

    def append(self, body: FactBody, at_ms: int) -> int:
        """Append a fact and return its sequence."""

    def next_number(self, counter: str) -> int:
        """The next number of a gapless counter, from 1; locked until the transaction ends."""

    def fence(self, lease: str, epoch: int) -> None:
        """Raise StaleEpoch unless ``epoch`` is the lease's current epoch; locks the lease's row until the end."""


class Store(Protocol):
    """A database: short read views and short write transactions."""

    def read(self) -> AbstractContextManager[Reader]:
        """A consistent read view; does not block writers."""

    def write(self) -> AbstractContextManager[Writer]:
        """A write transaction. Conflicts with other writers wait or raise Retry, never corrupt."""


class PackageStore(Protocol):
    """Content-addressed zips of work directories; never unpacked by the control plane."""

    def put(self, sha256: str, content: bytes) -> bool:
        """Keep the bytes under their SHA-256; True when they are new. Raises Fatal when the sum is another."""

    def get(self, sha256: str) -> bytes | None:
        """The bytes, or None."""


class LogStore(Protocol):
    """Logs of attempts, appended by offset so that a repeated append changes nothing."""

    def append(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Write at ``offset`` if it is the present length (or inside it); returns the length after it.

        A later offset is refused by returning the present length: the sender continues from there.
        """

    def read(self, job: str, attempt: int, rank: int, offset: int, limit: int) -> bytes:
        """At most ``limit`` bytes from ``offset``; empty when there is nothing there."""

    def size(self, job: str, attempt: int, rank: int) -> int:
        """Length in bytes; 0 when there is none."""


class ArtifactStore(LogStore, Protocol):
    """Files that attempts hand over, by number within an attempt; appended as logs are."""

    def sha256(self, job: str, attempt: int, number: int) -> str:
        """The sum of what there is, of nothing when there is none."""

    def discard(self, job: str, attempt: int, number: int) -> None:
        """Throw it away; none is no error."""


class Ids(Protocol):
    """Source of new ids: at most 12 characters of lower-case base32."""

    def new(self) -> str:
        """A fresh id."""


class Renderer(Protocol):
    """Makes PDFs of invoices and credit notes; the same text and name give the same bytes."""

    @property
    def name(self) -> str:
        """What makes them, in so many words that other bytes have another name; "" where none can be made."""

    def pdf(self, text: str, lang: str) -> bytes:
        """The PDF of a canonical text in a language; raises ValueError for a text that is no document."""


class Witness(Protocol):
    """The second opinion on usage: what Prometheus saw."""

    def compare(self, org: str, ledger_milli_gpu_ms: int, since_ms: int, until_ms: int) -> tuple[bool, str]:
        """Whether the organisation's billed usage is what was seen, within a limit, and a sentence with both.

        Raises Retry or Fatal when it cannot be asked.
        """
