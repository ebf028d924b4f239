"""The main job, end to end with nothing replaced: submit, run, read, measure, bill, verify, and catch a forger."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from pathlib import Path

import pytest

import scheduler.policy.examples
from scheduler.main.gap import compare_usage
from tests.e2e.conftest import MakeDure
from tests.support.dure import Dure, run_script
from tests.support.prometheus import PrometheusServer
from tests.support.source import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.prometheus]

POLICY = (Path(scheduler.policy.examples.__file__).parent / "default.yaml").read_text(encoding="utf-8")
MANUAL = POLICY.replace("rate_card: default\n", "billing: {calendar: manual}\nrate_card: default\n", 1)
SCRIPT = """\
import os, time
print("rank", os.environ["DURE_NODE_RANK"], "of", os.environ["DURE_NUM_NODES"], flush=True)
time.sleep(8)
print("done")
"""
MS = 1_000


def submit(dure: Dure, workdir: Path, *options: str) -> str:
    """The id of a new job."""
    out = dure.cli("submit", "--workdir", str(workdir), "--yes", "-o", "id", *options, "--", "python", "train.py")
    return out.strip()


def counted_milliseconds(dure: Dure) -> int:
    """Billed GPU-milliseconds of all attempts by the supervisors' own records."""
    counted = json.loads(run_script([str(ROOT / "scripts" / "count_records.py"), str(dure.data)]))
    return sum(int(line["billed_gpu_ms"]) for line in counted["totals"])


def posted_milliseconds(dure: Dure) -> int:
    """Billed GPU-milliseconds of all usage by the ledger."""
    usage = json.loads(dure.cli("usage", "-o", "json"))["items"]
    return sum(int(line["billed_milli_gpu_ms"]) for line in usage) // MS


def close_the_period(dure: Dure) -> str:
    """The id of the period, closed; asks again until the settler has done its part."""
    deadline = time.monotonic() + 60
    with dure.http() as client:
        (period,) = [item["id"] for item in client.get("/api/v1/periods").json()["items"] if item["state"] == "open"]
    while True:
        body = json.loads(dure.cli("period", "close", period, "--yes", "-o", "json"))
        if body["state"] == "closed":
            return str(period)
        assert time.monotonic() < deadline, body
        time.sleep(0.5)


def forge(dure: Dure, number: str) -> None:
    """Change an invoice where it is stored, past every trigger, as somebody with the database's file could."""
    with sqlite3.connect(dure.data / "dure.db", timeout=10) as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'invoice'")
        for (name,) in triggers.fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        (text,) = database.execute("SELECT invoice_json FROM invoice WHERE number = ?", (number,)).fetchone()
        forged = re.sub(r'"payable_won":(-?\d+)', lambda found: f'"payable_won":{int(found[1]) + 1}', text, count=1)
        assert forged != text
        database.execute("UPDATE invoice SET invoice_json = ? WHERE number = ?", (forged, number))
    database.close()


def test_the_main_job(make_dure: MakeDure, prometheus: PrometheusServer, tmp_path: Path) -> None:
    policy, workdir = tmp_path / "policy.yaml", tmp_path / "work"
    policy.write_text(MANUAL, encoding="utf-8")
    workdir.mkdir()
    (workdir / "train.py").write_text(SCRIPT, encoding="utf-8")
    dure = make_dure("up", "--gpus", "h100-80g=2x1", "--policy", str(policy))
    since_ms = time.time_ns() // 1_000_000
    dure.start()
    prometheus.add_target(dure.url.removeprefix("http://"))
    prometheus.wait_for("dure_build_info")

    gang = submit(dure, workdir, "--project", "demo/main", "--gpus", "h100:1", "--nodes", "2")
    waits = submit(dure, workdir, "--project", "demo/main", "--gpus", "h100:1", "--name", "later")
    dure.wait(gang, lambda body: body["attempt_state"] == "Running")
    assert json.loads(dure.cli("why", waits, "-o", "json"))["blockers"]
    dure.cli("cancel", waits, "--yes")
    done = dure.wait(gang)
    assert (done["state"], done["exit_code"], done["attempt"]) == ("Succeeded", 0, 1)
    assert dure.wait(waits)["state"] == "Cancelled"
    assert "rank 1 of 2" in dure.cli("logs", gang, "--rank", "1")

    period = close_the_period(dure)
    assert posted_milliseconds(dure) == counted_milliseconds(dure) > 2 * 8 * MS
    (invoice,) = json.loads(dure.cli("invoice", "list", "-o", "json"))["items"]
    assert (invoice["org"], invoice["period"]) == ("demo", period)
    number = invoice["number"]
    dure.cli("invoice", "verify", number)

    prometheus.wait_for("sum(dure_running_gpus) == 0")
    lines, findings = compare_usage(prometheus.url, dure.url, dure.token(), since_ms, time.time_ns() // 1_000_000)
    (line,) = lines
    assert findings == []
    assert line.org == "demo"
    # The tolerance of 0.1 GPU-hours says little in so short a time: here both must have seen nearly the same.
    assert abs(line.gap_milli_gpu_ms) < line.ledger_milli_gpu_ms // 5
    assert line.seen_milli_gpu_ms > 0

    forge(dure, number)
    dure.cli("invoice", "verify", number, expect=20)
    assert dure.stop() == 0
