"""Supervisors that live and show no sign of life: they would hold back everybody's watermark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from operators.local.attempts import Seen

SILENT_MS_MAX = 300_000
SILENT_LOOKS_MIN = 30


class _Since(NamedTuple):
    """The last sign of life (a line, or the record's time of change), and how often and since when it is the same."""

    sign: tuple[int, int]
    looks: int
    at_ms: int


class Silence:
    """Remembers each living supervisor's last sign of life.

    Looks are counted too, so that a machine that slept is not taken for a supervisor that hangs. One that finds no
    room for its lines touches its record, so a full disk is no silence either.
    """

    def __init__(self) -> None:
        """Nobody has been seen yet."""
        self._since: dict[str, _Since] = {}

    def overdue(self, seen: Iterable[Seen], now_ms: int) -> Iterator[Seen]:
        """Of one look's attempts, those that have been silent too long."""
        since: dict[str, _Since] = {}
        for item in seen:
            if not item.is_live:
                continue
            sign = (item.record.last_seq, item.touched_ns)
            last = self._since.get(item.folder.name)
            if last is None or last.sign != sign:
                last = _Since(sign, 0, now_ms)
            since[item.folder.name] = last._replace(looks=last.looks + 1)
            if last.looks >= SILENT_LOOKS_MIN and now_ms - last.at_ms >= SILENT_MS_MAX:
                yield item
        self._since = since
