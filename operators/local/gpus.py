"""Logical nodes from ``--gpus``, and which real devices stand behind them, if any. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from operators.local.nvml import Device
from scheduler.core.model import Node, Rank

NODES_MAX = 256
GPUS_PER_NODE_MAX = 64
_SPEC = re.compile(
    r"(?P<flavor>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,38}[A-Za-z0-9])?)=(?:(?P<nodes>\d{1,4})x)?(?P<gpus>\d{1,4})"
)


def parse_gpus(cluster: str, specs: Sequence[str]) -> tuple[Node, ...]:
    """Nodes of ``FLAVOR=N`` (one node of N GPUs) and ``FLAVOR=NODESxGPUS``, named ``<flavor>-<i>`` from 0.

    Raises ValueError with one sentence that says what to write instead.
    """
    nodes: list[Node] = []
    counts: dict[str, int] = {}
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise ValueError(f"{spec!r} is no GPU count: write FLAVOR=GPUS or FLAVOR=NODESxGPUS, such as h100-80g=2x4")
        flavor, count, gpus = match["flavor"].lower(), int(match["nodes"] or 1), int(match["gpus"])
        if count < 1 or not 1 <= gpus <= GPUS_PER_NODE_MAX or len(nodes) + count > NODES_MAX:
            raise ValueError(
                f"{spec!r} is out of range: 1 to {NODES_MAX} nodes in all, 1 to {GPUS_PER_NODE_MAX} GPUs each"
            )
        first = counts.get(flavor, 0)
        nodes += [Node(cluster, f"{flavor}-{first + index}", flavor, gpus) for index in range(count)]
        counts[flavor] = first + count
    return tuple(nodes)


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """Which devices stand behind each node; ``note`` says in a sentence why there are none although some exist.

    by_node: empty where GPUs are logical.
    """

    by_node: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""

    @property
    def is_real(self) -> bool:
        """Whether attempts get real devices."""
        return bool(self.by_node)


def plan_devices(nodes: Sequence[Node], devices: Sequence[Device]) -> DevicePlan:
    """Deal the devices out to the nodes in order; if they are fewer than the nodes' GPUs, all GPUs are logical."""
    if not devices:
        return DevicePlan()
    wanted = sum(node.gpus for node in nodes)
    if wanted > len(devices):
        note = f"{wanted} GPUs are asked for and this machine has {len(devices)}: all are logical, none is measured"
        return DevicePlan(note=note)
    uuids = iter(device.uuid for device in devices)
    return DevicePlan({node.name: tuple(next(uuids) for _ in range(node.gpus)) for node in nodes})


def assign_devices(
    plan: DevicePlan, ranks: Sequence[Rank], taken: Iterable[str], healthy: Iterable[str]
) -> tuple[tuple[str, ...], ...] | None:
    """Free devices for each rank on its node; () where GPUs are logical, None when a node has too few of them."""
    if not plan.is_real:
        return ()
    gone = set(taken)
    usable = set(healthy) - gone
    given: list[tuple[str, ...]] = []
    for rank in ranks:
        free = [uuid for uuid in plan.by_node.get(rank.node, ()) if uuid in usable]
        if len(free) < rank.gpus:
            return None
        given.append(tuple(free[: rank.gpus]))
        usable -= set(given[-1])
    return tuple(given)
