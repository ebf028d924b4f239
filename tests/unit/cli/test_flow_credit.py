"""Credit notes, PDFs and an export on the command line, against a real control plane with two administrators."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Dure
from tests.unit.cli.test_flow_admin import invoiced

__all__ = ["invoiced"]


@pytest.fixture
def second(admin: Dure) -> dict[str, str]:
    """The environment of another administrator."""
    admin("member", "add", "second", "--role", "admin", "--scope", "all").succeeds()
    token = admin("token", "create", "--user", "second", "-o", "json").succeeds().json["secret"]
    return {"DURE_TOKEN": token}


def test_from_a_proposal_to_a_verified_credit_note(
    admin: Dure, invoiced: str, second: dict[str, str], tmp_path: Path
) -> None:
    why = ("--explanation", "노드가 느렸음")
    admin("credit", "propose", invoiced, "--reason", "02", *why).fails(2, "DURE-6050")
    admin("credit", "propose", invoiced, "--reason", "01", *why, "--line", "1=0").fails(2, "DURE-6050")
    told = admin("credit", "propose", invoiced, "--reason", "02", *why, "--line", "1=0").succeeds()
    assert " proposed: " in told.out and "dure credit approve" in told.err
    proposal = admin("credit", "propose", invoiced, "--reason", "02", *why, "--line", "1=0", "-o", "id").succeeds().out
    admin("credit", "approve", proposal.strip(), "--yes").fails(6, "DURE-6051")
    admin("credit", "approve", proposal.strip(), env=second).fails(2, "DURE-1007", "proposed by admin")
    number = admin("credit", "approve", proposal.strip(), "--yes", "-o", "id", env=second).succeeds().out.strip()
    assert number.startswith("DURE-CN-")
    assert admin("credit", "approve", proposal.strip(), "--yes", "-o", "id", env=second).out.strip() == number
    card = admin("credit", "get", number).succeeds().out
    assert "노드가 느렸음" in card and "by admin" in card and "second" in card
    text = admin("credit", "get", number, "-o", "text").succeeds().out
    body = admin("credit", "get", proposal.strip(), "-o", "json").succeeds().json
    assert (body["state"], body["sha256"]) == ("issued", hashlib.sha256(text.encode()).hexdigest())
    assert "total" in admin("credit", "get", number, "-o", "csv").succeeds().out
    file = tmp_path / "note.pdf"
    admin("credit", "get", number, "-o", "pdf", "--file", str(file)).succeeds()
    assert file.read_bytes().startswith(b"%PDF")
    seen = admin("credit", "verify", number).succeeds()
    assert "✗" not in seen.out and "PDF ko" in seen.out
    assert number in admin("invoice", "verify", invoiced).succeeds().out
    assert number in admin("credit", "list", "--invoice", invoiced, "-o", "name").succeeds().out
    admin("credit", "get", "nosuchcredit").fails(3, "DURE-3022")


def test_an_export_is_whole_and_the_same_again(admin: Dure, invoiced: str, tmp_path: Path) -> None:
    period = admin("invoice", "get", invoiced, "-o", "json").json["period"]
    folder = tmp_path / "invoices"
    said = admin("invoice", "export", "--period", period, "--to", str(folder), "--lang", "en").succeeds()
    assert "1 invoices" in said.err and said.out == ""
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    # A credit note that another test had booked in this period is exported with it.
    of_invoice = {f"{invoiced}.json", f"{invoiced}.csv", f"{invoiced}-en.pdf", "SHA256SUMS"}
    assert {name for name in files if not name.startswith("DURE-CN-")} == of_invoice
    assert json.loads(files[f"{invoiced}.json"])["number"] == invoiced
    for line in files["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(files[name]).hexdigest() == digest
    again = admin("invoice", "export", "--period", period, "--to", str(folder), "--lang", "en").succeeds()
    assert f"0 of {len(files) - 1} files are new" in again.err
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    other = tmp_path / "other"
    admin("invoice", "export", "--period", period, "--to", str(other), "--no-pdf").succeeds()
    assert {file.suffix for file in other.iterdir()} == {".json", ".csv", ""}
    checked = admin("invoice", "verify", invoiced).succeeds().out
    assert "PDF en" in checked and "= the record" in checked and "Prometheus" in checked


def test_usage_by_groups_adds_up(admin: Dure, project: str, invoiced: str) -> None:
    by_day = admin("usage", "--project", project, "--by", "day,flavor", "-o", "json").succeeds().json
    plain = admin("usage", "--project", project, "-o", "json").succeeds().json["items"]
    assert by_day["by"] == ["day", "flavor"]
    for name in ("held_milli_gpu_ms", "billed_milli_gpu_ms", "posted_microwon"):
        assert by_day["totals"][name] == sum(row[name] for row in plain) == sum(row[name] for row in by_day["items"])
    table = admin("usage", "--project", project, "--by", "day").succeeds().out.splitlines()
    assert table[0].startswith("DAY") and table[-1].startswith("total")
    assert admin("usage", "--project", project, "--by", "day", "-o", "csv").succeeds().out.count("\n") == len(table) - 1
