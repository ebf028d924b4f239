"""All settings in one frozen value, read once by the composition root: arguments over DURE_ variables over defaults.

No other module reads the environment. A setting's variable is its name: ``data`` is ``DURE_DATA``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scheduler.core.errors import Fatal

WRONG = "DURE-1050"
PREFIX = "DURE_"
LINKED = "tcp://"
"""How a value begins that nobody gave: Kubernetes sets DURE_PORT=tcp://... where there is a Service named ``dure``."""
DEFAULT_PORT = 3873
"""D-U-R-E on a telephone's keys."""
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process of the control plane is told; durations and sizes carry their unit in the name.

    data: folder of everything this process keeps. database_url: "" keeps SQLite in ``data``.
    port: 0 takes a free one. hosts: further names under which the server may be called. gpus: of the local
    cluster, each FLAVOR=N or FLAVOR=NODESxGPUS; empty keeps those of the last start. holder: this process's name in
    leases, "" makes one. issuer: the name on invoices.
    prometheus: address of the second opinion on usage, "" for none.
    """

    data: Path = Path("dure-data")
    database_url: str = ""
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    hosts: tuple[str, ...] = ()
    cluster: str = "local"
    gpus: tuple[str, ...] = ()
    holder: str = ""
    issuer: str = "Dure"
    issuer_number: str = ""
    prometheus: str = ""
    log_level: str = "info"
    allocator_interval_ms: int = 500
    settler_interval_ms: int = 1_000
    operator_interval_ms: int = 500
    lease_ms: int = 15_000
    ready_within_ms: int = 30_000
    shutdown_ms: int = 10_000
    body_bytes_max: int = MEBIBYTE
    package_bytes_max: int = 64 * MEBIBYTE
    artifact_bytes_max: int = 256 * MEBIBYTE
    connections_max: int = 512

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def metrics_open(self) -> bool:
        """Whether /metrics needs no token: nobody else reaches the server, not even through a proxy with a name."""
        return self.is_loopback and not self.hosts

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names that a Host header may carry; empty allows any.

        On a loopback address these are its own names, so that a web page cannot reach the server by DNS rebinding.
        """
        if not self.is_loopback and not self.hosts:
            return frozenset()
        own = {"localhost", "127.0.0.1", "::1", self.host.lower()}
        return frozenset(own | {name.lower() for name in self.hosts})


@dataclass(frozen=True, slots=True)
class _Range:
    """Bounds of a whole number."""

    least: int
    most: int


RANGES = {
    "port": _Range(0, 65_535),
    "allocator_interval_ms": _Range(10, 60_000),
    "settler_interval_ms": _Range(10, 600_000),
    "operator_interval_ms": _Range(50, 60_000),
    "lease_ms": _Range(1_000, 600_000),
    "ready_within_ms": _Range(1_000, 3_600_000),
    "shutdown_ms": _Range(100, 600_000),
    "body_bytes_max": _Range(1_024, 64 * MEBIBYTE),
    "package_bytes_max": _Range(1_024, 1_024 * MEBIBYTE),
    "artifact_bytes_max": _Range(0, 64 * 1_024 * MEBIBYTE),
    "connections_max": _Range(8, 65_536),
}
LOG_LEVELS = ("debug", "info", "warning", "error")


def read_settings(arguments: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Settings from arguments (None and "" and empty are not given), then the environment, then defaults.

    Variables that Kubernetes sets for a Service named ``dure`` are not given either.

    Raises Fatal with one sentence that names the argument or the variable at fault.
    """
    known = {field.name: field for field in fields(Settings)}
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise Fatal(WRONG, f"there is no setting {unknown[0]}", f"settings are: {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for name, field in known.items():
        given, variable = arguments.get(name), PREFIX + name.upper()
        if given not in (None, "", ()):
            values[name] = _read(name, f"--{name.replace('_', '-')}", given, field.type)
        elif environment.get(variable, "").strip() and not environment[variable].startswith(LINKED):
            values[name] = _read(name, variable, environment[variable].strip(), field.type)
    settings = Settings(**values)
    if settings.log_level not in LOG_LEVELS:
        raise Fatal(WRONG, f"log level {settings.log_level!r} is unknown", f"use one of: {', '.join(LOG_LEVELS)}")
    return settings


def _read(name: str, place: str, given: object, kind: object) -> Any:
    readers: dict[str, Callable[[str, str, object], Any]] = {
        "int": _number,
        "Path": lambda _name, _place, value: Path(str(value)),
        "str": lambda _name, _place, value: str(value),
        "tuple[str, ...]": lambda _name, _place, value: _texts(value),
    }
    return readers[str(kind)](name, place, given)


def _number(name: str, place: str, given: object) -> int:
    text = str(given)
    bounds = RANGES[name]
    if not (text.isascii() and text.isdigit()) or not bounds.least <= int(text) <= bounds.most:
        fix = f"give a whole number from {bounds.least} to {bounds.most}"
        raise Fatal(WRONG, f"{place} is {text[:40]!r}", fix)
    return int(text)


def _texts(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(part for part in given.replace(",", " ").split() if part)
    assert isinstance(given, Sequence)
    return tuple(str(part) for part in given)
