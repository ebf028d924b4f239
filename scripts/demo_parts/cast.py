"""Who takes part in the demo: a policy, three classes, six organisations, sixteen jobs. All of it is made up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TRAINING = Path(__file__).resolve().parents[2] / "examples"
EPOCHS = 6
"""What every job of the demo trains."""
GRACE_SECONDS = 20
"""Of a borrower, between its notice and its end by force; the policy below says the same."""

FLAVORS = {"h100-80g": "2x2", "a100-80g": "2x2"}
"""Logical GPUs: two nodes of two GPUs for each flavor, eight GPUs in all."""
GPUS_TOTAL = 8

POLICY = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: demo}
timezone: Asia/Seoul
flavors:
  h100-80g: {exchange: 1.0, resource: nvidia.com/gpu, selector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}
  a100-80g: {exchange: 0.45, resource: nvidia.com/gpu, selector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB}}
tiers: {guaranteed: {}, borrow: {price: 0.4, grace: 20s}, scavenge: {price: 0.1, grace: 10s}}
half_life: 7d
limits:
  {max_gpus_per_job: 4, default_time: 10m, max_time: 1h, max_pending_per_project: 50, checkpoint_interval_max: 10m}
billing: {calendar: manual, vat: 0.10}
classes:
  university: {weight: 40, guarantee: {h100-80g: 1, a100-80g: 2}, price: {of_list: 0.0, funder: MSIT}}
  sme:        {weight: 35, guarantee: {h100-80g: 2, a100-80g: 1}, price: {of_list: 0.10, funder: MSIT}}
  startup:    {weight: 25, guarantee: {h100-80g: 1, a100-80g: 1}, price: {of_list: 0.05, funder: MSIT}}
rate_card: demo-rates
---
kind: RateCard
metadata: {name: demo-rates}
valid_from: 2026-01-01T00:00:00+09:00
# A thousand times what such hours may cost, so that trainings of seconds show on an invoice.
won_per_gpu_hour: {h100-80g: 2900000, a100-80g: 1300000}
"""


@dataclass(frozen=True)
class Org:
    """An organisation with one project, named ``digits``, and one user."""

    name: str
    class_name: str
    title: str
    registration_number: str = ""

    @property
    def project(self) -> str:
        """ORG/PROJECT."""
        return f"{self.name}/digits"

    @property
    def user(self) -> str:
        """The user that submits for it."""
        return f"trainer.{self.name}"


@dataclass(frozen=True)
class DemoJob:
    """A job of the demo; ``extra`` are arguments of the training script."""

    org: str
    name: str
    flavor: str
    nodes: int
    gpus: int
    extra: str = ""
    expect: str = "Succeeded"


ORGS = (
    Org("haneul-univ", "university", "Haneul University"),
    Org("bada-univ", "university", "Bada University"),
    Org("hanbit-ai", "sme", "Hanbit AI Inc.", "999-81-00015"),
    Org("mirae-parts", "sme", "Mirae Parts Co.", "999-81-00029"),
    Org("saessak-lab", "startup", "Saessak Lab", "999-81-00034"),
    Org("dallim-robotics", "startup", "Dallim Robotics"),
)

JOBS = (
    DemoJob("hanbit-ai", "wide-sweep", "h100", 2, 2, extra="--min-seconds 20"),
    DemoJob("saessak-lab", "first-model", "a100", 2, 2),
    DemoJob("haneul-univ", "thesis-a", "a100", 2, 1),
    DemoJob("haneul-univ", "thesis-b", "h100", 1, 1),
    DemoJob("bada-univ", "survey", "h100", 1, 1),
    DemoJob("mirae-parts", "inspect", "h100", 2, 1),
    DemoJob("dallim-robotics", "grasp", "h100", 1, 2),
    DemoJob("dallim-robotics", "broken", "a100", 1, 1, extra="--fail-at-epoch 2", expect="Failed"),
    DemoJob("bada-univ", "ensemble", "a100", 3, 1),
    DemoJob("hanbit-ai", "tune-1", "h100", 1, 1),
    DemoJob("hanbit-ai", "tune-2", "a100", 1, 1),
    DemoJob("mirae-parts", "gauge", "a100", 1, 2),
    DemoJob("saessak-lab", "second-model", "a100", 1, 1),
    DemoJob("haneul-univ", "long-run", "h100", 1, 1, extra="--min-seconds 600", expect="Cancelled"),
    DemoJob("bada-univ", "replicate", "a100", 1, 1),
    DemoJob("dallim-robotics", "walk", "h100", 1, 1),
)
BORROWER, CLAIMANT = JOBS[0], JOBS[3]
"""The first borrows every H100 of an idle pool; the second is inside what its class is guaranteed."""
REFUSED = DemoJob("saessak-lab", "too-big", "h100", 4, 2, expect="refused")
"""Eight GPUs where the policy allows four a job."""


def submission(job: DemoJob) -> list[str]:
    """The command that submits a job of the demo and prints its id."""
    resources = ["--gpus", f"{job.flavor}:{job.gpus}", "--nodes", str(job.nodes), "--time", "10m"]
    place = ["--project", f"{job.org}/digits", "--entrypoint", "ray", "--workdir", str(TRAINING)]
    training = ["python", "train_digits.py", "--epochs", str(EPOCHS), *job.extra.split()]
    return ["submit", "--name", job.name, *resources, *place, "--yes", "-o", "id", "--", *training]
