"""Reports made from a few words, for tests: who asked, held and waited, hour by hour."""

from __future__ import annotations

from scheduler.core.effective import EffectivePolicy, Limits
from scheduler.core.fairness.hours import HourSums, Span
from scheduler.core.fairness.report import Inputs, Line
from scheduler.core.fairness.waits import Wait
from scheduler.core.model import Flavor
from scheduler.core.tree import Tree
from scheduler.core.units import MS_PER_HOUR

F = "h100-80g"
START_MS = 1_790_000_000_000 // MS_PER_HOUR * MS_PER_HOUR
GPU_HOUR = 1_000 * MS_PER_HOUR


def policy(tree: Tree, exchange_ppm: int = 1_000_000, version: int = 1) -> EffectivePolicy:
    """A policy of one flavor; only flavors, tree and version matter here."""
    return EffectivePolicy(
        policy_version=version,
        registry_seq=1,
        policy_name="test",
        timezone="Asia/Seoul",
        flavors={F: Flavor(F, exchange_ppm)},
        tiers={},
        half_life_ms=1,
        limits=Limits(1, 1, 1, 1, 1, 1),
        tree=tree,
        class_prices={},
        rate_card="card",
        calendar="month",
        vat_ppm=0,
    )


def inputs(
    use: dict[str, tuple[int, int]],
    *,
    tree: Tree | None = None,
    gpus: int = 10,
    hours: int = 1,
    exchange_ppm: int = 1_000_000,
    waits: tuple[Wait, ...] = (),
    evictions: tuple[str, ...] = (),
) -> Inputs:
    """use: path of a project -> (GPUs held, GPUs waited for), all the time."""
    span = Span(START_MS, START_MS + hours * MS_PER_HOUR)
    held, billed, waiting = (HourSums[Line](span) for _ in range(3))
    capacity: HourSums[str] = HourSums(span)
    capacity.add(F, span.since_ms, span.until_ms, gpus * 1_000)
    for path, (used, queued) in use.items():
        held.add(Line(path, F), span.since_ms, span.until_ms, used * 1_000)
        billed.add(Line(path, F), span.since_ms, span.until_ms, used * 1_000)
        waiting.add(Line(path, F), span.since_ms, span.until_ms, queued * 1_000)
    in_force = policy(tree or Tree(()), exchange_ppm)
    return Inputs(
        span=span,
        held=held,
        billed=billed,
        waiting=waiting,
        capacity=capacity,
        policies=[in_force] * hours,
        waits=waits,
        evictions=evictions,
    )
