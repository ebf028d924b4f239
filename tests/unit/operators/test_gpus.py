"""Logical nodes from text, real devices from NVML, and no device given twice."""

from __future__ import annotations

from typing import Any

import pytest

from operators.local.gpus import DevicePlan, assign_devices, parse_gpus, plan_devices
from operators.local.machine import Shares, share_out, shares
from operators.local.nvml import Device, Nvml, Reading, open_nvml
from scheduler.core.model import Rank

GIB = 1 << 30
PARSED = {
    "one node": (["h100-80g=4"], [("h100-80g-0", 4)]),
    "several nodes": (["h100-80g=2x4"], [("h100-80g-0", 4), ("h100-80g-1", 4)]),
    "two flavors": (["H100=1", "a100=2x1"], [("h100-0", 1), ("a100-0", 1), ("a100-1", 1)]),
    "a flavor twice goes on counting": (["x=1", "x=2x3"], [("x-0", 1), ("x-1", 3), ("x-2", 3)]),
    "nothing": ([], []),
}


@pytest.mark.parametrize(("specs", "expected"), PARSED.values(), ids=PARSED.keys())
def test_parse(specs: list[str], expected: list[tuple[str, int]]) -> None:
    nodes = parse_gpus("local", specs)
    assert [(node.name, node.gpus) for node in nodes] == expected
    assert {node.cluster for node in nodes} <= {"local"}


@pytest.mark.parametrize(
    "spec", ["", "h100", "h100=", "=4", "h100=0", "h100=65", "h100=0x4", "h100=257x1", "h100=-1", "h 100=1", "a=1x2x3"]
)
def test_what_is_no_gpu_count_is_told_so(spec: str) -> None:
    with pytest.raises(ValueError, match=r"no GPU count|out of range"):
        parse_gpus("local", [spec])


class Error(Exception):
    """What the doubled module raises."""


class FakeModule:
    """nvidia-ml-py with two devices; ``broken`` names calls that fail."""

    NVMLError = Error

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.energy_mj = 1_000

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            if name in self.broken:
                raise Error(name)
            index = arguments[0] if arguments else 0
            return {
                "nvmlInit": None,
                "nvmlDeviceGetCount": 2,
                "nvmlDeviceGetHandleByIndex": index,
                "nvmlDeviceGetHandleByUUID": int(str(index)[-1]) if str(index)[-1].isdigit() else 0,
                "nvmlDeviceGetUUID": f"GPU-{index}".encode(),
                "nvmlDeviceGetName": "Some GPU",
                "nvmlDeviceGetMemoryInfo": Memory(),
                "nvmlDeviceGetUtilizationRates": Rates(),
                "nvmlDeviceGetTotalEnergyConsumption": self.energy_mj,
            }[name]

        return call


class Memory:
    """nvmlMemory_t."""

    total = 80 * GIB
    used = 3 * GIB


class Rates:
    """nvmlUtilization_t."""

    gpu = 70


TWO = (Device("GPU-0", "Some GPU", 80 * GIB), Device("GPU-1", "Some GPU", 80 * GIB))


def test_devices_and_what_they_do() -> None:
    nvml = Nvml(FakeModule())
    assert nvml.devices() == TWO
    assert nvml.read(["GPU-1"]) == (Reading("GPU-1", 70, 3 * GIB, 1_000),)


BROKEN = {
    "no driver": (["nvmlInit"], 0, 0),
    "no count": (["nvmlDeviceGetCount"], 0, 1),
    "no name": (["nvmlDeviceGetName"], 0, 1),
    "no utilisation": (["nvmlDeviceGetUtilizationRates"], 2, 0),
    "no energy": (["nvmlDeviceGetTotalEnergyConsumption"], 2, 1),
}


