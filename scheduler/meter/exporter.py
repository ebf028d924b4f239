"""The control plane's series, computed from the read model when somebody scrapes: bounded labels, a short cache."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from scheduler.core.lifecycle import TERMINAL_JOB_STATES, AttemptState, JobState
from scheduler.core.records import AttemptRecord, JobRecord, NodeRecord, OrgRecord, SliceRecord
from scheduler.core.units import MILLI_GPU_MS_PER_GPU_SECOND
from scheduler.meter.ports import Condition, View, Views

LOG = logging.getLogger("dure.meter")

CACHE_SECONDS = 2.0
LIVE_MAX = 100_000
NODES_MAX = 100_000
QUEUED_MAX = 20_000
ORGS_MAX = 1_000
"""Organisations with a label of their own; the others are summed under OTHER."""
SLICES_A_SCRAPE = 200_000
OTHER = "other"
CYCLE_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

WAITING_STATES = tuple(state for state in JobState if state not in TERMINAL_JOB_STATES | {JobState.ACTIVE})

Reasons = Callable[[View], Callable[[JobRecord], str]]
T = TypeVar("T")


class CycleTimes:
    """How long cycles think, and when loops last succeeded; written by the loops' drivers, thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets = [0] * (len(CYCLE_BUCKETS_SECONDS) + 1)
        self._sum_us = 0
        self._success_ms: dict[str, int] = {}

    def cycle(self, duration_us: int) -> None:
        """A cycle has decided."""
        seconds = duration_us / 1_000_000
        place = next((i for i, most in enumerate(CYCLE_BUCKETS_SECONDS) if seconds <= most), len(CYCLE_BUCKETS_SECONDS))
        with self._lock:
            self._buckets[place] += 1
            self._sum_us += duration_us

    def success(self, loop: str, at_ms: int) -> None:
        """A loop's step has ended well."""
        with self._lock:
            self._success_ms[loop] = at_ms

    def families(self) -> Iterator[Metric]:
        """The histogram and the instants."""
        with self._lock:
            counts, total_us, success_ms = list(self._buckets), self._sum_us, sorted(self._success_ms.items())
        buckets, below = [], 0
        for most, count in zip([*map(str, CYCLE_BUCKETS_SECONDS), "+Inf"], counts, strict=True):
            below += count
            buckets.append((most, below))
        histogram = HistogramMetricFamily("dure_cycle_duration_seconds", "Time a cycle of the allocator thinks")
        histogram.add_metric([], buckets, total_us / 1_000_000)
        last = GaugeMetricFamily("dure_cycle_last_success_timestamp_seconds", "When the allocator last ran well")
        loops = GaugeMetricFamily(
            "dure_loop_last_success_timestamp_seconds", "When a loop last ran well", labels=["loop"]
        )
        for name, at_ms in success_ms:
            loops.add_metric([name], at_ms / 1_000)
            if name == "allocator":
                last.add_metric([], at_ms / 1_000)
        yield from (histogram, last, loops)


class LedgerTotals:
    """Billed GPU-seconds of every posted slice; each scrape reads only what is new since the one before."""

    def __init__(self) -> None:
        self._after_seq = 0
        self._complete = False
        self._sums: Counter[tuple[str, str, str, str]] = Counter()

    def family(self, view: View) -> CounterMetricFamily:
        """The counter; without samples until everything posted so far has been read once."""
        found = view.select(
            SliceRecord, ("ledger_seq", ">", self._after_seq), order=("ledger_seq",), limit=SLICES_A_SCRAPE
        )
        if len(found) == SLICES_A_SCRAPE:
            # The last transaction may have more slices than were read: it is read again as a whole.
            found = [part for part in found if part.ledger_seq < found[-1].ledger_seq]
        else:
            self._complete = True
        for part in found:
            self._sums[part.org, part.project, part.flavor, str(part.tier)] += part.billed_milli_gpu_ms
        if found:
            self._after_seq = found[-1].ledger_seq
        text = "Billed GPU-seconds in the ledger"
        family = CounterMetricFamily("dure_ledger_gpu_seconds", text, labels=["org", "project", "flavor", "tier"])
        if self._complete:
            named = bounded_orgs(org for org, *_ in self._sums)
            sums: Counter[tuple[str, ...]] = Counter()
            for (org, project, *rest), billed in self._sums.items():
                sums[(org, project, *rest) if org in named else (OTHER, OTHER, *rest)] += billed
            for labels, billed in sorted(sums.items()):
                family.add_metric(labels, billed / MILLI_GPU_MS_PER_GPU_SECOND)
        return family


