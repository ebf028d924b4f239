"""Builds the control plane: store, API, allocator, settler, metrics, and the drivers that turn the loops."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from scheduler.api.app import create_app
from scheduler.api.deps import Deps, Limits
from scheduler.config import Settings
from scheduler.core.accounting.invoice_model import Party
from scheduler.core.errors import Fatal
from scheduler.documents.pdf import TypstRenderer
from scheduler.main.code import deciding_code
from scheduler.main.drivers import Driver, WakingStore, WallClock
from scheduler.main.packages import ReceivingPackages
from scheduler.main.probe import DatabaseProbe
from scheduler.meter.exporter import CycleTimes, Exporter, exposition, make_registry
from scheduler.meter.opinion import PrometheusWitness
from scheduler.services import why
from scheduler.services.attempt_tokens import attempt_tokens
from scheduler.services.cycle import Allocator
from scheduler.services.effective import EffectivePolicies
from scheduler.services.settle import Settler
from scheduler.services.verification import Witnesses
from scheduler.store.artifacts import FolderArtifactStore
from scheduler.store.files import FolderLogStore
from scheduler.store.ids import RandomIds
from scheduler.store.memory import MemoryStore
from scheduler.store.open import open_store
from scheduler.store.sql import SqlStore
from scheduler.web import fairness_page

PRIVATE_FOLDER = 0o700
FOLDER_UNUSABLE = "DURE-1052"
DATABASE_FILE = "dure.db"
SECRET_BYTES = 32


def own_version() -> str:
    """The version of the installed distribution."""
    try:
        return installed_version("dure")
    except PackageNotFoundError:
        return "0.0.0"


def new_secret() -> str:
    """A token's secret: 256 random bits in hexadecimal."""
    return secrets.token_hex(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Everything one process of the control plane runs; ``stop`` and ``close`` may be called more than once."""

    settings: Settings
    store: SqlStore | MemoryStore
    policies: EffectivePolicies
    clock: WallClock
    app: FastAPI
    registry: CollectorRegistry
    drivers: tuple[Driver, ...]

    def start(self) -> None:
        """Begin to turn the loops."""
        for driver in self.drivers:
            driver.start()

    def stop(self) -> None:
        """End the loops after their present steps, and wait for that, but not for ever."""
        stop_all(self.drivers, self.settings.shutdown_ms)

    def close(self) -> None:
        """Close the database."""
        self.store.close()


def stop_all(drivers: Sequence[Driver], within_ms: int) -> None:
    """Ask all to stop, then wait for each."""
    for driver in drivers:
        driver.ask_to_stop()
    deadline = time.monotonic() + within_ms / 1_000
    for driver in drivers:
        driver.join(max(0.0, deadline - time.monotonic()))


def make_folder(path: Path) -> None:
    """Make a folder that only its owner can read; raises Fatal."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    except OSError as error:
        raise Fatal(
            FOLDER_UNUSABLE, f"{path} cannot be used: {error.strerror}", "choose another data folder"
        ) from error


def database_url(settings: Settings) -> str:
    """Where the database is; by default a file in the data folder."""
    return settings.database_url or f"sqlite:///{settings.data.resolve() / DATABASE_FILE}"


def build_control_plane(settings: Settings, holder: str, also: Callable[[], str] = str) -> ControlPlane:
    """Open the database (migrated) and join everything; nothing runs yet. Raises Fatal or Retry.

    also: a further fault that makes the server unready, "" for none.
    """
    for folder in (settings.data, settings.data / "packages", settings.data / "logs", settings.data / "artifacts"):
        make_folder(folder)
    store = open_store(database_url(settings), migrate=True)
    policies, clock, times, version = EffectivePolicies(), WallClock(), CycleTimes(), own_version()
    code = f"{version}+{deciding_code()}"
    allocator = _allocator(settings, store, holder, code, clock, times)
    settler = _settler(settings, store, holder, clock, times)
    registry = make_registry(Exporter(store, why.reasons, version, times))
    drivers, database = (allocator, settler), DatabaseProbe(store)

    def unready() -> list[str]:
        faults = [database.fault(), *(driver.fault(settings.ready_within_ms) for driver in drivers), also()]
        return [fault for fault in faults if fault]

    deps = Deps(
        store=WakingStore(store, allocator.wake),
        policies=policies,
        packages=ReceivingPackages(settings.data / "packages", bytes_max=settings.package_bytes_max),
        logs=FolderLogStore(settings.data / "logs"),
        artifacts=FolderArtifactStore(settings.data / "artifacts", bytes_max=settings.artifact_bytes_max),
        ids=RandomIds(),
        secret=new_secret,
        attempt_tokens=attempt_tokens(store, new_secret()),
        clock=clock,
        version=version,
        metrics=lambda: exposition(registry),
        unready=unready,
        limits=Limits(
            body_bytes=settings.body_bytes_max,
            package_bytes=settings.package_bytes_max,
            artifact_bytes=settings.artifact_bytes_max,
        ),
        hosts=settings.allowed_hosts,
        metrics_open=settings.metrics_open,
        witnesses=Witnesses(TypstRenderer(), PrometheusWitness(settings.prometheus) if settings.prometheus else None),
    )
    return ControlPlane(
        settings, store, policies, clock, create_app(deps, pages=(fairness_page.router,)), registry, drivers
    )


def _allocator(
    settings: Settings, store: SqlStore | MemoryStore, holder: str, code: str, clock: WallClock, times: CycleTimes
) -> Driver:
    allocator = Allocator(
        store,
        EffectivePolicies(),
        holder,
        code,
        elapsed_us=lambda: time.perf_counter_ns() // 1_000,
        lease_ms=settings.lease_ms,
    )

    def step() -> bool:
        report = allocator.step(clock())
        if report.decided:
            times.cycle(report.duration_us)
        times.success("allocator", clock())
        return bool(report.dropped)

    return Driver("allocator", step, settings.allocator_interval_ms)


def _settler(
    settings: Settings, store: SqlStore | MemoryStore, holder: str, clock: WallClock, times: CycleTimes
) -> Driver:
    issuer = Party(settings.issuer, registration_number=settings.issuer_number)
    settler = Settler(store, EffectivePolicies(), holder, issuer, lease_ms=settings.lease_ms)

    def step() -> bool:
        settler.step(clock())
        times.success("settler", clock())
        return False

    return Driver("settler", step, settings.settler_interval_ms)
