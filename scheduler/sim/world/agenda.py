"""Virtual time: what happens next, by instant and then by order of arrival. Nothing here knows a real clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Agenda:
    """A heap of (instant, arrival, action); running it moves the one clock of the world."""

    def __init__(self, start_ms: int, actions_max: int) -> None:
        """actions_max: after so many actions every run ends; it bounds a world that never calms down."""
        self.now_ms = start_ms
        self.done = 0
        self._actions_max = actions_max
        self._arrivals = 0
        self._heap: list[tuple[int, int, Action]] = []

    @property
    def is_spent(self) -> bool:
        """Whether the bound on actions is reached."""
        return self.done >= self._actions_max

    def stop(self) -> None:
        """Nothing more is done."""
        self._actions_max = self.done

    def at(self, at_ms: int, action: Action) -> None:
        """Do something at an instant, or now when that has passed."""
        self._arrivals += 1
        heapq.heappush(self._heap, (max(at_ms, self.now_ms), self._arrivals, action))

    def run_until(self, until_ms: int) -> None:
        """Do everything due up to an instant, then let the clock stand there.

        An action may call this again: it is then paused in the middle of its work while the world goes on.
        """
        while self._heap and self._heap[0][0] <= until_ms and not self.is_spent:
            at_ms, _, action = heapq.heappop(self._heap)
            self.now_ms = max(self.now_ms, at_ms)
            self.done += 1
            action()
        self.move_to(until_ms)

    def move_to(self, at_ms: int) -> None:
        """Let the clock stand at a later instant; an earlier one changes nothing."""
        self.now_ms = max(self.now_ms, at_ms)
