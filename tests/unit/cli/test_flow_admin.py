"""Login, roles, registry, policy, shares and money on the command line, against a real control plane."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from pathlib import Path

import pytest

from scheduler.client.http import Client
from scheduler.schema.bodies import InvoiceBody
from tests.unit.cli.conftest import Dure
from tests.unit.cli.server import POLICY, Api, HandCluster, eventually
from tests.unit.cli.test_flow_jobs import ended, submitted


def test_login_stores_the_token_for_its_server_only(dure: Dure, api: Api, config_folder: Path) -> None:
    token = f"  {api.admin_token}\n".encode()
    result = dure("--server", f"{api.url}/", "login", "--token-stdin", stdin=token).succeeds()
    assert f"logged in to {api.url} as admin" in result.err
    assert api.admin_token not in result.out + result.err
    stored = config_folder / "credentials.json"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert json.loads(stored.read_text())["tokens"][api.url]["user"] == "admin"
    assert dure("whoami", "-o", "id").succeeds().out == "admin\n"
    dure("--server", "http://127.0.0.1:1", "whoami").fails(4, "you are not logged in to http://127.0.0.1:1")
    assert dure("logout").succeeds().err.startswith("logged out of ")
    dure("whoami").fails(4, "DURE-4001")
    dure("logout").succeeds()


def test_login_by_variable_and_what_login_refuses(dure: Dure, api: Api, config_folder: Path) -> None:
    server = ("--server", api.url)
    dure(*server, "login").fails(4, "there is no token to log in with", "--token-stdin")
    dure(*server, "login", "--token-stdin", stdin=b"").fails(4, "standard input does not hold a token")
    dure(*server, "login", "--token-stdin", stdin=b"a b\nc").fails(4, "does not hold a token")
    dure(*server, "login", "--token-stdin", stdin=b"dure_a_b").fails(4, "error[DURE-4001] a valid token is needed")
    dure(*server, "login", env={"DURE_TOKEN": "no token"}).fails(4, "DURE_TOKEN does not hold a token")
    assert not (config_folder / "credentials.json").exists()
    dure(*server, "login", env={"DURE_TOKEN": api.admin_token}).succeeds()
    dure("whoami").succeeds()
    dure("whoami", env={"DURE_TOKEN": "dure_a_b"}).fails(4, "error[DURE-4001]")


def test_two_servers_have_two_contexts(admin: Dure, api: Api) -> None:
    other = api.url.replace("127.0.0.1", "localhost")
    admin("--server", other, "login", "--token-stdin", stdin=api.admin_token.encode()).succeeds()
    contexts = {item["name"]: item for item in admin("context", "list", "-o", "json").json["items"]}
    assert contexts["test"]["server"] == api.url
    assert contexts[other.removeprefix("http://").replace(":", "-")]["current"]
    admin("--context", "test", "whoami").succeeds()


def test_doctor_is_content_and_names_what_is_wrong(admin: Dure, api: Api, config_folder: Path) -> None:
    lines = {item["check"]: item for item in admin("doctor", "-o", "json").succeeds().json["items"]}
    assert {name: item["result"] for name, item in lines.items()} == dict.fromkeys(
        ["python", "dure", "settings", "config folder", "server", "clock", "login"], "ok"
    )
    down = admin("--server", "http://127.0.0.1:1", "doctor")
    assert (down.code, "fail   server" in down.out) == (8, True)
    refused = admin("doctor", env={"DURE_TOKEN": "dure_a_b"})
    assert (refused.code, "fail   login" in refused.out) == (4, True)
    (config_folder / "credentials.json").chmod(0o644)
    readable = admin("doctor")
    assert (readable.code, "chmod 600" in readable.out) == (2, True)


def test_tokens_are_made_shown_once_and_revoked(admin: Dure, api: Api) -> None:
    made = admin("token", "create", "--user", "user-1", "--note", "ci", "--expires", "1d").succeeds()
    token = made.out.strip()
    assert token.startswith("dure_")
    assert token not in made.err
    assert admin("whoami", "-o", "json", env={"DURE_TOKEN": token}).succeeds().json["user"] == "user-1"
    listed = admin("token", "list", "-o", "json").succeeds()
    assert token.split("_")[2] not in listed.out
    mine = next(item for item in listed.json["items"] if item["note"] == "ci")
    assert mine["user"] == "user-1"
    assert admin("token", "revoke", mine["id"]).succeeds().out == f"token/{mine['id']} revoked\n"
    admin("whoami", env={"DURE_TOKEN": token}).fails(4, "DURE-4001")
    admin("token", "revoke", "nosuchtoken").fails(3, "DURE-3005")
    admin("token", "create", "--expires", "1s").fails(2, "error[DURE-1008] --expires ")


def test_a_member_may_submit_and_not_administer(admin: Dure, project: str) -> None:
    admin("member", "add", "user-2", "--scope", f"project:{project}").succeeds()
    env = {"DURE_TOKEN": admin("token", "create", "--user", "user-2").succeeds().out.strip()}
    admin("submit", "--gpus", "h100:1", "--hold", "--", "true", env=env).succeeds()
    admin("org", "create", "mine", "--class", "startup", env=env).fails(5, "DURE-4003")
    admin("policy", "apply", "-", "--reason", "test", stdin=POLICY.encode() + b"#\n", env=env).fails(5, "DURE-4003")
    rows = admin("member", "list", "--scope", f"project:{project}", "-o", "json").succeeds().json["items"]
    assert [(row["user"], row["role"]) for row in rows] == [("user-2", "member")]
    admin("member", "remove", "user-2", "--scope", f"project:{project}").succeeds()
    admin("submit", "--gpus", "h100:1", "--", "true", env=env).fails(3, "DURE-3002")
    admin("member", "add", "user-2", "--scope", "galaxy:x").fails(2, "--scope")
    admin("member", "add", "user-2", "--role", "admin", "--scope", f"project:{project}").fails(2, "DURE-1303")


def test_the_only_project_one_has_needs_no_name(admin: Dure, project: str) -> None:
    admin("member", "add", "user-3", "--scope", f"project:{project}").succeeds()
    env = {"DURE_TOKEN": admin("token", "create", "--user", "user-3").succeeds().out.strip()}
    admin("context", "add", "bare", "--server", admin("config", "show", "-o", "json").json["items"][1]["value"])
    bare = ("--context", "bare", "submit", "--gpus", "h100:1", "--hold")
    assert f"(project {project})" in admin(*bare, "--", "true", env=env).succeeds().err
    assert f"(project {project})" in admin(*bare, "--project", "main", "--", "true", env=env).succeeds().err
    admin(*bare, "--", "true").fails(2, "error[DURE-1009]")


def test_registry(admin: Dure, project: str) -> None:
    org = project.partition("/")[0]
    assert admin("org", "show", org, "-o", "json").succeeds().json["class_name"] == "startup"
    assert org in admin("org", "list", "-o", "name").succeeds().out.split()
    assert admin("project", "list", "--org", org, "-o", "id").succeeds().out == f"{project}\n"
    admin("org", "create", org, "--class", "startup").succeeds()
    admin("org", "create", org, "--class", "university").fails(6, "DURE-6020")
    admin("org", "create", "Bad Name", "--class", "startup").fails(2, " NAME ")
    admin("org", "create", "x", "--class", "nope").fails(2, "DURE-1302", "startup, university")
    admin("project", "create", "nowhere/x").fails(3, "DURE-3003")
    admin("org", "show", "nowhere").fails(3)


def test_policy_lint_apply_show(admin: Dure) -> None:
    Path("policy.yaml").write_text(POLICY)
    assert admin("policy", "lint", "policy.yaml").succeeds().out == "policy.yaml: ok\n"
    assert admin("policy", "apply", "policy.yaml", "--reason", "test").succeeds().out.endswith("in force already\n")
    shown = admin("policy", "show", "-o", "json").succeeds().json
    assert shown["name"] == "test"
    assert admin("policy", "show", str(shown["version"]), "--text").succeeds().out == POLICY
    admin("policy", "show", "999").fails(3, "DURE-3006")
    token = admin("token", "create", "--user", "reader-of-little").succeeds().out.strip()
    part = admin("policy", "show", "--text", env={"DURE_TOKEN": token}).succeeds()
    assert "this is an excerpt" in part.err
    assert "this is an excerpt" not in admin("policy", "show", "--text").succeeds().err
    Path("broken.yaml").write_text(POLICY.replace("half_life", "half_live"))
    for verb in (["lint"], ["diff"], ["apply", "--reason", "test"]):
        admin("policy", *verb, "broken.yaml").fails(2, "error[DURE-1210] broken.yaml:", "did you mean half_life?")


def test_policy_in_two_files_points_into_the_right_one(admin: Dure) -> None:
    head, _, card = POLICY.partition("---\n")
    Path("policy.yaml").write_text(head)
    Path("card.yaml").write_text(card.replace("won_per_gpu_hour", "won_per_hour"))
    for verb in (["lint"], ["diff"], ["apply", "--reason", "test"]):
        admin("policy", *verb, "policy.yaml", "card.yaml").fails(2, "error[DURE-1210] card.yaml:5:1", "won_per_hour")
    Path("card.yaml").write_text(card)
    admin("policy", "lint", "policy.yaml", "card.yaml").succeeds()
    Path("latin.yaml").write_bytes(b"name: caf\xe9\n")
    admin("policy", "lint", "latin.yaml").fails(2, "latin.yaml:1:10", "UTF-8")


def test_policy_lint_against_capacity_needs_no_server(dure: Dure) -> None:
    guarantee = POLICY.replace("{weight: 25,", "{weight: 25, guarantee: {h100-80g: 4},")
    Path("policy.yaml").write_text(guarantee)
    dure("policy", "lint", "policy.yaml").succeeds()
    dure("policy", "lint", "policy.yaml", "--capacity", "h100-80g=4").succeeds()
    assert dure("policy", "lint", "policy.yaml", "--capacity", "h100-80g=3").code in (2, 7)


def test_shares(admin: Dure, project: str, cluster: HandCluster) -> None:
    rows = admin("gpus", "-o", "json").succeeds().json["items"]
    assert [(row["cluster"], row["total"]) for row in rows] == [("hand", 8)]
    assert " 0/-" in admin("quota").succeeds().out  # no guarantee, no bar
    org = project.partition("/")[0]
    nodes = {row["tree_node"] for row in admin("quota", "--org", org, "-o", "json").succeeds().json["items"]}
    assert any(node.endswith(f"/{org}") for node in nodes)
    admin("quota", "--flavor", "h100-80g", "-o", "csv").succeeds()
    admin("usage", "--since", "7d", "--until", "2999-01-01").succeeds()
    admin("usage", "--since", "yesterday").fails(2, "DURE-1008", "7d")
    admin("usage", "--since", "2026-02-30").fails(2, "DURE-1008")


@pytest.fixture
def invoiced(admin: Dure, project: str, cluster: HandCluster) -> str:
    """The number of an invoice for a job that has run."""
    job = submitted(admin, "--nodes", "2")
    cluster.end(cluster.start(job))
    assert ended(admin, job) == "Succeeded"
    for _ in range(2):
        cluster.watch()
    body = admin("period", "close", "--yes", "-o", "json").succeeds().json

    def closed() -> bool:
        cluster.watch()
        return bool(admin("period", "close", body["id"], "-o", "json").succeeds().json["state"] == "closed")

    eventually(closed)
    org = project.partition("/")[0]
    numbers = admin("invoice", "list", "--period", body["id"], "--org", org, "-o", "id").succeeds().out.split()
    assert len(numbers) == 1
    return numbers[0]


def test_money_from_usage_to_a_verified_invoice(admin: Dure, project: str, invoiced: str) -> None:
    usage = admin("usage", "--project", project, "-o", "json").succeeds().json["items"]
    assert [row["jobs"] for row in usage] == [1]
    summary = admin("invoice", "get", invoiced, "-o", "json").succeeds().json
    text = admin("invoice", "get", invoiced, "-o", "text").succeeds().out
    assert hashlib.sha256(text.encode()).hexdigest() == summary["sha256"]
    assert text == summary["text"]
    card = admin("invoice", "get", invoiced).succeeds().out
    assert f"Invoice        {invoiced}" in card
    assert "PROJECT" in card
    amounts = re.findall(r"^(\w[\w ]*?) +(-?)₩([\d,]+)$", card, re.MULTILINE)
    won = {name: int(sign + digits.replace(",", "")) for name, sign, digits in amounts}
    assert won["Product"] == won["List price"] + won["Tier factors"]
    assert won["Tenant part"] == won["Product"] + won["Paid by fund"] + won["Discount"]
    assert won["Payable"] == won["Tenant part"] + won["VAT"]
    rows = list(csv.DictReader(io.StringIO(admin("invoice", "get", invoiced, "-o", "csv").succeeds().out)))
    assert rows[-1]["row"] == "total"
    checked = admin("invoice", "verify", invoiced).succeeds()
    assert "✗" not in checked.out
    assert "computed here" in checked.out
    assert "no difference" in checked.err
    assert admin("invoice", "verify", invoiced, "-o", "json").json["ok"] is True
    admin("invoice", "verify", "nosuchinvoice").fails(3)
    assert "closed" in admin("period", "list").succeeds().out


def test_a_text_that_does_not_fit_its_sum_is_exit_20(
    admin: Dure, invoiced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Client.invoice

    def forged(self: Client, number: str) -> InvoiceBody:
        body = honest(self, number)
        return body.model_copy(update={"text": body.text.replace("h100", "a100")})

    monkeypatch.setattr(Client, "invoice", forged)
    result = admin("invoice", "verify", invoiced)
    assert result.code == 20
    assert "✗" in result.out
    assert "THERE IS A DIFFERENCE" in result.err
    assert "does not have the SHA-256" in admin("invoice", "get", invoiced).succeeds().err


def test_waiting_for_a_period_that_does_not_close_is_exit_8(admin: Dure, project: str, cluster: HandCluster) -> None:
    job = submitted(admin)
    attempt = cluster.start(job)
    cluster.watch()
    result = admin("period", "close", "--yes", "--wait-timeout", "1s")
    result.fails(8, "error[DURE-8009]", "was not closed in time")
    assert "closing" in result.out
    cluster.end(attempt)
    period = result.out.removeprefix("period/").split()[0]

    def closed() -> bool:
        cluster.watch()
        return "closed" in admin("period", "close", period).succeeds().out

    eventually(closed)
