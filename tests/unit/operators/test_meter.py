"""What the heartbeat says about real devices."""

from __future__ import annotations

from operators.local.layout import Spec
from operators.local.meter import RankMeter
from operators.local.nvml import Nvml
from scheduler.core.model import Rank
from tests.support.assignments import assignment
from tests.unit.operators.test_gpus import GIB, FakeModule

RANKS = (Rank(0, "x-0", 1), Rank(1, "x-0", 2))


def spec(*devices: tuple[str, ...]) -> Spec:
    """A gang with these devices."""
    return Spec(assignment(ranks=RANKS), "local", "/k", "/r", devices)


def test_each_rank_with_the_energy_since_its_start() -> None:
    module = FakeModule()
    meter = RankMeter(spec(("GPU-0",), ("GPU-1", "GPU-2")), Nvml(module))
    assert meter.fields() == {}
    meter.start()
    module.energy_mj += 50
    assert meter.fields() == {
        "gpus": [
            {"rank": 0, "utilisation_percent": 70, "memory_bytes": 3 * GIB, "energy_mj": 50},
            {"rank": 1, "utilisation_percent": 70, "memory_bytes": 6 * GIB, "energy_mj": 100},
        ]
    }
    meter.stop()
    assert meter.fields() == {}


def test_a_counter_that_began_anew_takes_nothing_back() -> None:
    module = FakeModule()
    meter = RankMeter(spec(("GPU-0",), ()), Nvml(module))
    meter.start()
    module.energy_mj = 10
    assert [use["energy_mj"] for use in meter.fields()["gpus"]] == [0]


def test_logical_gpus_are_not_measured() -> None:
    meter = RankMeter(spec(), Nvml(FakeModule()))
    meter.start()
    assert meter.fields() == {}


def test_devices_that_do_not_answer_are_left_out() -> None:
    meter = RankMeter(spec(("GPU-0",), ("GPU-1",)), Nvml(FakeModule("nvmlDeviceGetMemoryInfo")))
    meter.start()
    assert meter.fields() == {}
