"""Leases choose the one writer; the epoch they hand out fences every write it makes (DESIGN section 1)."""

from __future__ import annotations

from scheduler.core.errors import DuplicateRecord
from scheduler.core.records import LeaseRecord
from scheduler.services.ports import Store

LEASE_MS = 15_000


def acquire(store: Store, name: str, holder: str, now_ms: int, lease_ms: int = LEASE_MS) -> int | None:
    """The holder's epoch if it has, extends or takes the lease now; None while another holds it.

    Writes only when the lease is taken or more than half of it has passed, so a quiet holder is quiet.
    """
    with store.read() as view:
        lease = view.get(LeaseRecord, name)
    mine = lease is not None and lease.holder == holder and lease.expires_at_ms > now_ms
    if lease is not None and mine and lease.expires_at_ms - now_ms > lease_ms // 2:
        return lease.epoch
    if lease is not None and not mine and lease.expires_at_ms > now_ms:
        return None
    expires_at_ms = now_ms + lease_ms
    if lease is None:
        fresh = LeaseRecord(name=name, holder=holder, epoch=1, expires_at_ms=expires_at_ms)
        try:
            with store.write() as tx:
                tx.add(fresh)
        except DuplicateRecord:
            return None
        return fresh.epoch
    epoch = lease.epoch if mine else lease.epoch + 1
    taken = LeaseRecord(name=name, holder=holder, epoch=epoch, expires_at_ms=expires_at_ms)
    with store.write() as tx:
        return epoch if tx.change(taken, version=lease.version) else None
