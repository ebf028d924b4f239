"""The ledger against Prometheus, from outside: usage from the API, the operators' counters from Prometheus."""

from __future__ import annotations

from decimal import Decimal

from scheduler.client.http import Client
from scheduler.core.errors import Finding
from scheduler.core.units import MILLI_GPU_MS_PER_GPU_SECOND
from scheduler.meter.promql import PromQL
from scheduler.meter.reconcile import COUNTER, GapLine, compare, gap_findings, seen_by_org, step_ms
from scheduler.schema.times import rfc3339


def compare_usage(
    prometheus: str, server: str, token: str, since_ms: int, until_ms: int
) -> tuple[list[GapLine], list[Finding]]:
    """Lines and findings over [since, until). The token must read every organisation's usage.

    Usage belongs to the hour in which it began, so whole hours (or a time before and after everything) compare best.
    Raises Retry or Fatal when either side cannot be asked.
    """
    with Client(server, token) as client:
        usage = client.usage(since=rfc3339(since_ms), until=rfc3339(until_ms)).items
    ledger: dict[str, int] = {}
    for item in usage:
        ledger[item.org] = ledger.get(item.org, 0) + item.billed_milli_gpu_ms
    with PromQL(prometheus) as asked:
        series = asked.query_range(COUNTER, since_ms, until_ms, step_ms(since_ms, until_ms))
    lines = compare(ledger, seen_by_org(series, since_ms))
    return lines, gap_findings(lines)


def gap_text(line: GapLine) -> str:
    """A line for people: GPU-seconds on both sides, the gap, and whether it is within tolerance."""
    ledger, seen, gap = (
        f"{Decimal(amount) / MILLI_GPU_MS_PER_GPU_SECOND:.1f}"
        for amount in (line.ledger_milli_gpu_ms, line.seen_milli_gpu_ms, line.gap_milli_gpu_ms)
    )
    verdict = "within tolerance" if line.holds else "ABOVE TOLERANCE"
    return f"{line.org}: ledger {ledger} GPU-s, Prometheus {seen} GPU-s, gap {gap} GPU-s, {verdict}"
