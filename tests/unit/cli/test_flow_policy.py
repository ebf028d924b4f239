"""The policy on the command line, from lint to rollback: everything that is printed is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler.cli.session import Session
from scheduler.client.http import Client
from tests.support.asgi import AsgiTransport
from tests.support.golden import assert_golden
from tests.unit.api.place import DEFAULT_POLICY, Place
from tests.unit.cli.conftest import Dure
from tests.unit.cli.running import Result, golden
from tests.unit.cli.test_consent import ENV

OLD = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: pool}
flavors: {h100-80g: {exchange: 1.0}, a100-80g: {exchange: 0.45}}
tiers: {borrow: {price: 0.4, grace: 10m}, scavenge: {price: 0.1}}
limits: {max_gpus_per_job: 8, default_time: 1h, max_time: 2d}
classes:
  startup: {weight: 1, guarantee: {h100-80g: 4}, org_default: {guarantee: {h100-80g: 2}}, price: {of_list: 0.05}}
  sme: {weight: 1, price: {of_list: 0.10, funder: 과기정통부}}
overrides:
  - {org: beta, weight: 2, reason: "C-7, 한빛"}
rate_card: card-1
---
apiVersion: dure.dev/v1alpha1
kind: RateCard
metadata: {name: card-1}
valid_from: 2026-01-01T00:00:00+09:00
won_per_gpu_hour: {h100-80g: 2900, a100-80g: 1300}
"""
NEW = OLD.replace("guarantee: {h100-80g: 4}", "guarantee: {h100-80g: 6}").replace("{h100-80g: 2}", "{h100-80g: 1}")
NEW = NEW.replace("of_list: 0.05", "of_list: 0.06").replace("weight: 2, reason", "weight: 3, reason")
BROKEN = NEW.replace("weight: 3", "wieght: 3").replace("max_time: 2d", "max_time: 2 days")
WHY = ("--reason", "C-204: more for startups")


@pytest.fixture
def place(dure: Dure) -> Iterator[Place]:
    """The API over a memory store, with 8 H100 and the policy OLD as version 2."""
    place = Place()
    place.nodes(gpus=8)
    request = {"text": OLD, "reason": "first"}
    assert place.client("admin").post("/api/v1/policy", json=request).status_code == 201
    place.now_ms += 60_000
    for name, text in (("old.yaml", OLD), ("new.yaml", NEW), ("broken.yaml", BROKEN)):
        Path(name).write_text(text, encoding="utf-8")
    yield place
    place.close()


