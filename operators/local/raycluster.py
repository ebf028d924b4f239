"""The attempt's own Ray cluster as its supervisor handles it: started, watched and ended as one host process."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from operators.local.children import Children, signal_group
from operators.local.layout import Folder, Spec

HOST = Path(__file__).with_name("ray_host.py")
STOP_SECONDS_MAX = 5.0
LOG_TAIL_BYTES = 2_000

# Ray starts no process that nobody asked for; a driver notices within seconds that its cluster died.
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
}


class RayCluster:
    """One Ray node a rank, with exactly the rank's GPUs. Its token exists in the attempt's processes only."""

    def __init__(self, folder: Folder, spec: Spec, envs: Sequence[dict[str, str]], children: Children) -> None:
        """Add Ray's settings to every rank's environment; nothing is started."""
        self._folder, self._spec, self._envs, self._children = folder, spec, envs, children
        self._dir = Path(spec.ray_dir)
        self._address_file = self._dir / "address"
        self._log = folder.logs / "ray-host.log"
        self._pid = 0
        self._stop_until = 0.0
        self._refused = ""
        own = SETTINGS | {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_TMPDIR": str(self._dir)}
        for env in envs:
            env.update(own)

    def start(self) -> None:
        """Start the host process; a failure shows in ``failure``."""
        nodes = [
            {
                "gpus": rank.gpus,
                "cpus": rank.gpus * self._spec.cpus_per_gpu,
                "object_store_bytes": rank.gpus * self._spec.object_store_bytes_per_gpu,
                "env": env,
                "folder": str(self._folder.work / str(rank.rank)),
            }
            for rank, env in zip(self._spec.assignment.ranks, self._envs, strict=True)
        ]
        plan = {"ray_dir": str(self._dir), "address_file": str(self._address_file), "nodes": nodes}
        try:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir.mkdir(mode=0o700)  # fails when somebody else has made it
            command = [sys.executable, "-P", str(HOST)]
            content = json.dumps(plan).encode()
            self._pid = self._children.spawn(command, self._envs[0], self._folder.path, self._log, content)
        except OSError as error:
            self._refused = f"{error.filename or HOST.name}: {error.strerror or error}"

    @property
    def is_started(self) -> bool:
        """Whether ``start`` was called."""
        return bool(self._pid or self._refused)

    @property
    def address(self) -> str:
        """HOST:PORT once every node is up, else ""."""
        with contextlib.suppress(OSError):
            return self._address_file.read_text(encoding="utf-8") if self._pid else ""
        return ""

    @property
    def failure(self) -> str:
        """Why there is no cluster (any more), in a sentence; "" while there may be one."""
        if self._refused:
            return self._refused
        code = self._children.code(self._pid) if self._pid and not self._stop_until else None
        return "" if code is None else f"its host ended with exit status {code}: {self._last_words()}"

    def release(self, index: int) -> None:
        """End one Ray node, whose rank has ended: nobody uses GPUs that are no longer charged."""
        with contextlib.suppress(OSError):
            self._address_file.with_name(f"released-{index}").touch()

    def stop(self) -> bool:
        """End Ray in good order; True when it has ended, or has had five seconds for it. Asked again and again."""
        if not self._pid or self._children.code(self._pid) is not None:
            return True
        if not self._stop_until:
            self._stop_until = time.monotonic() + STOP_SECONDS_MAX
            signal_group(self._pid, signal.SIGTERM)
        return time.monotonic() >= self._stop_until

    def remove_files(self) -> None:
        """Remove Ray's temporary folder, its logs included."""
        shutil.rmtree(self._dir, ignore_errors=True)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
            return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "")
        return ""
