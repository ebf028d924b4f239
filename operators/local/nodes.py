"""What the operator of this machine must not forget: how far it has vouched, and what it said about each node."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from operators.ports import Observation, ObservationKind
from scheduler.core.codec import canonical, from_json
from scheduler.core.model import Node


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node as last reported: healthy GPUs, and since when that is so."""

    name: str
    flavor: str
    gpus: int
    registered: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The operator's own file. Nothing that happens later is older than ``watermark_ms``."""

    watermark_ms: int = 0
    nodes: tuple[NodeReport, ...] = ()


def load(path: Path) -> Memory:
    """The memory; an empty one where there is none (the first run, or a machine that lost power while writing it)."""
    try:
        memory: Memory = from_json(Memory, json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return Memory()
    return memory


def save(path: Path, memory: Memory) -> None:
    """Replace the memory. Not synced: a killed operator loses nothing, and after a power cut it is only advice."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(canonical(memory), encoding="utf-8")
    temporary.replace(path)


def advance(memory: Memory, nodes: Sequence[Node], healthy: Mapping[str, int], now_ms: int) -> Memory:
    """The memory after a look: nodes that changed are reported anew, those no longer configured with no GPUs."""
    at_ms = max(now_ms, memory.watermark_ms)
    before = {report.name: report for report in memory.nodes}
    wanted = [NodeReport(node.name, node.flavor, healthy[node.name], node.gpus, at_ms) for node in nodes]
    configured = {node.name for node in nodes}
    wanted += [replace(old, gpus=0, registered=0, at_ms=at_ms) for old in memory.nodes if old.name not in configured]
    return replace(memory, nodes=tuple(_unless_same(before.get(report.name), report) for report in wanted))


def observations(memory: Memory, cluster: str) -> list[Observation]:
    """One observation a node, with an id made from what it says."""
    return [
        Observation(
            id="node/" + hashlib.sha256(f"{cluster} {canonical(report)}".encode()).hexdigest()[:32],
            kind=ObservationKind.NODE,
            at_ms=report.at_ms,
            node=report.name,
            flavor=report.flavor,
            gpus=report.gpus,
            registered=report.registered,
            schedulable=report.registered > 0,
        )
        for report in memory.nodes
    ]


def _unless_same(before: NodeReport | None, report: NodeReport) -> NodeReport:
    if before is not None and replace(report, at_ms=before.at_ms) == before:
        return before
    return report