@pytest.fixture(autouse=True)
def speak_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let the command line talk to the place, for the administrator or whom a test names."""
    made: list[Client] = []

    def speak(user: str) -> None:
        made.append(Client("http://127.0.0.1", place.tokens[user], http=AsgiTransport(place.app)))
        monkeypatch.setattr(Session, "client", made[-1])

    speak("admin")
    yield speak
    for client in made:
        client.close()


def printed(result: Result) -> str:
    """Everything that a command gave."""
    return f"exit {result.code}\n== stdout\n{result.out}== stderr\n{result.err}"


CALLS: dict[str, list[str]] = {
    "lint-error": ["lint", "broken.yaml", "--capacity", "h100-80g=5"],
    "lint-capacity": ["lint", "new.yaml", "--capacity", "h100-80g=5"],
    "lint-ok": ["lint", "new.yaml"],
    "diff": ["diff", "new.yaml"],
    "diff-wide": ["diff", "new.yaml", "-o", "wide"],
    "diff-json": ["diff", "new.yaml", "-o", "json"],
    "diff-jsonl": ["diff", "new.yaml", "-o", "jsonl"],
    "diff-yaml": ["diff", "new.yaml", "-o", "yaml"],
    "diff-csv": ["diff", "new.yaml", "-o", "csv"],
    "diff-same": ["diff", "old.yaml"],
    "diff-error": ["diff", "broken.yaml"],
    "diff-versions": ["diff", "1", "2"],
    "diff-no-such-version": ["diff", "1", "7"],
    "apply": ["apply", "new.yaml", *WHY],
    "apply-json": ["apply", "new.yaml", *WHY, "-o", "json"],
    "apply-same": ["apply", "old.yaml", *WHY],
    "apply-without-reason": ["apply", "new.yaml"],
    "apply-error": ["apply", "broken.yaml", *WHY],
    "show": ["show"],
    "show-json": ["show", "-o", "json"],
    "show-error": ["show", "7"],
    "history": ["history"],
    "history-wide": ["history", "-o", "wide"],
    "history-json": ["history", "-o", "json"],
    "history-jsonl": ["history", "-o", "jsonl"],
    "history-yaml": ["history", "-o", "yaml"],
    "history-csv": ["history", "-o", "csv"],
    "history-id": ["history", "-o", "id"],
    "history-name": ["history", "-o", "name"],
    "rollback": ["rollback", "1", *WHY],
    "rollback-without-reason": ["rollback", "1", "--reason", "  "],
    "rollback-error": ["rollback", "7", *WHY],
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_printed_is_committed(dure: Dure, place: Place, name: str) -> None:
    result = dure("policy", *CALLS[name], env=ENV)
    assert "Traceback" not in result.err
    assert_golden(golden(f"policy/{name}.txt"), printed(result))


def test_a_rollback_brings_back_what_was(dure: Dure, place: Place) -> None:
    dure("policy", "apply", "new.yaml", *WHY, env=ENV).succeeds()
    result = dure("policy", "rollback", "2", "--reason", "C-231", env=ENV).succeeds()
    assert result.out == "policy/4 applied\n"
    assert "~   classes.startup.guarantee.h100-80g               6 -> 4" in result.err
    assert dure("policy", "show", "--text", env=ENV).succeeds().out == OLD
    assert dure("policy", "show", "-o", "json", env=ENV).json["reason"] == "rollback to v2: C-231"
    assert dure("policy", "diff", "2", "4", env=ENV).succeeds().out == "no difference\n"
    assert dure("policy", "rollback", "2", "--reason", "again", env=ENV).succeeds().out == "policy/4 in force already\n"


def test_apply_says_who_holds_more_than_would_be_guaranteed(dure: Dure, place: Place) -> None:
    place.submit(gpus="h100:2", tiers=["guaranteed"])
    place.allocator().step(place.now_ms)
    says = (
        "warning /startup/alpha holds 2 guaranteed h100-80g and would be guaranteed 1 (now 2): they keep running, and"
        " nothing new is guaranteed to it until it holds less\n"
    )
    assert says in dure("policy", "diff", "new.yaml", env=ENV).succeeds().err
    assert says in dure("policy", "apply", "new.yaml", *WHY, env=ENV).succeeds().err


def test_what_would_be_refused_is_said_before_it_is_asked(dure: Dure, place: Place) -> None:
    Path("new.yaml").write_text(NEW.replace("guarantee: {h100-80g: 6}", "guarantee: {h100-80g: 9}"), encoding="utf-8")
    says = "the classes guarantee 9 h100-80g but 8 are registered"
    result = dure("policy", "apply", "new.yaml", *WHY, env=ENV).fails(2, "error[DURE-1221] new.yaml:8:46", says)
    assert "    8 |   startup: {weight: 1, guarantee: {h100-80g: 9}" in result.err
    assert f"warning it would be refused: {says} (DURE-1221)" in dure("policy", "diff", "new.yaml", env=ENV).err
    assert dure("policy", "history", "-o", "id", env=ENV).out == "2\n1\n"


def test_a_colleague_who_was_faster_is_not_overwritten(
    dure: Dure, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def colleague(self: Session, question: str, **how: bool) -> None:
        request = {"text": DEFAULT_POLICY + "# by a colleague\n", "reason": "meanwhile"}
        assert place.client("admin").post("/api/v1/policy", json=request).status_code == 201

    monkeypatch.setattr(Session, "confirm", colleague)
    result = dure("policy", "apply", "new.yaml", *WHY, env=ENV)
    result.fails(7, "error[DURE-2120] this was decided against version 2, and in force is version 3 by admin")
    assert dure("policy", "history", "-o", "id", env=ENV).out.split()[0] == "3"


def test_others_read_their_part(dure: Dure, place: Place, speak_for: Callable[[str], None]) -> None:
    speak_for("org-admin")
    result = dure("policy", "diff", "new.yaml", env=ENV).succeeds()
    assert "beta" not in result.out + result.err
    assert "this is an excerpt" in result.err
    assert "classes.startup.guarantee.h100-80g" in result.out
    lines = dure("policy", "history", "-o", "csv", env=ENV).succeeds().out.splitlines()
    assert lines[1].endswith(",,,true")
    dure("policy", "rollback", "1", *WHY, env=ENV).fails(5, "DURE-4003")


WRONG = {
    "three versions": (["1", "2", "3"], "at most two versions"),
    "a file and two versions": (["old.yaml", "1", "2"], "at most one version"),
    "a version first": (["1", "old.yaml"], "versions stand after files"),
    "version zero": (["0"], "versions are counted from 1"),
}


@pytest.mark.parametrize(("words", "says"), WRONG.values(), ids=WRONG.keys())
def test_diff_of_what_cannot_be_compared(dure: Dure, place: Place, words: list[str], says: str) -> None:
    dure("policy", "diff", *words, env=ENV).fails(2, f"error[DURE-1008] {says}")


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[31m", "가" * 501, "a\u202eb"])
def test_a_reason_is_one_line_that_can_be_printed(dure: Dure, place: Place, reason: str) -> None:
    for verb in (["apply", "new.yaml"], ["rollback", "1"]):
        dure("policy", *verb, "--reason", reason, env=ENV).fails(2, "error[DURE-1008] --reason ")
    assert dure("policy", "history", "-o", "id", env=ENV).out == "2\n1\n"
