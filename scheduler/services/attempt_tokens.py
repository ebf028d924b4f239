"""The token of one attempt: what its own processes may say about it, and nothing else.

It is made from a key of the control plane and the attempt's name, so every pull can tell it again and nothing of it is
stored. It is no token of a user: no other route takes it, and it ends with the attempt.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from scheduler.core.records import KeyRecord
from scheduler.services.ports import Store
from scheduler.services.tokens import Unauthenticated

KEY = "attempt-tokens"
PREFIX = "dureattempt"


@dataclass(frozen=True, slots=True)
class AttemptTokens:
    """Makes and reads tokens ``dureattempt_<job>_<attempt>_<HMAC-SHA256 in hexadecimal>`` under one key."""

    key: str

    def token(self, job: str, attempt: int) -> str:
        """The attempt's token."""
        return f"{PREFIX}_{job}_{attempt}_{self._seal(job, str(attempt))}"

    def read(self, header: str | None) -> tuple[str, int]:
        """(job, attempt) that an ``Authorization`` header speaks for; raises Unauthenticated."""
        scheme, _, token = (header or "").partition(" ")
        parts = token.strip().split("_")
        if scheme.lower() == "bearer" and len(parts) == 4 and parts[0] == PREFIX and parts[2].isascii():
            _, job, attempt, seal = parts
            if attempt.isdigit() and hmac.compare_digest(seal.encode(), self._seal(job, attempt).encode()):
                return job, int(attempt)
        raise Unauthenticated("DURE-4001", "an attempt's token is needed", "call this from inside the job")

    def _seal(self, job: str, attempt: str) -> str:
        return hmac.new(self.key.encode(), f"{job}/{attempt}".encode(), hashlib.sha256).hexdigest()


def attempt_tokens(store: Store, secret: str) -> AttemptTokens:
    """The tokens under the key that is stored; ``secret`` (256 random bits) becomes it where there is none yet."""
    with store.write() as tx:
        tx.add_new(KeyRecord(name=KEY, secret=secret))
        known = tx.get(KeyRecord, KEY)
    return AttemptTokens(known.secret if known else secret)
