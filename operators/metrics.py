"""The operator's own series: what really runs, sampled each tick. Never made from slices or the ledger.

They are the second opinion on usage: ``dure_gpu_seconds_total`` must agree with the ledger within a tolerance,
and can only do so honestly because nothing here has ever seen the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from operators.ports import Sample

LABELS = ("org", "project", "flavor", "tier")
GROUPS_MAX = 10_000
"""Sets of labels; usage beyond them is counted under OTHER."""
OTHER = ("other", "other", "other", "other")

Group = tuple[str, str, str, str]
Place = tuple[str, int, int]
"""Job, attempt, rank."""


@dataclass(slots=True)
class _Group:
    """Sums of one set of labels. half_gpu_ms: twice the GPU-milliseconds, so that halves of a tick stay whole."""

    running: int = 0
    half_gpu_ms: int = 0
    measured_gpus: int = 0
    utilisation_percent: int = 0
    memory_bytes: int = 0
    energy_mj: int = 0


@dataclass(slots=True)
class _Look:
    """What one tick saw."""

    running: dict[Place, tuple[Group, int]] = field(default_factory=dict)
    energy_mj: dict[Place, int] = field(default_factory=dict)


class RunningGpus(Collector):
    """Integrates running GPUs over the real time between ticks; thread-safe, made for one operator."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register with ``registry`` if one is given."""
        self._lock = threading.Lock()
        self._groups: dict[Group, _Group] = {}
        self._last = _Look()
        if registry is not None:
            registry.register(self)

    def observe(self, samples: Sequence[Sample], elapsed_ms: int) -> None:
        """Take in a tick's samples, ``elapsed_ms`` of real time after the tick before.

        A rank that ran at both ends ran all the time; one that began or ended in between counts half of it,
        which is right on average.
        """
        with self._lock:
            look = _Look()
            for group in self._groups.values():
                group.running = group.measured_gpus = group.utilisation_percent = group.memory_bytes = 0
            for sample in samples:
                # Those that do not run yet have a series already, at 0: nobody misses how it began to rise.
                name = self._name(sample)
                group = self._groups.setdefault(name, _Group())
                if sample.running:
                    self._take_in(sample, name, group, look)
            for place in self._last.running.keys() | look.running.keys():
                name, gpus = look.running.get(place) or self._last.running[place]
                ends = (place in self._last.running) + (place in look.running)
                self._groups[name].half_gpu_ms += gpus * elapsed_ms * ends
            self._last = look

    def _take_in(self, sample: Sample, name: Group, group: _Group, look: _Look) -> None:
        place = (sample.job, sample.attempt, sample.rank)
        look.running[place] = (name, sample.gpus)
        group.running += sample.gpus
        if sample.utilisation_percent is not None:
            group.measured_gpus += sample.gpus
            group.utilisation_percent += sample.utilisation_percent * sample.gpus
        if sample.memory_bytes is not None:
            group.memory_bytes += sample.memory_bytes
        if sample.energy_mj is not None:
            look.energy_mj[place] = sample.energy_mj
            # A place that is new here may have used energy before this operator began to look: it was counted then.
            before_mj = self._last.energy_mj.get(place, sample.energy_mj)
            group.energy_mj += max(0, sample.energy_mj - before_mj)

    def _name(self, sample: Sample) -> Group:
        name = (sample.org, sample.project, sample.flavor, sample.tier)
        return name if name in self._groups or len(self._groups) < GROUPS_MAX else OTHER

    def describe(self) -> Iterator[Metric]:
        """The families without samples."""
        yield from _families()

    def collect(self) -> Iterator[Metric]:
        """The families with what was sampled up to the last tick."""
        running, seconds, utilisation, memory, energy = _families()
        with self._lock:
            for name, group in sorted(self._groups.items()):
                running.add_metric(name, group.running)
                seconds.add_metric(name, group.half_gpu_ms / 2_000)
                if group.measured_gpus:
                    utilisation.add_metric(name, group.utilisation_percent / group.measured_gpus / 100)
                    memory.add_metric(name, group.memory_bytes)
                if group.energy_mj:
                    energy.add_metric(name, group.energy_mj / 1_000)
        yield from (running, seconds, utilisation, memory, energy)


def _families() -> tuple[
    GaugeMetricFamily, CounterMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily
]:
    return (
        GaugeMetricFamily("dure_running_gpus", "GPUs of ranks that run now, as the operator sees them", labels=LABELS),
        CounterMetricFamily(
            "dure_gpu_seconds", "GPU-seconds of running ranks, integrated over the operator's ticks", labels=LABELS
        ),
        GaugeMetricFamily(
            "dure_gpu_utilisation_ratio", "Mean utilisation of running ranks' real GPUs, 0 to 1", labels=LABELS
        ),
        GaugeMetricFamily("dure_gpu_memory_used_bytes", "Memory in use on running ranks' real GPUs", labels=LABELS),
        CounterMetricFamily("dure_gpu_energy_joules", "Energy of running ranks' real GPUs", labels=LABELS),
    )
