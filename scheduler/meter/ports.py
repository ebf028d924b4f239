"""What the exporter needs of a store: the same consistent read views that the services read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from scheduler.core.facts import Fact
from scheduler.core.records import Record

R = TypeVar("R", bound=Record)
Condition = tuple[str, str, object]
"""Field, operator, value."""


class View(Protocol):
    """Everything read through one view is of one instant."""

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with this primary key, or None."""

    def select(self, kind: type[R], *where: Condition, order: Sequence[str] = (), limit: int = 1_000) -> list[R]:
        """At most ``limit`` records that meet all conditions, by ``order`` (``-field`` descends)."""

    def count(self, kind: type[R], *where: Condition) -> int:
        """How many records meet all conditions."""

    def total(self, kind: type[R], field: str, *where: Condition) -> int:
        """Sum of an integer field over the records that meet all conditions."""

    def totals(
        self, kind: type[R], fields: Sequence[str], by: Sequence[str], *where: Condition
    ) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Sums of integer fields for each combination of the text fields ``by``."""

    def facts(self, after_seq: int, limit: int = 10_000, kinds: Sequence[str] = ()) -> list[Fact]:
        """Facts with a larger sequence, in order."""

    def fact(self, seq: int) -> Fact | None:
        """The committed fact of this sequence; None when there is none."""


class Views(Protocol):
    """A store that can be read."""

    def read(self) -> AbstractContextManager[View]:
        """A consistent read view; does not block writers."""
