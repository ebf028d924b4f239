"""The program of ``dure init --template ray-train`` under a real supervisor, on a real Ray cluster of two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.cli.templating import texts
from tests.local.rig import LocalRig, assignment, package

pytestmark = pytest.mark.ray


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LocalRig]:
    made = LocalRig(tmp_path / "data")
    yield made
    made.close()


def test_the_ray_template_trains_on_every_gpu_of_its_gang_and_goes_on_where_it_was(rig: LocalRig) -> None:
    files = texts("ray-train", name="first", project="", gpus="h100:1")
    said = ""
    content, sha256 = package({"train.py": files["train.py"].encode()})
    for attempt, steps in enumerate(("40", "60"), 1):
        item = assignment(
            "first",
            "python train.py",
            (2, 1),
            package_sha256=sha256,
            entrypoint="ray",
            env=(("STEPS", steps),),
            attempt=attempt,
        )
        rig.start(item, content)
        found = rig.until_gone(item.name)
        said = rig.output(item.name)
        assert found["gone"].exit_code == 0, said
        assert f"step {steps} loss " in said
        assert "on 3 workers" in said
        assert said.splitlines()[-1] == "done"
    assert "step 20 " not in said  # the second attempt began at step 40