@pytest.mark.parametrize(("broken", "devices", "readings"), BROKEN.values(), ids=BROKEN.keys())
def test_what_fails_is_absent(broken: list[str], devices: int, readings: int) -> None:
    nvml = Nvml(FakeModule(*broken))
    assert (len(nvml.devices()), len(nvml.read(["GPU-0"]))) == (devices, readings)


def test_the_real_library_can_be_asked() -> None:
    nvml = open_nvml()
    assert nvml is not None
    devices = nvml.devices()
    if not devices:
        pytest.skip("no NVIDIA device")
    readings = nvml.read([device.uuid for device in devices])
    assert [reading.uuid for reading in readings] == [device.uuid for device in devices]
    assert all(0 < reading.memory_bytes <= devices[0].memory_bytes for reading in readings)


def test_devices_stand_behind_nodes_or_none_does() -> None:
    plan = plan_devices(parse_gpus("local", ["x=2x1"]), TWO)
    assert (plan.by_node, plan.note) == ({"x-0": ("GPU-0",), "x-1": ("GPU-1",)}, "")
    assert plan_devices(parse_gpus("local", ["x=1"]), TWO).by_node == {"x-0": ("GPU-0",)}
    assert plan_devices(parse_gpus("local", ["x=8"]), ()) == DevicePlan()
    too_many = plan_devices(parse_gpus("local", ["x=3"]), TWO)
    assert (too_many.is_real, too_many.note.startswith("3 GPUs are asked for")) == (False, True)


PLAN = DevicePlan({"x-0": ("A", "B", "C", "D"), "x-1": ("E", "F")})
ALL = "ABCDEF"
ASSIGNED = {
    "in order": ([("x-0", 2)], "", ALL, (("A", "B"),)),
    "not what is taken": ([("x-0", 2)], "AC", ALL, (("B", "D"),)),
    "not what is broken": ([("x-0", 2)], "", "BCDEF", (("B", "C"),)),
    "two ranks on a node share nothing": ([("x-0", 2), ("x-0", 2)], "", ALL, (("A", "B"), ("C", "D"))),
    "each rank on its own node": ([("x-1", 1), ("x-0", 1)], "", ALL, (("E",), ("A",))),
    "too few free": ([("x-1", 2)], "E", ALL, None),
    "too few for the second rank": ([("x-1", 1), ("x-1", 2)], "", ALL, None),
    "unknown node": ([("y-0", 1)], "", ALL, None),
}


@pytest.mark.parametrize(("wanted", "taken", "healthy", "expected"), ASSIGNED.values(), ids=ASSIGNED.keys())
def test_assign(
    wanted: list[tuple[str, int]], taken: str, healthy: str, expected: tuple[tuple[str, ...], ...] | None
) -> None:
    ranks = [Rank(at, node, gpus) for at, (node, gpus) in enumerate(wanted)]
    assert assign_devices(PLAN, ranks, taken, healthy) == expected


def test_logical_gpus_have_no_devices() -> None:
    assert assign_devices(DevicePlan(), [Rank(0, "x-0", 2)], (), ()) == ()


SHARES = {
    "a small machine": ((8, 2, 24 * GIB, 12 * GIB), Shares(2, 24 * GIB // 5 // 8, 2)),
    "half of the shared memory at most": ((1, 4, 100 * GIB, 4 * GIB), Shares(4, 2 * GIB, 4)),
    "a container's 64 MiB": ((8, 2, 24 * GIB, 64 << 20), Shares(2, 80_000_000, 2)),
    "a large machine": ((8, 192, 2_048 * GIB, 1_024 * GIB), Shares(24, 2_048 * GIB // 5 // 8, 192)),
}


@pytest.mark.parametrize(("machine", "expected"), SHARES.values(), ids=SHARES.keys())
def test_a_gpus_part_of_the_machine(machine: tuple[int, int, int, int], expected: Shares) -> None:
    assert share_out(*machine) == expected


def test_this_machine_has_something_to_share() -> None:
    assert shares(4).cpus_per_gpu >= 2
