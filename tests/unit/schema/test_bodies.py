"""Bodies refuse what the file's reader would refuse, because the reader is not the border."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from scheduler.schema import bodies
from scheduler.schema.bodies import Body, Listing, Problem, TaskBody

TASK: dict[str, Any] = {"name": "train", "project": "hanbit-ai/nlp", "gpus": "h100:1", "run": "python train.py"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Train"},
        {"name": "x" * 41},
        {"project": "nlp"},
        {"gpus": "h100"},
        {"gpus": "h100:0"},
        {"gpus": "h100:10000"},
        {"gpus": "24GB+:1"},
        {"nodes": 0},
        {"nodes": 4_097},
        {"time_seconds": 0},
        {"tiers": []},
        {"tiers": ["free"]},
        {"tiers": ["borrow"] * 4},
        {"run": ""},
        {"run": "a\0b"},
        {"run": "x" * 65_537},
        {"setup": "\0"},
        {"env": {"A-B": "1"}},
        {"env": {"DURE_JOB": "1"}},
        {"env": {"RAY_ADDRESS": "1"}},
        {"env": {"A": "\0"}},
        {"env": {f"A{number}": "" for number in range(257)}},
        {"retries": 11},
        {"package_sha256": "0"},
        {"entrypoint": "mpi"},
        {"unknown": 1},
    ],
)
def test_a_task_that_no_file_could_hold_is_refused(wrong: dict[str, Any]) -> None:
    assert TaskBody(**TASK).nodes == 1
    with pytest.raises(ValidationError):
        TaskBody(**{**TASK, **wrong})


def test_an_observation_of_a_node_names_it() -> None:
    seen: dict[str, Any] = {"id": "n/1", "at_ms": 1, "flavor": "h100-80g", "gpus": 1}
    assert bodies.ObservationBody(**seen, kind="node", node="n").node == "n"
    assert bodies.ObservationBody(**seen, kind="gone").node == ""
    with pytest.raises(ValidationError, match="needs the node's name"):
        bodies.ObservationBody(**seen, kind="node")


def test_every_body_is_exported_once() -> None:
    assert len(bodies.__all__) == len(set(bodies.__all__))
    models = {name for name in bodies.__all__ if isinstance(getattr(bodies, name), type)}
    known = {
        kind.__name__
        for kind in _below(Body)
        if "[" not in kind.__name__ and kind.__module__.startswith("scheduler.schema.")
    }
    assert models == known | {"Body"}


def _below(kind: type[Body]) -> set[type[Body]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(_below(item) for item in direct))


def test_answers_name_their_kind() -> None:
    page = Listing[bodies.EventBody](items=[bodies.EventBody(at="t", event="Queued", detail="")])
    assert page.model_dump() == {
        "apiVersion": "dure.dev/v1alpha1",
        "kind": "List",
        "items": [{"at": "t", "event": "Queued", "detail": ""}],
        "next": "",
    }
    assert Problem(type="about:blank", title="t", status=422, code="DURE-1040").findings == []
