"""The operator's counters: GPU-seconds of what ran, integrated over real time between ticks."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry

from operators import metrics
from operators.metrics import RunningGpus
from operators.ports import Sample

ALPHA = {"org": "alpha", "project": "nlp", "flavor": "h100-80g", "tier": "borrow"}
Tick = tuple[Iterable[str], int]


def sample(text: str, **changes: int) -> Sample:
    """``JOB:GPUS`` runs, ``-JOB:GPUS`` does not yet; of alpha."""
    job, gpus = text.removeprefix("-").split(":")
    return Sample(
        job,
        1,
        0,
        "alpha",
        "nlp",
        "h100-80g",
        "borrow",
        int(gpus),
        running=not text.startswith("-"),
        utilisation_percent=changes.get("utilisation_percent"),
        memory_bytes=changes.get("memory_bytes"),
        energy_mj=changes.get("energy_mj"),
    )


@pytest.mark.parametrize(
    ("ticks", "seconds", "running"),
    [
        ([(["a:2"], 0), (["a:2"], 1_000), (["a:2"], 500)], 3.0, 2),  # 2 x 1.5 s
        ([([], 0), (["a:1"], 1_000), (["a:1"], 1_000)], 1.5, 1),  # began in between: half of the first second
        ([(["a:1"], 0), (["a:1"], 1_000), ([], 1_000)], 1.5, 0),  # ended in between
        ([(["a:4"], 0), (["b:4"], 1_000)], 4.0, 4),  # one ended, another began: half each
        ([(["-a:3"], 0), (["-a:3"], 9_000)], 0.0, 0),  # starting is not running
        ([(["a:1", "b:2"], 0), (["a:1", "b:2"], 1)], 0.003, 3),
    ],
)
def test_integration(ticks: list[Tick], seconds: float, running: int) -> None:
    registry = CollectorRegistry()
    counted = RunningGpus(registry)
    for samples, elapsed_ms in ticks:
        counted.observe([sample(text) for text in samples], elapsed_ms)
    assert registry.get_sample_value("dure_gpu_seconds_total", ALPHA) == seconds
    assert registry.get_sample_value("dure_running_gpus", ALPHA) == running


def test_a_series_is_there_at_zero_before_anything_runs() -> None:
    registry = CollectorRegistry()
    counted = RunningGpus(registry)
    assert registry.get_sample_value("dure_gpu_seconds_total", ALPHA) is None
    counted.observe([sample("-a:1")], 0)
    assert registry.get_sample_value("dure_gpu_seconds_total", ALPHA) == 0


def test_counters_never_fall_and_stay_after_the_end() -> None:
    registry = CollectorRegistry()
    counted = RunningGpus(registry)
    before = 0.0
    for texts in (["a:1"], ["a:1", "b:1"], ["b:1"], [], [], ["c:2"]):
        counted.observe([sample(text) for text in texts], 1_000)
        now = registry.get_sample_value("dure_gpu_seconds_total", ALPHA)
        assert now is not None
        assert now >= before
        before = now
    # a begins; a, b begins; a ends, b; b ends; nothing; c begins with two
    assert before == 0.5 + 1.5 + 1.5 + 0.5 + 0 + 1


def test_real_devices_are_measured() -> None:
    registry = CollectorRegistry()
    counted = RunningGpus(registry)
    counted.observe([sample("a:2", utilisation_percent=80, memory_bytes=10, energy_mj=5_000)], 0)
    counted.observe(
        [
            sample("a:2", utilisation_percent=50, memory_bytes=30, energy_mj=9_000),
            sample("b:2", utilisation_percent=100, memory_bytes=5, energy_mj=1_000),
            sample("c:9"),
        ],
        1_000,
    )
    assert registry.get_sample_value("dure_gpu_utilisation_ratio", ALPHA) == 0.75
    assert registry.get_sample_value("dure_gpu_memory_used_bytes", ALPHA) == 35
    assert registry.get_sample_value("dure_gpu_energy_joules_total", ALPHA) == 4


def test_energy_is_counted_once_whoever_looks() -> None:
    """A new operator finds a rank that has used 5 J already: its predecessor counted them."""
    registry = CollectorRegistry()
    counted = RunningGpus(registry)
    for energy_mj in (5_000, 9_000, 9_500):
        counted.observe([sample("a:1", energy_mj=energy_mj)], 1_000)
    assert registry.get_sample_value("dure_gpu_energy_joules_total", ALPHA) == 4.5


def test_logical_gpus_have_no_measurements() -> None:
    registry = CollectorRegistry()
    RunningGpus(registry).observe([sample("a:2")], 0)
    names = {metric.name for metric in registry.collect() if metric.samples}
    assert names == {"dure_running_gpus", "dure_gpu_seconds"}


def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "GROUPS_MAX", 3)
    registry = CollectorRegistry()
    counted = RunningGpus(registry)
    samples = [Sample(f"j{n}", 1, 0, f"org{n}", "p", "f", "borrow", 1, running=True) for n in range(5)]
    counted.observe(samples, 0)
    counted.observe(samples, 1_000)
    found = {item.labels["org"]: item.value for metric in registry.collect() for item in metric.samples}
    assert set(found) == {"org0", "org1", "org2", "other"}
    other = dict.fromkeys(ALPHA, "other")
    assert registry.get_sample_value("dure_gpu_seconds_total", other) == 2
