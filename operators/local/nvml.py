"""Real NVIDIA devices through NVML: which there are, and what they do now. Without NVML there are simply none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DEVICES_MAX = 64


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU of this machine."""

    uuid: str
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A device now; energy_mj counts from when its driver was loaded, 0 where it is not counted."""

    uuid: str
    utilisation_percent: int
    memory_bytes: int
    energy_mj: int


class Nvml:
    """NVML with its module as an argument, so that tests can give it another; never raises: what fails is absent."""

    def __init__(self, module: Any) -> None:
        """Initialise the library; where that fails there are no devices."""
        self._module = module
        self._handles: dict[str, Any] = {}
        try:
            module.nvmlInit()
            self._ready = True
        except module.NVMLError:
            self._ready = False

    def devices(self) -> tuple[Device, ...]:
        """Devices that answer, in NVML's order."""
        if not self._ready:
            return ()
        try:
            count = min(int(self._module.nvmlDeviceGetCount()), DEVICES_MAX)
        except self._module.NVMLError:
            return ()
        found = [self._device(index) for index in range(count)]
        return tuple(device for device in found if device is not None)

    def read(self, uuids: Sequence[str]) -> tuple[Reading, ...]:
        """Utilisation, memory in use and energy of these devices; those that do not answer are left out."""
        found = [self._read(uuid) for uuid in uuids] if self._ready else []
        return tuple(reading for reading in found if reading is not None)

    def _device(self, index: int) -> Device | None:
        nvml = self._module
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
            device = Device(uuid, name, int(nvml.nvmlDeviceGetMemoryInfo(handle).total))
        except nvml.NVMLError:
            return None
        self._handles[uuid] = handle
        return device

    def _read(self, uuid: str) -> Reading | None:
        nvml = self._module
        try:
            handle = self._handles.get(uuid) or nvml.nvmlDeviceGetHandleByUUID(uuid)
            self._handles[uuid] = handle
            used = int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
            utilisation = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except nvml.NVMLError:
            return None
        try:
            energy_mj = int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except nvml.NVMLError:  # older devices do not count it
            energy_mj = 0
        return Reading(uuid, utilisation, used, energy_mj)


def open_nvml() -> Nvml | None:
    """NVML of this machine; None where nvidia-ml-py is not installed."""
    try:
        import pynvml
    except ImportError:
        return None
    return Nvml(pynvml)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
