"""Completion with live names: what is offered, how long it is kept, and that a shell never hears of a failure."""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler.cli import completing
from scheduler.client.http import Client
from tests.support.source import ROOT
from tests.unit.cli.conftest import Dure
from tests.unit.cli.small_world import Server, World, served

CONFIG = "current: seoul\ncontexts:\n- {name: seoul, server: 'http://127.0.0.1:1'}\n- {name: busan}\n"
SECONDS_MAX = 60


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A socket with one world behind it."""
    world = World()
    with served() as server:
        server.world = world
        yield server
    world.close()


@pytest.fixture
def env(server: Server, tmp_path: Path) -> dict[str, str]:
    """Who is logged in, and a folder for what is kept."""
    assert server.world is not None
    token = server.world.tokens["admin"]
    return {"DURE_SERVER": server.url, "DURE_TOKEN": token, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def offered(dure: Dure, line: str, env: Mapping[str, str], shell: str = "bash") -> list[str]:
    """What the shell's script would be told for the last word of a line."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    asked = {"_DURE_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = dure(env={**env, **asked})
    assert (result.code, result.err) == (0, "")
    return result.out.split()  # click ends an empty answer with a line of its own


# Line so far -> some of what is offered for its last word.
LINES = {
    "jobs by name": ("dure why pre", ["plain,pretrain"]),
    "jobs by id": ("dure cancel q7f3k2aba", ["plain,q7f3k2abal", "plain,q7f3k2abak"]),
    "more than one": ("dure cancel pretrain llm", ["plain,llm-sft"]),
    "a job name": ("dure queue --name tok", ["plain,tokenize"]),
    "projects": ("dure usage --project h", ["plain,hanul-ai/nlp"]),
    "a project to submit to": ("dure submit task.yaml --project s", ["plain,seohae/vision"]),
    "organisations": ("dure quota --org ", ["plain,hanul-ai", "plain,seohae"]),
    "classes": ("dure org create x --class u", ["plain,university"]),
    "flavors": ("dure quota --flavor ", ["plain,a100-80g", "plain,h100-80g"]),
    "GPUs of each node": ("dure submit --gpus h", ["plain,h100-80g:1", "plain,h100-80g:8"]),
    "tiers": ("dure submit --tier s", ["plain,scavenge"]),
    "periods": ("dure invoice list --period m", ["plain,manual-0001", "plain,manual-0002"]),
    "invoices": ("dure invoice verify D", ["plain,DURE-2026-000002", "plain,DURE-2026-000001"]),
    "tokens": ("dure token revoke k3", ["plain,k3v9"]),
    "users": ("dure queue --user ki", ["plain,kim"]),
    "error codes": ("dure explain DURE-210", ["plain,DURE-2101", "plain,DURE-2106"]),
    "contexts": ("dure context use ", ["plain,seoul", "plain,busan"]),
    "a context before the command": ("dure --context b", ["plain,busan"]),
    "nothing of the kind": ("dure why zzz", []),
    "folders": ("dure submit --workdir ", ["dir,"]),
}


@pytest.mark.parametrize(("line", "some"), LINES.values(), ids=LINES.keys())
def test_names_are_offered(
    dure: Dure, env: dict[str, str], config_folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, some: list[str]
) -> None:
    config_folder.mkdir()
    (config_folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setattr(completing, "NETWORK_SECONDS", SECONDS_MAX)
    found = offered(dure, line, env)
    assert set(some) <= set(found)
    assert (found == []) == (some == [])
    prefix = shlex.split(line)[-1] if not line.endswith(" ") else ""
    assert all(item.partition(",")[2].startswith(prefix) for item in found)


@pytest.mark.parametrize(("shell", "line"), [("zsh", "plain\npretrain\n_"), ("fish", "plain,pretrain")])
def test_other_shells_are_told_in_their_own_way(
    dure: Dure, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, shell: str, line: str
) -> None:
    monkeypatch.setattr(completing, "NETWORK_SECONDS", SECONDS_MAX)
    words = {"COMP_CWORD": "pre"} if shell == "fish" else {"COMP_CWORD": "2"}
    asked = {"_DURE_COMPLETE": f"{shell}_complete", "COMP_WORDS": "dure why pre", **words}
    assert dure(env={**env, **asked}).succeeds().out.strip() == line


def test_names_are_kept_a_while_for_their_server_and_user_alone(
    dure: Dure, env: dict[str, str], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completing, "NETWORK_SECONDS", SECONDS_MAX)
    server.asked.clear()
    for _ in range(3):
        assert offered(dure, "dure why pre", env) == ["plain,pretrain"]
    assert len(server.asked) == 1
    (kept,) = (tmp_path / "cache" / "dure").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert env["DURE_TOKEN"] not in kept.read_text() + kept.name
    assert server.world is not None
    other = {**env, "DURE_TOKEN": server.world.tokens["park"]}
    assert offered(dure, "dure why ", other) == [f"plain,{name}" for name in ("segment-2", "segment")] + [
        f"plain,{job.id}" for job in server.world.client("park").jobs({"all": "true"}).items
    ]
    assert len(list(kept.parent.iterdir())) == 2
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + completing.KEPT_SECONDS + 1)
    offered(dure, "dure why pre", env)
    assert [path for _, path in server.asked].count("/api/v1/jobs") == 3


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_does_not_answer_costs_a_moment(dure: Dure, env: dict[str, str]) -> None:
    with silent() as url:
        started = time.monotonic()
        assert offered(dure, "dure why pre", {**env, "DURE_SERVER": url}) == []
        assert time.monotonic() - started < completing.NETWORK_SECONDS + 2  # the machine's own slowness beside it


