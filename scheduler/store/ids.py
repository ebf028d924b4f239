"""New ids for jobs and tokens."""

from __future__ import annotations

import base64
import secrets

ID_LENGTH = 12


class RandomIds:
    """Ids of 12 characters of lower-case base32: 60 random bits (services.ports.Ids)."""

    def new(self) -> str:
        """A fresh id; a repeat is as likely as guessing 60 bits, and the store's key refuses it."""
        return base64.b32encode(secrets.token_bytes(8)).decode().lower()[:ID_LENGTH]
