"""Hosts one attempt's Ray cluster: a head, and a Ray node for each other rank. The supervisor runs it by its path.

Standard input is a JSON object: ``ray_dir``, ``address_file`` and ``nodes``, each with ``gpus``, ``cpus``,
``object_store_bytes``, ``env`` and ``folder``. Once all nodes are up the address is written to the file. A file
``released-N`` beside it ends node N's part in the cluster (of the head, all but what the others need). The process
ends with 1 when a part of Ray dies, and with 0 after SIGTERM has ended them all.

It uses Ray's own Node class, which is not public: the command line starts a dashboard and a client server that an
attempt does not need, takes fixed ports, and needs twice the time. Tests with real clusters guard this module against
another version of Ray; nothing else imports Ray's insides.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

LOOK_SECONDS = 0.2
RELEASED = "released-"
# 0 lets the kernel choose, so that any number of clusters live side by side.
PORTS = ("gcs_server_port", "dashboard_agent_listen_port", "metrics_export_port", "runtime_env_agent_port")


def start_nodes(plan: dict[str, Any]) -> list[Any]:
    """Start head and further nodes, each with its rank's environment and folder; returns them, head first."""
    from ray._private import services
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    class LeanNode(Node):
        """A node without the dashboard's web server."""

        def start_api_server(self, **_: Any) -> None:
            self._webui_url = ""

    own_address: Any = services.get_node_ip_address
    common: dict[str, Any] = {"temp_dir": plan["ray_dir"], "node_ip_address": own_address()}
    common |= {"no_monitor": True, "include_log_monitor": False, "include_dashboard": False}
    common |= dict.fromkeys(PORTS, 0)
    nodes: list[Any] = []
    for item in plan["nodes"]:
        os.environ.clear()
        os.environ.update(item["env"])
        os.chdir(item["folder"])
        size = {"num_cpus": item["cpus"], "num_gpus": item["gpus"], "object_store_memory": item["object_store_bytes"]}
        params = RayParams(**common, **size)
        if nodes:
            params.gcs_address = nodes[0].address
        # The reaper ends Ray's own processes should this one be killed.
        nodes.append(LeanNode(params, head=not nodes, shutdown_at_exit=not nodes, spawn_reaper=True))
    return nodes


def main() -> int:
    """Start the nodes, say so, and watch them until one dies or SIGTERM comes."""
    plan = json.load(sys.stdin)
    nodes = start_nodes(plan)
    stopping: list[int] = []

    def stop(sign: int, _frame: FrameType | None) -> None:
        stopping.append(sign)

    signal.signal(signal.SIGTERM, stop)  # Ray's Node puts its own handler in place
    address_file = Path(plan["address_file"])
    fresh = address_file.with_suffix(".new")
    fresh.write_text(nodes[0].address, encoding="utf-8")
    fresh.replace(address_file)
    dead: list[str] = []
    released: set[int] = set()
    while not stopping and not dead:
        time.sleep(LOOK_SECONDS)
        for at in set(range(len(nodes))) - released:
            if address_file.with_name(f"{RELEASED}{at}").exists():
                released.add(at)
                # In good order, so that the others hear of it at once and not by missed heartbeats.
                nodes[at]._kill_process_type("raylet", allow_graceful=True, check_alive=False)
        # What was ended on purpose does not count as dead.
        dead = [f"{kind} of node {at} ended" for at, node in enumerate(nodes) for kind, _ in node.dead_processes()]
    if dead:
        print("dure: " + "; ".join(dead), flush=True)
    for node in reversed(nodes):
        node.kill_all_processes(check_alive=False, allow_graceful=not dead)
    sys.stdout.flush()
    os._exit(1 if dead else 0)


if __name__ == "__main__":
    main()
