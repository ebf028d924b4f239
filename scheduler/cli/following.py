"""Follow a job's output by polling: every byte once, in order, through all attempts, until the job has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scheduler.cli.tables import ENDED
from scheduler.core.errors import Retry

if TYPE_CHECKING:
    from scheduler.cli.session import Session
    from scheduler.client.http import Client, LogChunk

POLL_FIRST_SECONDS = 0.5
POLL_MAX_SECONDS = 2.0
QUIET_POLLS_AFTER_END = 2
"""The last bytes may arrive just after the end: as many empty looks are made before the output counts as whole."""
SILENCE_SECONDS_MAX = 300
FOLLOW_SECONDS_MAX = 90 * 86_400
CHUNKS_MAX = 1_000_000


class Follower:
    """One job's output from the beginning."""

    def __init__(
        self, client: Client, write: Callable[[bytes], None], session: Session, job: str, rank: int, attempt: int
    ) -> None:
        """``job`` is its id: a name could come to mean another job. ``attempt`` 0: the newest and those after."""
        self._client = client
        self._write = write
        self._session = session
        self._job = job
        self._rank = rank
        self._only = attempt
        self._attempt = attempt
        self._offset = 0

    def _look(self, attempt: int) -> LogChunk:
        return self._client.log(self._job, attempt=attempt, rank=self._rank, offset=self._offset)

    def _take(self, chunk: LogChunk) -> None:
        self._write(chunk.content)
        self._offset += len(chunk.content)

    def _drain(self, attempt: int) -> LogChunk:
        """Print what there is of an attempt; returns the last look."""
        chunk = self._look(attempt)
        for _ in range(CHUNKS_MAX):
            self._take(chunk)
            if not chunk.content or self._offset >= chunk.size:
                break
            chunk = self._look(chunk.attempt)
        return chunk

    def print_once(self) -> None:
        """Print what there is now."""
        chunk = self._drain(self._only)
        if self._offset == 0:
            self._session.talk(f"no output yet; the job is {chunk.job_state}")

    def follow(self, seconds: int | None) -> str:
        """Print until the job has ended or the time is over; returns the job's state. Raises Retry after a silence."""
        now_ms = self._session.now_ms
        deadline_ms = now_ms() + (FOLLOW_SECONDS_MAX if seconds is None else seconds) * 1_000
        heard_ms, pause, quiet, state, waiting = now_ms(), POLL_FIRST_SECONDS, 0, "", False
        while True:
            before = self._offset, self._attempt
            try:
                chunk = self._step()
            except Retry as error:
                if now_ms() - heard_ms > SILENCE_SECONDS_MAX * 1_000 or now_ms() >= deadline_ms:
                    raise
                self._session.talk(f"{error.message}; trying again")
                self._session.wait(POLL_MAX_SECONDS)
                continue
            heard_ms, state = now_ms(), chunk.job_state
            moved = (self._offset, self._attempt) != before
            quiet = 0 if moved else quiet + 1
            if quiet >= QUIET_POLLS_AFTER_END and self._over(state):
                return state
            if now_ms() >= deadline_ms:
                return state
            if not chunk.attempt and not waiting and state not in ENDED:
                waiting = True
                self._session.talk(f"the job is {state} and has no output yet; why: dure why {self._job}")
            pause = POLL_FIRST_SECONDS if moved else min(POLL_MAX_SECONDS, pause * 2)
            self._session.wait(pause)

    def _step(self) -> LogChunk:
        chunk = self._look(self._only)
        if self._attempt and chunk.attempt != self._attempt:
            self._drain(self._attempt)  # what the attempt before still wrote
        if chunk.attempt != self._attempt:
            if self._attempt:
                self._session.talk(f"-- attempt {chunk.attempt}")
            self._attempt, self._offset = chunk.attempt, 0
        return self._drain(self._attempt)

    def _over(self, state: str) -> bool:
        """Whether nothing more can come: the job has ended, or the one attempt that is followed has."""
        if state in ENDED or not self._only:
            return state in ENDED
        job = self._client.job(self._job)
        return job.attempt > self._only or job.attempt_state == "Gone"
