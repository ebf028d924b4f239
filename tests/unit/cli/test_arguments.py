"""Arguments that can be nothing of their kind: one sentence and a fix, before anything is sent, never a whole file."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.cli.errors import show_error
from scheduler.client.errors import ApiRefused
from scheduler.client.http import Client
from scheduler.client.transport import Transport
from scheduler.core.errors import Finding
from scheduler.schema import bodies
from tests.unit.cli.conftest import Dure
from tests.unit.cli.samples import NOW_MS, TOKEN, listing, quota

ENV = {"DURE_SERVER": "http://127.0.0.1:1", "DURE_TOKEN": "dure_a_b"}
RAW = "\udcff"
LONG = "x" * 5_000
RUN = ["submit", "--gpus", "h:1", "--project", "o/p"]
ARGUMENTS = {
    "a job in hangul": (["why", "한글"], "JOB '한글' is no id or name of a job", "dure queue"),
    "a path for a job": (["why", "../../x"], "JOB '../../x' is no id or name of a job", "dure queue"),
    "an empty job": (["job", "get", ""], "JOB '' is no id or name of a job", "dure queue"),
    "one of several jobs": (["cancel", "a", "b c"], "JOB 'b c' is no id or name", "dure queue"),
    "a name to filter by": (["queue", "--name", "한글"], "--name '한글' is no name of a job", "dure queue"),
    "a user of raw bytes": (["queue", "--user", RAW], "--user '\\udcff' is no name of a user", "dure whoami"),
    "a project": (
        ["queue", "--project", "a/b/c"],
        "--project 'a/b/c' is no PROJECT or ORG/PROJECT",
        "dure project list",
    ),
    "an organisation": (["quota", "--org", "한글"], "--org '한글' is no name of an organisation", "dure org list"),
    "an organisation to show": (["org", "show", "a/b"], "NAME 'a/b' is no name of an organisation", "dure org list"),
    "an organisation to make": (
        ["org", "create", "한글", "--class", "sme"],
        "NAME  '한글' is no name",
        "small letters",
    ),
    "a class": (["org", "create", "x", "--class", "A B"], "--class  'A B' is no name of a class", "small letters"),
    "a project to make": (["project", "create", "x/한글"], "NAME  '한글' is no name", "small letters"),
    "a member": (["member", "add", "A B", "--scope", "all"], "USER  'A B' is no name of a user", "small letters"),
    "a scope": (["member", "add", "u", "--scope", "bogus"], "--scope 'bogus' is no scope", "write all, org:NAME"),
    "a scope to list": (["member", "list", "--scope", "한글"], "--scope '한글' is no scope", "write all, org:NAME"),
    "an invoice in a file": (["invoice", "verify", "./saved.json"], "NUMBER './saved.json' is no number", "not read"),
    "a period": (["period", "close", "a b", "--yes"], "PERIOD 'a b' is no id of a period", "dure period list"),
    "a token": (["token", "revoke", "한"], "ID '한' is no id of a token", "dure token list"),
    "a token for no time": (["token", "create", "--expires", "0s"], "1m at least and 366d at most", "--expires 30d"),
    "a token for too long": (["token", "create", "--expires", "999d"], "1m at least and 366d at most", "--expires 30d"),
    "a long note": (["token", "create", "--note", LONG], "the text has 5000 characters; at most 200", "shorten it"),
    "a variable of raw bytes": ([*RUN, "--env", f"A={RAW}", "--", "x"], "--env A: the value is not UTF-8", "UTF-8"),
    "a command of raw bytes": ([*RUN, "--", "x", RAW], "the command after --: the value is not UTF-8", "UTF-8"),
    "a long instant": (["usage", "--since", LONG], "is no instant", "7d"),
    "a long number": (["queue", "--limit", LONG], "is not a valid integer", "dure queue --help"),
    "a long option": (["queue", f"--{LONG}"], "has no option", "dure queue --help"),
    "a long command": ([LONG], "there is no command", "dure --help"),
    "a long server": (["--server", LONG, "queue"], "is not a server's address", "https://HOST"),
    "a long code": (["explain", LONG], "there is no code", "dure explain"),
}


@pytest.mark.parametrize(("args", "says", "fix"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_it_is_a_sentence_with_a_fix_and_nothing_is_sent(
    dure: Dure, monkeypatch: pytest.MonkeyPatch, args: list[str], says: str, fix: str
) -> None:
    monkeypatch.delattr(Transport, "send")
    result = dure(*args, env={} if "--server" in args else ENV)
    assert result.code in (2, 3), result
    assert "Traceback" not in result.err
    assert result.out == ""
    assert result.err.count("error[DURE-") == 1, result.err
    assert says in result.err, result.err
    assert f"  fix   {fix}" in result.err or fix in result.err.splitlines()[1], result.err
    assert len(result.err) < 700
    for word in ("Input should", "pattern", "validation error", "nothing at this address", "DURE-9001"):
        assert word not in result.err


POLICIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "error[DURE-1212] p.yaml:1:1  the file has no content"),
    "too large": (
        b"# " + b"x" * 300_000 + b"\n",
        "error[DURE-1201] p.yaml:1:1  the file has 300003 bytes; at most 262144",
    ),
    "not YAML": (b"a: [\n", "error[DURE-1202] p.yaml:2:1"),
    "a control character": (b"a: \x07\n", "error[DURE-1201] p.yaml:1:4  a control character"),
}


@pytest.mark.parametrize(("content", "says"), POLICIES.values(), ids=POLICIES.keys())
def test_a_policy_that_cannot_be_read_is_refused_here(
    dure: Dure, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str
) -> None:
    Path("p.yaml").write_bytes(content)
    monkeypatch.delattr(Transport, "send")
    for verb, *options in (("lint",), ("diff",), ("apply", "--reason", "tests")):
        result = dure("policy", verb, "p.yaml", *options, env=ENV).fails(2, says)
        assert len(result.err) < 1_000, verb


TWICE = {
    "its only finding": ("query.org: String should match", [("query.org", "String should match")], 1),
    "the first of two": ("a: one (and 1 more)", [("a", "one"), ("b", "two")], 2),
    "another sentence": ("the policy is refused", [("a", "one")], 2),
}


@pytest.mark.parametrize(("message", "found", "shown"), TWICE.values(), ids=TWICE.keys())
def test_no_finding_is_shown_twice(
    capsys: pytest.CaptureFixture[str], message: str, found: list[tuple[str, str]], shown: int
) -> None:
    findings = [Finding(where, "DURE-1040", text) for where, text in found]
    show_error(ApiRefused(422, "DURE-1040", message, "see /openapi.json", findings))
    text = capsys.readouterr().err
    assert text.count("error[DURE-1040]") == shown
    assert text.count("see /openapi.json") == 1
    for _, sentence in found:
        assert text.count(sentence) == 1


LINES = [quota("/startup", 0, 0, None), quota("/sme", 0, 0, None).model_copy(update={"flavor": "a100-80g"})]


@pytest.fixture
def quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two flavors for everybody, and one organisation without quota."""

    def lines(self: Client, *, org: str = "", flavor: str = "") -> bodies.Listing[bodies.QuotaLine]:
        found = [] if org else [line for line in LINES if flavor in ("", line.flavor)]
        return bodies.Listing[bodies.QuotaLine](kind="QuotaList", items=found)

    def org(self: Client, name: str) -> object:
        if name == "empty":
            return None
        raise ApiRefused(404, "DURE-3003", f"no organisation {name}", "dure org list")

    monkeypatch.setattr(Client, "quota", lines)
    monkeypatch.setattr(Client, "org", org)


