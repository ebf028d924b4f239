"""Mutated task files: always a task or findings, never an exception."""

from __future__ import annotations

import random
import re

from scheduler.schema.bodies import TaskBody
from scheduler.schema.codes import CODES
from scheduler.schema.report import FINDINGS_MAX
from scheduler.schema.task import Override, Task, read_task, with_overrides
from tests.support.mutations import mutated

MUTATIONS = 2_000
WHERE = re.compile(r"t\.yaml:\d+:\d+\Z")
GOOD = """\
# yaml-language-server: $schema=https://dure.dev/schema/task.v1.json
name: llm-sft
project: hanbit-ai/nlp
resources: {gpus: "H100:4", nodes: 2, time: 12h}
tier: [guaranteed, borrow]
workdir: .
env: {EPOCHS: "3", RATE: 0.001}
setup: |
  uv pip install -r requirements.txt
run: >-
  torchrun --nnodes=$DURE_NUM_NODES
  --node-rank=$DURE_NODE_RANK train.py
entrypoint: script
retries: 2
hold: false
"""


def test_a_mutated_task_is_a_task_or_findings(rng: random.Random) -> None:
    tasks = 0
    for _ in range(MUTATIONS):
        data = mutated(rng, GOOD)
        result = read_task(data, "t.yaml")
        if isinstance(result, Task):
            tasks += 1
            assert isinstance(with_project(result).to_body(), TaskBody), data
            continue
        assert 0 < len(result) <= FINDINGS_MAX + 1, data
        for finding in result:
            assert WHERE.match(finding.where), (data, finding)
            assert finding.code in CODES, (data, finding)
            assert finding.message, data
            assert finding.fix, (data, finding)
        places = [tuple(map(int, finding.where.rsplit(":", 2)[1:])) for finding in result]
        assert places == sorted(places), data
    # Both halves of the promise were tried.
    assert MUTATIONS * 0.1 < tasks < MUTATIONS * 0.9


def with_project(task: Task) -> Task:
    """The task under a flag that names a project, as a mutation may have lost it."""
    result = with_overrides(task, [Override("project", "hanbit-ai/nlp", "--project")])
    assert isinstance(result, Task)
    return result
