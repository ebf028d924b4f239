"""What an attempt's real devices do, rank by rank, for the heartbeat; nothing where GPUs are logical."""

from __future__ import annotations

from typing import Any

from operators.local.layout import Spec
from operators.local.nvml import Nvml, open_nvml


class RankMeter:
    """Samples the devices of each rank; energy counts from ``start``."""

    def __init__(self, spec: Spec, nvml: Nvml | None = None) -> None:
        """NVML is opened only for an attempt with real devices."""
        ranks = [rank.rank for rank in spec.assignment.ranks]
        self._devices = dict(zip(ranks, spec.devices, strict=False)) if spec.devices else {}
        self._nvml = (nvml or open_nvml()) if self._devices else None
        self._energy_mj: dict[str, int] = {}
        self._on = False

    def start(self) -> None:
        """The ranks get their devices now."""
        uuids = [uuid for devices in self._devices.values() for uuid in devices]
        if self._nvml is not None:
            self._energy_mj = {reading.uuid: reading.energy_mj for reading in self._nvml.read(uuids)}
        self._on = True

    def stop(self) -> None:
        """The ranks have ended."""
        self._on = False

    def fields(self) -> dict[str, Any]:
        """``{"gpus": [one object a rank]}``, or nothing when there is nothing to measure."""
        if not self._on or self._nvml is None:
            return {}
        uses = [self._use(rank, uuids, self._nvml) for rank, uuids in self._devices.items()]
        found = [use for use in uses if use]
        return {"gpus": found} if found else {}

    def _use(self, rank: int, uuids: tuple[str, ...], nvml: Nvml) -> dict[str, int]:
        readings = nvml.read(uuids)
        if not readings:
            return {}
        energy_mj = sum(max(0, item.energy_mj - self._energy_mj.get(item.uuid, item.energy_mj)) for item in readings)
        return {
            "rank": rank,
            "utilisation_percent": sum(item.utilisation_percent for item in readings) // len(readings),
            "memory_bytes": sum(item.memory_bytes for item in readings),
            "energy_mj": energy_mj,
        }
