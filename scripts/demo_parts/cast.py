"""Who takes part in the demo: a policy, three classes, six organisations, sixteen jobs. All of it is made up."""

from __future__ import annotations

from dataclasses import dataclass

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
tiers: {guaranteed: {}, borrow: {price: 0.4, grace: 10m}, scavenge: {price: 0.1, grace: 2m}}
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
    Org("hanbit-ai", "sme", "Hanbit AI Inc.", "124-81-00998"),
    Org("mirae-parts", "sme", "Mirae Parts Co.", "220-81-62517"),
    Org("saessak-lab", "startup", "Saessak Lab", "120-81-47521"),
    Org("dallim-robotics", "startup", "Dallim Robotics"),
)

JOBS = (
    DemoJob("hanbit-ai", "wide-sweep", "h100", 2, 2),
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
REFUSED = DemoJob("saessak-lab", "too-big", "h100", 4, 2, expect="refused")
"""Eight GPUs where the policy allows four a job."""
