"""Bodies of the fairness report (docs/decisions/0012)."""

from __future__ import annotations

from typing import Literal

from scheduler.schema.body_base import Answer, Body

FairnessView = Literal["whole", "public"]


class FairnessShare(Body):
    """Entitlement against receipt of one tree node; amounts are milli-GPU-milliseconds of exchange rate 1.

    Where ``suppressed`` is true every figure is null: it is about too few organisations, or would give away one
    that is.
    """

    tree_node: str
    level: str
    suppressed: bool
    organisations: int | None
    """Organisations that asked for anything."""
    demand_milli_gpu_ms: int | None
    """What ran or waited."""
    guaranteed_milli_gpu_ms: int | None
    """The part of the demand that the guarantee covered."""
    entitled_milli_gpu_ms: int | None
    """The fair share among those who asked, hour by hour."""
    held_milli_gpu_ms: int | None
    """What was received."""
    billed_milli_gpu_ms: int | None
    received_ppm: int | None
    """Held of entitled."""
    capacity_ppm: int | None
    """Held of the pool's capacity."""
    evictions: int | None
    jain_ppm: int | None
    """Jain's index over the organisations below; null below a class."""
    gini_ppm: int | None
    """Gini's coefficient over the organisations below; null below a class."""


class FairnessWait(Body):
    """Waits from submission to the first start, of one class ("" for all) and size of gang ("" for all)."""

    class_name: str
    size: str
    """GPUs: ``1``, ``2-8``, ``9-32``, ``33+``."""
    suppressed: bool
    organisations: int | None
    jobs: int | None
    waiting: int | None
    """Jobs that still wait at the end."""
    withdrawn: int | None
    """Jobs that ended without having started."""
    p50_ms: int | None
    p50_at_least: bool
    """The percentile may be larger: waits below it are not over."""
    p95_ms: int | None
    p95_at_least: bool


class FairnessDay(Body):
    """One Korean day of the pool."""

    date: str
    capacity_milli_gpu_ms: int
    suppressed: bool
    held_milli_gpu_ms: int | None
    used_ppm: int | None


class FairnessPoint(Body):
    """A point of the Lorenz curve: so many of the organisations, worst served first, have so much of all."""

    organisations_ppm: int
    received_ppm: int


class FairnessBody(Answer):
    """The fairness report of a time."""

    kind: Literal["FairnessReport"] = "FairnessReport"
    view: FairnessView
    period: str
    """The billing period, or ""."""
    state: str
    """``open``, ``closing`` or ``closed``; "" where it is no billing period."""
    since: str
    until: str
    """Exclusive; not after the instant of the report."""
    least_organisations: int
    """A public figure is about at least so many; 1 in the whole view."""
    policy_versions: list[int]
    unposted_milli_gpu_ms: int | None
    """Held, and not in the ledger yet; null in the public view."""
    shares: list[FairnessShare]
    waits: list[FairnessWait]
    days: list[FairnessDay]
    lorenz: list[FairnessPoint]
