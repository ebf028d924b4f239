"""``dure up``: control plane and local operator in one process on one folder, made so that kill -9 loses nothing.

Everything that must last is in the folder: the database, packages, logs, attempts, tokens. Starting again with the
same folder continues; a lock keeps a second one out.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.resources
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from operators.artifacts import ArtifactShipper
from operators.http import HttpControlPlane
from operators.local.backend import LocalBackend
from operators.local.gpus import parse_gpus
from operators.local.nvml import open_nvml
from operators.loop import OperatorLoop
from operators.metrics import RunningGpus
from scheduler.client.http import Client
from scheduler.config import Settings
from scheduler.core.errors import DureError, Fatal
from scheduler.core.model import Node
from scheduler.main import journal
from scheduler.main.bootstrap import (
    ADMIN_TOKEN_FILE,
    ITSELF,
    OPERATOR_TOKEN_FILE,
    ensure_admin,
    ensure_operator,
    instance_id,
    write_private,
)
from scheduler.main.control_plane import ControlPlane, build_control_plane, make_folder, stop_all
from scheduler.main.drivers import Driver
from scheduler.main.serving import URL_FILE, Say, listen, make_server, url_of
from scheduler.policy.loader import load
from scheduler.schema.bodies import OrgRequest, PolicyRequest, ProjectRequest
from scheduler.services.effective import newest_policy
from scheduler.services.policies import FileRefused, apply_policy
from scheduler.services.registry import capacity, create_org, create_project, list_orgs

LOG = logging.getLogger("dure.up")

IN_USE = "DURE-1053"
BAD_GPUS = "DURE-1054"
LOCK_FILE = "dure.lock"
GPUS_FILE = "gpus.json"
LOG_FILE = "control-plane.log"
DEFAULT_FLAVOR = "h100-80g"
DEFAULT_GPUS = 4
NODES_SEEN_SECONDS_MAX = 15.0
CALL_SECONDS = 10.0
POLL_SECONDS = 0.05
DEMO_ORG, DEMO_PROJECT, DEMO_CLASS = "demo", "main", "startup"


@dataclass(frozen=True, slots=True)
class FirstPolicy:
    """What is applied when no policy is in force: the text, its name in findings, and whether the user chose it."""

    text: str
    file: str
    chosen: bool


def run_up(settings: Settings, policy: FirstPolicy | None, demo_org: bool, say: Say) -> int:
    """Everything on this machine, until a signal."""
    make_folder(settings.data)
    with locked(settings.data):
        gpus = chosen_gpus(settings)
        nodes = local_nodes(settings, gpus)
        first = policy or default_policy()
        check_policy(first, nodes)
        journal.set_up(settings.log_level, settings.data / LOG_FILE)
        write_private(settings.data / GPUS_FILE, json.dumps(gpus))
        (settings.data / URL_FILE).unlink(missing_ok=True)
        listener = listen(settings)
        with contextlib.closing(listener):
            holder = settings.holder or instance_id(settings.data, unique=False)
            start = FirstStart(first, demo_org, url_of(listener), say)
            plane = build_control_plane(settings, holder, also=start.fault)
            with contextlib.closing(plane):
                _run(plane, listener, nodes, start)
    return 0


def _run(plane: ControlPlane, listener: socket.socket, nodes: tuple[Node, ...], start: FirstStart) -> None:
    settings, url, say = plane.settings, url_of(listener), start.say
    ensure_admin(plane.store, settings.data / ADMIN_TOKEN_FILE, plane.clock(), always=True)
    token = ensure_operator(plane.store, settings.data / OPERATOR_TOKEN_FILE, settings.cluster, plane.clock())
    with local_operator(settings, nodes, url, token, plane) as (operator, note):
        if note:
            say(f"note: {note}")
        say(f"dure up: {url}, data in {settings.data}")
        plane.start()
        operator.start()
        start.begin(plane)
        write_private(settings.data / URL_FILE, f"{url}\n")

        def stop_loops() -> None:
            stop_all((operator, *plane.drivers), settings.shutdown_ms)

        try:
            make_server(plane, stop_loops).run(sockets=[listener])
        finally:
            stop_loops()
            (settings.data / URL_FILE).unlink(missing_ok=True)
            say("dure up: stopped; attempts that run go on, start again with the same folder to find them")


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Keep a second ``dure up`` out of the folder while the block runs; raises Fatal when one is there."""
    handle = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            who = f" (process {holder})" if holder.isdigit() else ""
            raise Fatal(
                IN_USE, f"{data} is in use by another dure up{who}", "stop it, or use another --data"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def chosen_gpus(settings: Settings) -> tuple[str, ...]:
    """The GPUs asked for, else those of the last start, else as many as this machine has (or four)."""
    file = settings.data / GPUS_FILE
    if settings.gpus:
        return settings.gpus
    if file.exists():
        return tuple(json.loads(file.read_text(encoding="utf-8")))
    nvml = open_nvml()
    count = len(nvml.devices()) if nvml else 0
    return (f"{DEFAULT_FLAVOR}={count or DEFAULT_GPUS}",)


def local_nodes(settings: Settings, gpus: tuple[str, ...]) -> tuple[Node, ...]:
    """The local cluster's nodes; raises Fatal for what is no count of GPUs."""
    try:
        return parse_gpus(settings.cluster, gpus)
    except ValueError as error:
        raise Fatal(BAD_GPUS, str(error), "dure up --gpus h100-80g=2x4") from error


def default_policy() -> FirstPolicy:
    """The policy that everybody begins with: it guarantees nothing, so that it fits any GPUs."""
    file = importlib.resources.files("scheduler.policy.examples") / "default.yaml"
    return FirstPolicy(file.read_text(encoding="utf-8"), "default.yaml", chosen=False)


def check_policy(first: FirstPolicy, nodes: tuple[Node, ...]) -> None:
    """Raise FileRefused with every mistake, before anything is changed; guarantees must fit the nodes."""
    registered: dict[str, int] = {}
    for node in nodes:
        registered[node.flavor] = registered.get(node.flavor, 0) + node.gpus
    loaded = load(first.text, first.file, capacity=registered)
    if isinstance(loaded, list):
        raise FileRefused(loaded)


@contextlib.contextmanager
def local_operator(
    settings: Settings, nodes: tuple[Node, ...], url: str, token: str, plane: ControlPlane
) -> Iterator[tuple[Driver, str]]:
    """The local cluster's operator, talking to the API like any other, and a note about its devices."""
    most = settings.artifact_bytes_max
    backend = LocalBackend(settings.data, settings.cluster, nodes, open_nvml(), api_url=url, artifact_bytes_max=most)
    with contextlib.closing(backend), Client(url, token, timeout_seconds=CALL_SECONDS) as client:
        far = HttpControlPlane(client, settings.cluster)
        loop = OperatorLoop(settings.cluster, backend, far, artifacts=ArtifactShipper(backend, far))
        metrics = RunningGpus(plane.registry)
        yield (
            Driver("operator", _ticks(loop, metrics, plane.clock), settings.operator_interval_ms),
            backend.devices_note,
        )


def _ticks(loop: OperatorLoop, metrics: RunningGpus, clock: Callable[[], int]) -> Callable[[], bool]:
    last_seconds: float | None = None
    told: set[tuple[str, str]] = set()

    def step() -> bool:
        nonlocal last_seconds
        looked_seconds = time.monotonic()
        result = loop.step(clock())
        # A look that failed has seen nothing, which is not the same as nothing that runs: the next one spans its time.
        if all(failure.where != "observe" for failure in result.failures):
            elapsed_ms = 0 if last_seconds is None else round((looked_seconds - last_seconds) * 1_000)
            metrics.observe(result.samples, elapsed_ms)
            last_seconds = looked_seconds
        failing = {(failure.where, failure.error.code) for failure in result.failures}
        for failure in result.failures:
            if (failure.where, failure.error.code) not in told:
                about = {"where": failure.where, "code": failure.error.code}
                LOG.warning("the operator cannot go on: %s", failure.error.message, extra=about)
        told.intersection_update(failing)
        told.update(failing)
        return result.more

    return step


class FirstStart:
    """Puts the first policy in force once the nodes are known, then says what to do next; in a thread of its own."""

    def __init__(self, first: FirstPolicy, demo_org: bool, url: str, say: Say) -> None:
        """``demo_org``: register an organisation and a project where there are none."""
        self.say = say
        self._first, self._demo_org, self._url = first, demo_org, url
        self._fault = "the first policy is not in force yet"

    def fault(self) -> str:
        """Why the server is not ready yet, or "" when this is done."""
        return self._fault

    def begin(self, plane: ControlPlane) -> None:
        """Start; the thread ends with the process."""
        threading.Thread(target=self._run, args=(plane,), name="dure-first-start", daemon=True).start()

    def _run(self, plane: ControlPlane) -> None:
        try:
            self._policy_in_force(plane)
            made = self._demo_org and register_demo_org(plane, self.say)
        except DureError as error:
            self._fault = error.message
            LOG.error("the first start could not be finished: %s", error.message, extra={"code": error.code})
            self.say(f"error[{error.code}]: {error.message}; {error.fix}")
        except Exception as error:
            self._fault = f"the first start failed ({type(error).__name__})"
            LOG.exception("the first start could not be finished")
        else:
            self._fault = ""
            self.say("ready; next:")
            for line in next_commands(plane.settings, self._url, made):
                self.say(f"  {line}")

    def _policy_in_force(self, plane: ControlPlane) -> None:
        with plane.store.read() as view:
            current = newest_policy(view)
        if current is not None:
            if self._first.chosen and self._first.text != current.text:
                self.say(
                    f"policy version {current.version} stays in force; change it: dure policy apply FILE --reason TEXT"
                )
            return
        deadline = time.monotonic() + NODES_SEEN_SECONDS_MAX
        while time.monotonic() < deadline:
            with plane.store.read() as view:
                if capacity(view):
                    break
            time.sleep(POLL_SECONDS)
        request = PolicyRequest(text=self._first.text, file=self._first.file, reason="first start")
        applied, _ = apply_policy(plane.store, ITSELF, request, plane.clock())
        self.say(f"policy {applied.name} is in force, version {applied.version}")


def register_demo_org(plane: ControlPlane, say: Say) -> bool:
    """An organisation and a project to begin with, unless there are some; returns whether the project is there."""
    with plane.store.read() as view:
        known = list_orgs(view, ITSELF, 2)
        current = newest_policy(view)
    if known:
        return [org.name for org in known] == [DEMO_ORG]
    loaded = load(current.text, current.name, known_rate_cards={current.rate_card}) if current else []
    if isinstance(loaded, list):
        return False
    classes = loaded.policy.classes
    class_name = DEMO_CLASS if DEMO_CLASS in classes else min(classes)
    org = OrgRequest(name=DEMO_ORG, class_name=class_name, title="An organisation to begin with")
    create_org(plane.store, plane.policies, ITSELF, org, plane.clock())
    create_project(plane.store, ITSELF, ProjectRequest(org=DEMO_ORG, name=DEMO_PROJECT), plane.clock())
    say(f"organisation {DEMO_ORG} (class {class_name}) with project {DEMO_ORG}/{DEMO_PROJECT} is registered")
    return True


def next_commands(settings: Settings, url: str, has_demo_org: bool) -> list[str]:
    """The three commands that are useful now."""
    login = f"dure login --server {url} --token-stdin < {settings.data / ADMIN_TOKEN_FILE}"
    if has_demo_org:
        run = "python3 -c 'print(\"hello\")'"
        submit = f"dure submit --project {DEMO_ORG}/{DEMO_PROJECT} --gpus {DEFAULT_FLAVOR}:1 -- {run}"
        return [login, submit, "dure queue"]
    return [login, "dure org create NAME --class CLASS", "dure submit FILE"]
