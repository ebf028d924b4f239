"""Parts of ``dure up``: one process a folder, nodes that are remembered, a policy that is checked first."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from operators.loop import StepResult
from operators.metrics import RunningGpus
from operators.ports import Failure, Sample
from scheduler.config import Settings
from scheduler.core.errors import Fatal, Retry
from scheduler.core.model import Node
from scheduler.main.embedded import (
    FirstPolicy,
    _ticks,
    check_policy,
    chosen_gpus,
    default_policy,
    local_nodes,
    locked,
    next_commands,
    run_up,
)
from scheduler.main.serving import listen, url_of
from scheduler.services.policies import FileRefused


def test_one_process_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(Fatal, match=r"is in use by another dure up \(process \d+\)") as found, locked(tmp_path):
            pass
        assert found.value.code == "DURE-1053"
    with locked(tmp_path):
        pass


def nodes(*gpus: str) -> tuple[Node, ...]:
    """Nodes of the local cluster."""
    return local_nodes(Settings(), gpus)


def test_gpus_are_those_asked_for_then_those_of_the_last_start(tmp_path: Path) -> None:
    assert chosen_gpus(Settings(data=tmp_path, gpus=("a=1", "b=2"))) == ("a=1", "b=2")
    (tmp_path / "gpus.json").write_text('["c=3"]', encoding="utf-8")
    assert chosen_gpus(Settings(data=tmp_path)) == ("c=3",)
    assert chosen_gpus(Settings(data=tmp_path, gpus=("d=4",))) == ("d=4",)


def test_nodes() -> None:
    found = nodes("h100-80g=2x4", "a100-80g=8")
    assert [(node.cluster, node.name, node.gpus) for node in found] == [
        ("local", "h100-80g-0", 4),
        ("local", "h100-80g-1", 4),
        ("local", "a100-80g-0", 8),
    ]


@pytest.mark.parametrize("spec", ["h100", "h100=0", "h100=1x", "=4"])
def test_gpus_that_are_none(spec: str) -> None:
    with pytest.raises(Fatal) as found:
        nodes(spec)
    assert found.value.code == "DURE-1054"


def test_the_default_policy_fits_any_nodes() -> None:
    check_policy(default_policy(), nodes("a100-80g=1"))


def test_a_policy_that_guarantees_more_than_there_is_stops_the_start() -> None:
    text = default_policy().text.replace("university: {weight: 40", "university: {weight: 40, guarantee: {h100-80g: 3}")
    first = FirstPolicy(text, "mine.yaml", chosen=True)
    check_policy(first, nodes("h100-80g=3"))
    with pytest.raises(FileRefused) as found:
        check_policy(first, nodes("h100-80g=2"))
    assert found.value.findings[0].where.startswith("mine.yaml:")


def test_a_start_that_fails_changes_nothing(tmp_path: Path) -> None:
    broken = FirstPolicy("kind: Policy\n", "mine.yaml", chosen=True)
    data = tmp_path / "data"
    with pytest.raises(FileRefused):
        run_up(Settings(data=data, gpus=("h100-80g=1",), port=0), broken, True, print)
    assert sorted(path.name for path in data.iterdir()) == ["dure.lock"]


def test_a_port_in_use_is_told_in_a_sentence() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        settings = Settings(port=other.getsockname()[1])
        with pytest.raises(Fatal, match="cannot be used") as found:
            listen(settings)
    assert found.value.code == "DURE-1051"


def test_an_address_of_another_machine_is_told_in_a_sentence() -> None:
    with pytest.raises(Fatal, match="cannot be used"):
        listen(Settings(host="192.0.2.1", port=0))


def test_the_servers_address_is_one_that_can_be_called() -> None:
    for host in ("127.0.0.1", "0.0.0.0", "localhost"):
        with closing(listen(Settings(host=host, port=0))) as listener:
            url = url_of(listener)
        assert url.startswith(("http://127.0.0.1:", "http://[::1]:"))
        assert not url.endswith(":0")


@pytest.mark.parametrize("has_demo_org", [True, False])
def test_three_commands_come_next(has_demo_org: bool) -> None:
    commands = next_commands(Settings(), "http://127.0.0.1:3873", has_demo_org)
    assert len(commands) == 3
    assert all(command.startswith("dure ") for command in commands)
    assert commands[0] == "dure login --server http://127.0.0.1:3873 --token-stdin < dure-data/admin.token"


LABELS = {"org": "acme", "project": "nlp", "flavor": "h100", "tier": "borrow"}


def looked(energy_mj: int) -> StepResult:
    """A step that saw one rank run on a real device."""
    rank = Sample("j", 1, 0, "acme", "nlp", "h100", "borrow", 1, running=True, energy_mj=energy_mj)
    return StepResult(samples=(rank,))


def test_a_look_that_failed_is_no_look_at_an_empty_machine() -> None:
    failed = StepResult(failures=(Failure("observe", Retry("DURE-8008", "not now")),))
    results = [looked(5_000), failed, looked(9_000), looked(9_500)]
    registry = CollectorRegistry()
    loop = SimpleNamespace(step=lambda now_ms: results.pop(0))
    tick = _ticks(loop, RunningGpus(registry), lambda: 0)  # type: ignore[arg-type]  # it is only stepped
    running = []
    for _ in range(4):
        tick()
        running.append(registry.get_sample_value("dure_running_gpus", LABELS))
    assert running == [1, 1, 1, 1]
    assert registry.get_sample_value("dure_gpu_energy_joules_total", LABELS) == 4.5
