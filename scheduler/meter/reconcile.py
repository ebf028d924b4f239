"""The ledger against the second opinion: billed GPU-seconds against what Prometheus saw run, by organisation. Pure.

Prometheus misses what ran between a rank's start and the first scrape after it, while the operator or Prometheus was
down, and it counts ranks that wait for the rest of their gang; so the two agree within a tolerance, never exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from scheduler.core.errors import Finding
from scheduler.core.units import MILLI_GPU_MS_PER_GPU_HOUR, MILLI_GPU_MS_PER_GPU_SECOND, PPM_ONE
from scheduler.meter.promql import POINTS_MAX, Series

COUNTER = "dure_gpu_seconds_total"
STEP_LEAST_MS = 1_000
TOLERANCE_PPM = 10_000
TOLERANCE_LEAST_MILLI_GPU_MS = MILLI_GPU_MS_PER_GPU_HOUR // 10
GAP = "DURE-6040"


@dataclass(frozen=True, slots=True)
class GapLine:
    """One organisation: what the ledger billed and what Prometheus saw, in milli-GPU-milliseconds."""

    org: str
    ledger_milli_gpu_ms: int
    seen_milli_gpu_ms: int

    @property
    def gap_milli_gpu_ms(self) -> int:
        """Ledger less Prometheus."""
        return self.ledger_milli_gpu_ms - self.seen_milli_gpu_ms

    @property
    def tolerance_milli_gpu_ms(self) -> int:
        """1 % of the larger side, at least 0.1 GPU-hours."""
        largest = max(self.ledger_milli_gpu_ms, self.seen_milli_gpu_ms)
        return max(TOLERANCE_LEAST_MILLI_GPU_MS, largest * TOLERANCE_PPM // PPM_ONE)

    @property
    def holds(self) -> bool:
        """Whether the gap is within tolerance."""
        return abs(self.gap_milli_gpu_ms) <= self.tolerance_milli_gpu_ms


def step_ms(since_ms: int, until_ms: int) -> int:
    """The finest step that keeps one answer of Prometheus in bounds: whole seconds, at least one."""
    least = -(-(until_ms - since_ms) // (POINTS_MAX - 1))
    return max(STEP_LEAST_MS, -(-least // 1_000) * 1_000)


def growth(points: Iterable[tuple[int, Decimal]], since_ms: int) -> Decimal:
    """How much a counter rose from ``since_ms`` on, given its values in order of time.

    A series that is not there at ``since_ms`` began at 0 later; a fall is a restart from 0.
    """
    total, before = Decimal(0), None
    for at_ms, value in points:
        if before is None:
            total += Decimal(0) if at_ms <= since_ms else value
        else:
            total += value - before if value >= before else value
        before = value
    return total


def seen_by_org(series: Iterable[Series], since_ms: int) -> dict[str, int]:
    """Milli-GPU-milliseconds by the label ``org`` of the operators' counters."""
    found: dict[str, int] = {}
    for item in series:
        org = item.labels.get("org", "")
        found[org] = found.get(org, 0) + int(growth(item.points, since_ms) * MILLI_GPU_MS_PER_GPU_SECOND)
    return found


def compare(ledger: Mapping[str, int], seen: Mapping[str, int]) -> list[GapLine]:
    """One line for each organisation on either side, by name."""
    return [GapLine(org, ledger.get(org, 0), seen.get(org, 0)) for org in sorted(set(ledger) | set(seen))]


def gap_findings(lines: Iterable[GapLine]) -> list[Finding]:
    """A finding for each organisation whose gap is above the tolerance."""
    return [
        Finding(
            line.org,
            GAP,
            f"the ledger has {_hours(line.ledger_milli_gpu_ms)} GPU-hours and Prometheus saw"
            f" {_hours(line.seen_milli_gpu_ms)}; at most {_hours(line.tolerance_milli_gpu_ms)} apart are expected",
            "look for times in which the operator or Prometheus was down: the ledger is the truth",
        )
        for line in lines
        if not line.holds
    ]


def _hours(milli_gpu_ms: int) -> str:
    return f"{Decimal(milli_gpu_ms) / MILLI_GPU_MS_PER_GPU_HOUR:.3f}"