BROKEN: dict[str, dict[str, str]] = {
    "nobody listens": {"DURE_SERVER": "http://127.0.0.1:1"},
    "no address": {"DURE_SERVER": "nonsense://"},
    "no server": {"DURE_SERVER": ""},
    "nobody is logged in": {"DURE_TOKEN": ""},
    "a wrong token": {"DURE_TOKEN": "dure_a_b"},
    "no token at all": {"DURE_TOKEN": "two words"},
    "an unknown context": {"DURE_CONTEXT": "none"},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN.keys())
def test_failures_are_silent(dure: Dure, env: dict[str, str], changes: dict[str, str]) -> None:
    assert offered(dure, "dure why pre", {**env, **changes}) == []


def test_names_that_cannot_be_kept_are_offered_all_the_same(
    dure: Dure, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completing, "NETWORK_SECONDS", SECONDS_MAX)
    assert offered(dure, "dure why pre", {**env, "XDG_CACHE_HOME": "/dev/null"}) == ["plain,pretrain"]


def test_what_is_kept_may_be_anything(dure: Dure, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = completing.cache_file(env["DURE_SERVER"], env["DURE_TOKEN"], env)
    path.parent.mkdir(parents=True)
    monkeypatch.setattr(completing, "NETWORK_SECONDS", SECONDS_MAX)
    for text in ("{", "[]", '{"jobs": 1}', '{"jobs": {"at": "x"}}', '{"jobs": {"at": 1e99, "names": [1]}}'):
        path.write_text(text)
        assert offered(dure, "dure why pre", env) in (["plain,pretrain"], [])
    names = ["pre$(touch x)", "pre\x1b[2J", "pre x", "pretty", 7, *(f"pre{number}" for number in range(300))]
    path.write_text(json.dumps({"jobs": {"at": time.time(), "names": names}}))
    found = offered(dure, "dure why pre", env)
    assert found[:2] == ["plain,pretty", "plain,pre0"]
    assert len(found) == completing.NAMES_MAX


def test_a_long_answer_is_cut_off_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = threading.Event()

    def slow(client: Client) -> list[str]:
        ready.wait(SECONDS_MAX)
        return ["late"]

    monkeypatch.setattr(completing, "NETWORK_SECONDS", 0.05)
    assert completing._asked("http://127.0.0.1:1", "dure_a_b", slow) is None
    ready.set()


def test_bash_itself_completes(env: dict[str, str], tmp_path: Path) -> None:
    """The script that users install, in a real bash; the first call fills what is kept, however slow it is."""
    program = tmp_path / "bin" / "dure"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scheduler.cli "$@"\n')
    program.chmod(0o755)
    script = """
        source <(dure completion bash 2>/dev/null)
        complete -p dure
        for try in 1 2 3 4 5; do
            COMP_WORDS=(dure why pre) COMP_CWORD=2 COMPREPLY=()
            _dure_completion dure
            [ ${#COMPREPLY[@]} -gt 0 ] && break
        done
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    values = {**os.environ, **env, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    values["DURE_CONFIG_DIR"] = str(tmp_path / "config")
    done = subprocess.run(
        ["bash", "-c", script], env=values, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=True
    )
    first, *words = done.stdout.splitlines()
    assert first.endswith("-F _dure_completion dure")
    assert words == ["pretrain"]
    assert done.stderr == ""
