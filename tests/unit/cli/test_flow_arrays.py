"""A job array on the command line, against a real control plane."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Dure
from tests.unit.cli.server import HandCluster, eventually


def submitted(dure: Dure, indices: str, name: str, *options: str) -> str:
    """The id of a new array."""
    options = ("--array", indices, "--name", name, *options)
    return dure("submit", "--gpus", "h100:1", "-o", "id", *options, "--", "true").succeeds().out.strip()


def test_the_plan_and_what_follows_are_of_the_whole_array(admin: Dure, project: str) -> None:
    result = admin(
        "submit", "--gpus", "h100:1", "--hold", "--array", "2-9%3", "--name", "swept", "--", "true"
    ).succeeds()
    array = result.out.removeprefix("array/").partition(" ")[0]
    assert result.out == f"array/{array} held, 8 jobs\n"
    # In tier guaranteed: 2,900 won x 0.05 x (1 h + 2 min of grace) x 8 jobs = 1,198.67 won.
    assert "\n  Array    2-9%3: 8 jobs, at most 3 at once; at most ₩1,199 for all\n" in result.err
    assert f"dure logs -f {array}.2\n" in result.err
    assert f"dure cancel {array}\n" in result.err
    admin("cancel", array).succeeds()


def test_a_queue_shows_one_row_that_unfolds(admin: Dure, project: str) -> None:
    array = submitted(admin, "1-3", "rows", "--hold")
    row = admin("queue", "--name", "rows").succeeds().out.splitlines()[1]
    assert row.split("\t" if "\t" in row else None)[:3] == [array, "rows[1-3]", "Held"]
    assert "3 of 3 waiting: HeldByUser" in row
    rows = admin("queue", "--name", "rows", "--expand", "-o", "json").succeeds().json["items"]
    assert [(item["array"]["id"], item["array"]["index"]) for item in rows] == [(array, 3), (array, 2), (array, 1)]
    assert "rows[2]" in admin("queue", "--name", "rows", "--expand").succeeds().out
    one = admin("queue", "--name", "rows", "-o", "json").succeeds().json["items"]
    assert [(item["id"], item["array"]["states"]) for item in one] == [(array, {"Held": 3})]
    admin("cancel", array).succeeds()


def test_members_are_named_and_steered_alone(admin: Dure, project: str, cluster: HandCluster) -> None:
    array = submitted(admin, "1-3%1", "alone", "--hold")
    admin("logs", array).fails(6, "error[DURE-6070]", f"name one: {array}.1")
    admin("logs", f"{array}.7").fails(3, "error[DURE-3030]")
    assert admin("job", "release", "alone[2]").succeeds().out.endswith(" queued\n")
    member = admin("job", "get", "alone[2]", "-o", "json").succeeds().json
    assert (member["name"], member["array"]["index"]) == ("alone", 2)
    attempt = cluster.start(member["id"])
    cluster.write(attempt, 0, b"second\n")
    assert admin("logs", "alone[2]").succeeds().out == admin("logs", f"{array}.2").succeeds().out == "second\n"
    assert admin("job", "release", "alone").succeeds().out == f"array/{array} active, 3 jobs\n"
    said = admin("why", array).succeeds().out
    assert said.startswith("2 of the array's 3 jobs wait; the first is alone[1].")
    assert "WaitingDependency" in said
    assert "1 of 3 running" in admin("queue", "--name", "alone").succeeds().out
    cluster.end(attempt)
    eventually(lambda: admin("job", "get", "alone.1", "-o", "json").json["state"] == "Active")
    admin("cancel", array).succeeds()
    cluster.end(cluster.assigned(admin("job", "get", "alone.1", "-o", "id").out.strip()))
    eventually(lambda: admin("job", "get", array, "-o", "json").json["state"] == "Cancelled")
    assert "2 of 3 cancelled" in admin("queue", "--all", "--name", "alone").succeeds().out


def test_mistakes_are_shown_at_their_place(dure: Dure) -> None:
    Path("t.yaml").write_text('resources: {gpus: "h100:1", time: 1h}\narray: 5-1\nhold_on_failure: 2h\nrun: "true"\n')
    failed = dure("submit", "t.yaml", "--dry-run").fails(
        2, "error[DURE-1310] t.yaml:2:8", "error[DURE-1311] t.yaml:3:18"
    )
    assert "5-1 ends before it begins" in failed.err
    dure("submit", "--gpus", "h100:1", "--array", "x", "--", "true").fails(2, "error[DURE-1310] --array")
    options = ("--array", "1-2", "--dry-run", "-o", "json", "--project", "o/p")
    assert dure("submit", "--gpus", "h100:1", *options, "--", "true").succeeds().json["array"] == "1-2"


def test_who_looks_for_job_list_finds_the_queue(dure: Dure) -> None:
    dure("job", "list").fails(2, 'there is no command "dure job list"', "did you mean dure queue?")
