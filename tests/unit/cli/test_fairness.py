"""``dure fairness report``: golden tables, other forms as the server writes them, and mistakes in a sentence."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from scheduler.cli.render import Page, render
from scheduler.cli.sheets_fairness import SHARES, WAITS
from scheduler.cli.tables import View
from scheduler.client.http import Client
from scheduler.schema.bodies import FairnessBody
from tests.support.golden import assert_golden
from tests.unit.cli.conftest import Dure
from tests.unit.cli.running import golden
from tests.unit.cli.server import HandCluster
from tests.unit.cli.test_flow_jobs import ended, submitted
from tests.unit.web.fixed import fixed


@pytest.mark.parametrize("columns", [100_000, 100, 60])
def test_the_tables_are_the_committed_ones(columns: int) -> None:
    page = Page(terminal=columns < 100_000, colour=False, columns=columns)
    parts = []
    for view in ("whole", "public"):
        body = fixed(view == "public")
        rows = [share for share in body.shares if share.level != "project"]
        parts.append(f"== {view}\n{render(None, SHARES, 'table', View(), rows, page)}\n")
        parts.append(render(None, WAITS, "table", View(), body.waits, page))
    assert_golden(golden(f"render/fairness-{columns}.txt"), "".join(parts))


def test_a_job_that_ran_is_in_the_report(admin: Dure, project: str, cluster: HandCluster, tmp_path: Path) -> None:
    job = submitted(admin)
    cluster.end(cluster.start(job))
    assert ended(admin, job) == "Succeeded"
    cluster.watch()
    org = project.partition("/")[0]
    table = admin("fairness", "report").succeeds()
    assert "TREE NODE" in table.out
    assert f"/{org}" in table.out
    assert "WAIT P95" in table.out
    body = admin("fairness", "report", "-o", "json").succeeds().json
    assert FairnessBody.model_validate(body).view == "whole"
    rows = list(csv.DictReader(io.StringIO(admin("fairness", "report", "-o", "csv").succeeds().out)))
    assert {row["table"] for row in rows} >= {"report", "shares", "waits", "days"}
    file = tmp_path / "fairness.html"
    told = admin("fairness", "report", "--since", "1d", "-o", "html", "--lang", "en", "--file", str(file)).succeeds()
    assert (told.out, f"written: {file}" in told.err) == ("", True)
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    saved = tmp_path / "fairness.json"
    admin("fairness", "report", "-o", "json", "--file", str(saved)).succeeds()
    assert json.loads(saved.read_text(encoding="utf-8"))["kind"] == "FairnessReport"


def test_what_cannot_be_done_is_a_sentence(admin: Dure, project: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none" / "x.csv")
    admin("fairness", "report", "-o", "csv", "--file", nowhere).fails(
        2, "error[DURE-1342]", "No such file or directory"
    )
    admin("fairness", "report", "--period", "2001-01", "--since", "1d").fails(2, "error[DURE-1340]")
    admin("fairness", "report", "--since", "soon").fails(2, "is no instant")
    admin("fairness", "report", "--period", "nosuch").fails(3, "error[DURE-3007]")
    admin("fairness", "report", "--public", "--since", "1d").fails(2, "a closed billing period")
    admin("fairness", "report", "--lang", "fr").fails(2)


def test_only_the_worst_served_organisations_are_in_the_table(admin: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "fairness", lambda *_: fixed(False))
    monkeypatch.setattr("scheduler.cli.commands.fairness.ORGS_SHOWN", 3)
    result = admin("fairness", "report").succeeds()
    shown = [line.split()[0] for line in result.out.splitlines() if line.startswith("/") and line.count("/") == 2]
    assert shown == ["/sme/sme-f", "/sme/sme-e", "/sme/sme-d"]
    assert "of 17 organisations the 3 that received least" in result.err