def test_quota_takes_a_prefix_and_knows_what_is_not_there(dure: Dure, quotas: None) -> None:
    for flavor in ("h100", "H100-80G", "h"):
        items = dure("quota", "--flavor", flavor, "-o", "json", env=ENV).succeeds().json["items"]
        assert [item["flavor"] for item in items] == ["h100-80g"]
    dure("quota", "--flavor", "b200", env=ENV).fails(2, "error[DURE-1008] --flavor 'b200'", "a100-80g, h100-80g")
    dure("quota", "--flavor", "", env=ENV).succeeds()
    dure("quota", "--org", "nosuch", env=ENV).fails(3, "error[DURE-3003] no organisation nosuch")
    assert "no quota yet" in dure("quota", "--org", "empty", env=ENV).succeeds().err


def test_an_empty_queue_proposes_only_what_shows_more(dure: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    page = bodies.Listing[bodies.JobBody](kind="JobList", items=[])
    monkeypatch.setattr(Client, "jobs", lambda self, filters=None: page)
    assert "dure queue --all" in dure("queue", env=ENV).succeeds().err
    for options in (["--all"], ["--state", "Failed"]):
        assert dure("queue", *options, env=ENV).succeeds().err == "no such jobs that you may see\n"


EXPIRES = {"2026-11-21T23:59:59.999Z": "expired", "2026-11-22T00:00:00.001Z": "valid", "": "valid"}


@pytest.mark.parametrize(("expires", "state"), EXPIRES.items())
def test_a_token_that_has_expired_is_not_valid(
    dure: Dure, monkeypatch: pytest.MonkeyPatch, expires: str, state: str
) -> None:
    page = listing([TOKEN.model_copy(update={"expires_at": expires, "revoked": False}), TOKEN])
    monkeypatch.setattr(Client, "tokens", lambda self: page)
    monkeypatch.setattr("scheduler.cli.session.Session.now_ms", lambda self: NOW_MS)
    lines = dure("token", "list", env=ENV).succeeds().out.splitlines()
    assert f" {state} " in lines[1]
    assert " revoked " in lines[2]
