"""The plan before a submission, against a real control plane: prices, limits, and refusals before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.client.errors import ApiRefused
from scheduler.client.http import Client
from scheduler.schema.bodies import PlanBody, TaskBody
from tests.unit.cli.conftest import Dure
from tests.unit.cli.test_flow_jobs import REFUSALS, TASK

# List 2900 won, startups pay 0.05 of it, borrow x 0.4; the policy's default time is 1 h, and grace comes after it:
# 290 x 3720 / 3600 = 299.67 with the default of 2 min, 116 x 3630 / 3600 = 116.97 with 30 s.
HEAD = """\
  GPUs     2 x 1 h100-80g = 2, time limit 1h (the policy's default)
  Tier     guaranteed, then borrow
  Share    no guarantee of h100-80g here: it runs on what others do not use
  Now      """
PRICES = """\
  Price    guaranteed  ₩145 per GPU-hour, at most ₩300 for an attempt
           borrow      ₩58.00 per GPU-hour, at most ₩117 for an attempt
           what the tenant pays, before VAT
  Runs     true
"""


@pytest.mark.parametrize("options", [["--dry-run"], ["--hold"], ["--hold", "--idempotency-key", "plan-1"]])
def test_prices_are_named_before_the_submission(admin: Dure, project: str, options: list[str]) -> None:
    result = admin("submit", "--gpus", "H100:1", "--nodes", "2", *options, "--", "true").succeeds()
    assert PRICES in result.err
    assert HEAD in result.err
    assert result.err.startswith(f"Plan  true  (project {project})\n")


@pytest.mark.parametrize(("old", "new", "code", "place", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_dry_run_is_refused_where_the_submission_would_be(
    admin: Dure, project: str, old: str, new: str, code: int, place: str, says: str
) -> None:
    Path("t.yaml").write_text(TASK.replace(old, new))
    assert admin("submit", "t.yaml", "--dry-run", "-o", "json").fails(code, place, says).out == ""


def test_a_dry_run_for_a_project_that_is_not_there(admin: Dure, project: str) -> None:
    run = ("submit", "--gpus", "h100:1", "--dry-run")
    admin(*run, "--project", "nowhere/main", "--", "true").fails(3, "error[DURE-3002]")
    admin(*run, "--", "true", env={"DURE_TOKEN": "dure_a_b"}).succeeds()
    assert "not checked by the server" in admin(*run, "--", "true", env={"DURE_TOKEN": "dure_a_b"}).err
    assert admin("queue", "--project", project, "-o", "id").out == ""


def test_a_server_without_plans_takes_submissions(admin: Dure, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Client, task: TaskBody) -> PlanBody:
        raise ApiRefused(405, "DURE-1045", "this address does not take this method")

    monkeypatch.setattr(Client, "plan", missing)
    result = admin("submit", "--gpus", "h100:1", "--hold", "--", "true").succeeds()
    assert "time limit the policy's default" in result.err


def test_a_key_gives_its_job_again_even_where_it_would_now_be_refused(
    admin: Dure, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Client, task: TaskBody) -> PlanBody:
        raise ApiRefused(403, "DURE-2105", "the organisation is suspended")

    submit = ("submit", "--gpus", "h100:1", "--hold", "-o", "id", "--idempotency-key", f"again-{project}")
    first = admin(*submit, "--", "true").succeeds().out
    monkeypatch.setattr(Client, "plan", refused)
    assert admin(*submit, "--", "true").succeeds().out == first
    admin("submit", "--gpus", "h100:1", "--", "true").fails(7, "error[DURE-2105]")
