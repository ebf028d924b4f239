"""A closed period with two invoices on the small control plane, for tests of what comes after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scheduler.core.units import MS_PER_HOUR
from scheduler.services import periods
from scheduler.store.memory import MemoryStore
from scheduler.store.memory.table import Table
from tests.support.control_plane import ControlPlane

ACME, UNI = "DURE-2026-000001", "DURE-2026-000002"


def close_an_hour(plane: ControlPlane) -> None:
    """One hour of two GPUs for acme and of one for uni, in a closed period with two invoices."""
    first, second = plane.started(gpus="h100:2"), plane.started("stranger", project="uni/vision", tiers=["borrow"])
    plane.pass_ms(MS_PER_HOUR)
    plane.ended(first)
    plane.ended(second)
    plane.settle()
    periods.close_period(plane.store, plane.policies, plane.actor(), "", plane.now_ms)
    assert plane.settle().closed == ("manual-0001",)


def second_admin(plane: ControlPlane) -> None:
    """Another administrator, who may approve what the first one proposes."""
    plane.add_member("second", "admin", "all")


def forge(store: MemoryStore, kind: type[Any], change: Callable[[Any], Any]) -> None:
    """Replace rows behind the store's back, as somebody with the database's password could."""
    forged: Table[Any] = Table(kind)
    for key, row in store._tables[kind].rows.items():
        fresh = change(row)
        if fresh is not None:
            forged.put(key, fresh)
    store._tables[kind] = forged
