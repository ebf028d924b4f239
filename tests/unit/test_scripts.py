"""Parts of the demo and of the proof: what they start ends with them, and what they count is what is there."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.demo_parts import leftovers, report, servers
from scripts.demo_parts.servers import dure_up
from scripts.prove_parts.judge import Kill, Round, begun_twice, judged, running_ranks
from tests.support.processes import wait_for

SLEEP = "import time; time.sleep(120)"
FAKE_DURE = """#!{python}
import http.server, pathlib, sys
data = pathlib.Path(sys.argv[sys.argv.index("--data") + 1])
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
(data / "server.url").write_text("http://127.0.0.1:%d" % server.server_port)
server.serve_forever()
"""


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Path]:
    """An attempt's folder with a supervisor that leads a session and a child in it; both sleep."""
    folder = tmp_path / "data" / "attempts" / "d-aaaa-a1"
    folder.mkdir(parents=True)
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"
    command = [sys.executable, "-c", code, "operators.local.supervisor", str(folder)]
    with subprocess.Popen(command, start_new_session=True) as supervisor:
        wait_for("its child", lambda: len(session_of(supervisor.pid)) == 2)
        yield folder
        left = session_of(supervisor.pid)
        for pid in left:
            os.kill(pid, 9)
    assert left == []


def session_of(leader: int) -> list[int]:
    """Living processes of a session."""
    return [pid for pid, _ in leftovers._commands() if leftovers._session(pid) == leader]


def test_a_demo_that_is_stopped_leaves_nothing(attempt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dure"
    program.write_text(FAKE_DURE.format(python=sys.executable), encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(servers, "DURE", program)
    data = attempt.parents[1]
    process = None
    with pytest.raises(KeyboardInterrupt), dure_up(data, tmp_path / "policy.yaml", tmp_path / "log") as up:
        process = up._process
        assert process is not None
        assert os.getsid(process.pid) == process.pid, "a key at the terminal must not reach it"
        raise KeyboardInterrupt
    assert process is not None
    assert process.poll() is not None
    assert leftovers.supervisors_of(data) == {}


def test_what_a_supervisor_left_behind_ends_too(attempt: Path) -> None:
    data = attempt.parents[1]
    (supervisor,) = leftovers.supervisors_of(data)
    env = {"DURE_ATTEMPT_DIR": str(attempt)}
    with subprocess.Popen([sys.executable, "-c", SLEEP], env=env, start_new_session=True) as hidden:
        leftovers.end_tree(data)
        assert hidden.wait(10) == -9
    assert session_of(supervisor) == []


def line(kind: str, rank: int) -> str:
    """A line of a record."""
    return json.dumps({"kind": kind, "rank": rank, "at_ms": 1}) + "\n"


def test_ranks_that_run_are_counted_while_their_supervisor_lives(attempt: Path) -> None:
    record = attempt / "record.jsonl"
    record.write_text(line("start", 0) + line("start", 1) + line("start", 2) + line("exit", 1) + '{"kind":"exi')
    dead = attempt.parent / "d-bbbb-a1"
    dead.mkdir()
    (dead / "record.jsonl").write_text(line("start", 0))
    data = attempt.parents[1]
    assert running_ranks(data) == 2
    leftovers.end_tree(data)
    assert running_ranks(data) == 0


BEGUN = {
    "once": ("1\n", True, []),
    "killed as it began": ("", False, []),
    "a later attempt": ("2\n1\n", True, []),
    "twice": ("1\n1\n", False, ["aaaa-a1"]),
    "ended and never begun": ("2\n", True, ["aaaa-a1"]),
}


def records(has_exit: bool) -> dict[str, Any]:
    """What the supervisors' records say of one attempt."""
    rank = {"rank": 0, "node": "h100-80g-0", "gpus": 1, "start_ms": 1, "end_ms": 2, "has_exit": has_exit}
    attempt = {"org": "o", "project": "p", "job": "aaaa", "attempt": 1, "notice": "", "ranks": [rank]}
    return {"attempts": [attempt], "totals": []}


@pytest.mark.parametrize(("text", "has_exit", "broken"), BEGUN.values(), ids=BEGUN.keys())
def test_an_attempt_says_itself_how_often_it_began(
    tmp_path: Path, text: str, has_exit: bool, broken: list[str]
) -> None:
    file = tmp_path / "checkpoints" / "o" / "p" / "aaaa" / "ran"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert begun_twice(records(has_exit), tmp_path) == broken


def test_a_round_is_judged_by_what_was_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "records_of", lambda data: records(has_exit=False))
    jobs = [{"id": name, "state": state, "attempt": 2} for name, state in (("a", "Failed"), ("b", "Succeeded"))]
    kills = [Kill(early=False, ranks=2), Kill(early=True, ranks=0), Kill(early=False, ranks=0)]
    seen = Round("whole-tree", kills, {"a": "Failed", "b": "Cancelled", "c": "Succeeded"}, jobs, [], {})
    rows = {row["name"]: (row["checked"], row["broken"]) for row in judged(seen, tmp_path)["invariants"]}
    assert rows["every kill outside a start fell while ranks ran"] == (2, 1)
    assert rows["no job was lost"] == (3, 1)
    assert rows["every job ended as it should"] == (2, 1)
    assert "every attempt lived on, unless it was evicted" not in rows
    lived_on = judged(seen._replace(name="control-plane"), tmp_path)["invariants"][-1]
    assert (lived_on["checked"], lived_on["broken"]) == (2, 2)
    evicted = {**records(has_exit=False)["attempts"][0], "job": "a", "notice": "evict"}
    monkeypatch.setattr(report, "records_of", lambda data: {"attempts": [evicted], "totals": []})
    lived_on = judged(seen._replace(name="control-plane"), tmp_path)["invariants"][-1]
    assert (lived_on["checked"], lived_on["broken"]) == (2, 1), "a had two attempts, for it was evicted once"
