"""Live progress: a line whenever something changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

ENDED = ("Succeeded", "Failed", "Cancelled")


class Watch:
    """Remembers what it has shown of each job."""

    def __init__(self, say: Callable[[str], None], gpus_total: int) -> None:
        self._say = say
        self._gpus_total = gpus_total
        self._shown: dict[str, str] = {}
        self._started = time.monotonic()

    def show(self, jobs: Sequence[dict[str, Any]]) -> None:
        """Say which jobs changed, and how full the pool is."""
        news = []
        for job in sorted(jobs, key=lambda job: str(job["submitted_at"])):
            state = job["attempt_state"] if job["state"] == "Active" else job["state"]
            tier = f" ({job['tier']})" if job["state"] == "Active" else ""
            if self._shown.get(job["id"]) != state:
                self._shown[job["id"]] = state
                news.append(f"{job['name']} {state}{tier}")
        if news:
            queued = sum(job["state"] == "Queued" for job in jobs)
            seconds = round(time.monotonic() - self._started)
            counts = f"{queued} wait, {self.held(jobs)}/{self._gpus_total} GPUs held, {self.ended(jobs)} ended"
            self._say(f"  {seconds:>4} s  {counts}: {', '.join(news)}")

    @staticmethod
    def held(jobs: Sequence[dict[str, Any]]) -> int:
        """GPUs that active jobs hold."""
        return sum(int(job["gpus"]) for job in jobs if job["state"] == "Active")

    @staticmethod
    def ended(jobs: Sequence[dict[str, Any]]) -> int:
        """How many jobs are in a final state."""
        return sum(job["state"] in ENDED for job in jobs)

    def waits_on_full_pool(self, jobs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        """A job that waits while at least three quarters of the GPUs are held; the widest, for it has most to tell."""
        waiting = [job for job in jobs if job["state"] == "Queued"]
        if not waiting or 4 * self.held(jobs) < 3 * self._gpus_total:
            return None
        return max(waiting, key=lambda job: (int(job["gpus"]), str(job["submitted_at"])))