class Exporter(Collector):
    """Collects everything from one read view; a failing database drops the series of that scrape, not the scrape."""

    def __init__(
        self,
        store: Views,
        reasons: Reasons,
        version: str,
        times: CycleTimes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``reasons`` gives, for a view, the first reason of each queued job."""
        self._store, self._reasons, self._version, self._times = store, reasons, version, times
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._ledger = LedgerTotals()
        self._cached: tuple[float, list[Metric]] = (float("-inf"), [])

    def describe(self) -> Iterator[Metric]:
        """Nothing: names are not checked against other collectors before the database is there."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """All families."""
        build = GaugeMetricFamily("dure_build_info", "Version of the control plane", labels=["version"])
        build.add_metric([self._version], 1)
        yield build
        yield from self._times.families()
        yield from self._from_database()

    def _from_database(self) -> list[Metric]:
        with self._lock:
            made_at, families = self._cached
            now = self._monotonic()
            if now - made_at < CACHE_SECONDS:
                return families
            up = GaugeMetricFamily("dure_exporter_database_up", "Whether this scrape could read the database")
            try:
                with self._store.read() as view:
                    families = [*self._read(view)]
                up.add_metric([], 1)
            except Exception:
                LOG.exception("the database could not be read for a scrape")
                families = []
                up.add_metric([], 0)
            self._cached = (now, [*families, up])
            return self._cached[1]

    def _read(self, view: View) -> Iterator[Metric]:
        orgs = view.select(OrgRecord, order=("name",), limit=LIVE_MAX)
        live = view.select(AttemptRecord, ("state", "!=", AttemptState.GONE), limit=LIVE_MAX)
        class_of = {org.name: org.class_name for org in orgs}
        yield jobs_family(view, sorted(set(class_of.values())), class_of, live)
        yield pool_family(view)
        yield held_family(live)
        yield waiting_family(view, self._reasons(view))
        yield self._ledger.family(view)


def bounded_orgs(names: Iterable[str]) -> frozenset[str]:
    """The organisations that get a label of their own."""
    return frozenset(sorted(set(names))[:ORGS_MAX])


def jobs_family(view: View, classes: list[str], class_of: dict[str, str], live: list[AttemptRecord]) -> Metric:
    """Jobs that have not ended by state and class; active ones by the tier of their attempt, the others with tier "".

    Those that have ended only grow in number: counting them would read every job there ever was at each scrape.
    """
    text = "Jobs that have not ended, by state, class and tier"
    family = GaugeMetricFamily("dure_jobs", text, labels=["state", "class", "tier"])
    for state in WAITING_STATES:
        for name in classes:
            where: tuple[Condition, ...] = (("state", "=", state), ("class_name", "=", name))
            family.add_metric([str(state), name, ""], view.count(JobRecord, *where))
    active = Counter((class_of.get(attempt.org, OTHER), str(attempt.tier)) for attempt in live)
    for (name, tier), count in sorted(active.items()):
        family.add_metric([str(JobState.ACTIVE), name, tier], count)
    return family


def pool_family(view: View) -> Metric:
    """GPUs by cluster, flavor and state; a node's states add up to what is registered, or held if that is more."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for node in view.select(NodeRecord, limit=NODES_MAX):
        usable = max(0, node.healthy - node.held)
        parts = {
            "held": node.held,
            "free": usable if node.schedulable else 0,
            "cordoned": 0 if node.schedulable else usable,
            "unhealthy": max(0, node.registered - node.held - usable),
        }
        for state, gpus in parts.items():
            sums[node.cluster, node.flavor, state] += gpus
    text = "GPUs by what they do: held, free, cordoned or unhealthy"
    family = GaugeMetricFamily("dure_pool_gpus", text, labels=["cluster", "flavor", "state"])
    for labels, gpus in sorted(sums.items()):
        family.add_metric(labels, gpus)
    return family


def held_family(live: list[AttemptRecord]) -> Metric:
    """GPUs that live attempts hold, by organisation, flavor and tier."""
    named = bounded_orgs(attempt.org for attempt in live)
    sums: Counter[tuple[str, str, str]] = Counter()
    for attempt in live:
        sums[attempt.org if attempt.org in named else OTHER, attempt.flavor, str(attempt.tier)] += attempt.gpus
    text = "GPUs held, from admitted to proven gone"
    family = GaugeMetricFamily("dure_org_gpus_held", text, labels=["org", "flavor", "tier"])
    for labels, gpus in sorted(sums.items()):
        family.add_metric(labels, gpus)
    return family


def waiting_family(view: View, reason_of: Callable[[JobRecord], str]) -> Metric:
    """Queued jobs by their first reason and flavor; jobs that no cycle has seen yet have reason ""."""
    queued = view.select(JobRecord, ("state", "=", JobState.QUEUED), order=("submitted_seq",), limit=QUEUED_MAX)
    known: dict[tuple[object, ...], str] = {}
    sums: Counter[tuple[str, str]] = Counter()
    for job in queued:
        # Jobs of one user and shape wait for the same things; back-off after a failure is a job's own.
        shape = (job.org, job.project, job.user, job.flavor, job.nodes, job.gpus_per_node, job.tiers)
        own = (job.id,) if job.not_before_ms else shape
        if own not in known:
            known[own] = reason_of(job)
        sums[known[own], job.flavor] += 1
    text = "Queued jobs by the first reason why they wait"
    family = GaugeMetricFamily("dure_unadmitted_jobs", text, labels=["reason", "flavor"])
    for labels, count in sorted(sums.items()):
        family.add_metric(labels, count)
    return family


def make_registry(*collectors: Collector) -> CollectorRegistry:
    """A registry of these collectors and of the process's own series."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Everything in the registry as Prometheus's text."""
    return generate_latest(registry)
