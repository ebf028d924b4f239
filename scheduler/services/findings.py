"""Findings are kept once: the id is made from what was found, so that finding it again writes nothing."""

from __future__ import annotations

from scheduler.core.codec import sha256_hex
from scheduler.core.records import FindingRecord
from scheduler.services.ports import Writer


def note(tx: Writer, code: str, subject: str, message: str, now_ms: int) -> None:
    """Keep a finding about ``subject`` unless the same one is there already."""
    identity = sha256_hex(f"{code}|{subject}|{message}")[:32]
    tx.add_new(FindingRecord(id=identity, code=code, subject=subject, message=message, at_ms=now_ms))
