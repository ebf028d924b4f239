"""Prometheus as the second opinion on one organisation's usage."""

from __future__ import annotations

from collections.abc import Callable

from scheduler.core.units import PPM_ONE, format_ppm
from scheduler.meter.promql import PromQL
from scheduler.meter.reconcile import COUNTER, TOLERANCE_PPM, GapLine, seen_by_org, step_ms

TIMEOUT_SECONDS = 10.0


class PrometheusWitness:
    """Asks one Prometheus; nothing is open between two questions."""

    def __init__(self, url: str, ask: Callable[..., PromQL] = PromQL) -> None:
        """``url`` is the base address; ``ask`` makes the client."""
        self._url = url
        self._ask = ask

    def compare(self, org: str, ledger_milli_gpu_ms: int, since_ms: int, until_ms: int) -> tuple[bool, str]:
        """Whether ledger and Prometheus agree on the organisation's billed usage in [since, until), and in words.

        Raises Retry or Fatal when Prometheus cannot be asked.
        """
        with self._ask(self._url, timeout_seconds=TIMEOUT_SECONDS) as prometheus:
            selector = f'{COUNTER}{{org="{org}"}}'
            series = prometheus.query_range(selector, since_ms, until_ms, step_ms(since_ms, until_ms))
        line = GapLine(org, ledger_milli_gpu_ms, seen_by_org(series, since_ms).get(org, 0))
        return line.holds, gap_text(line)


def gap_text(line: GapLine) -> str:
    """The gap in per cent of the ledger, with its limit: ``+0.21 % (limit 1 %, or 0.1 GPU-hours)``."""
    if not line.ledger_milli_gpu_ms:
        return "nothing billed, nothing seen" if not line.seen_milli_gpu_ms else "nothing billed, and usage was seen"
    ppm = line.gap_milli_gpu_ms * PPM_ONE // line.ledger_milli_gpu_ms
    hundredths = abs(ppm) // 100
    gap = f"{'-' if ppm < 0 else '+'}{hundredths // 100}.{hundredths % 100:02d} %"
    return f"{gap} (limit {format_ppm(TOLERANCE_PPM * 100)} %, or 0.1 GPU-hours)"
