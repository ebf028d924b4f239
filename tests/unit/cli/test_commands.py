"""Every command as a transcript: each shape of its output and its refusals, against a real API over one small world.

JSON is held against the committed OpenAPI document, and the other shapes against the JSON.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from scheduler.cli.base import SHAPES
from scheduler.cli.commands.explain import own_version
from scheduler.cli.main import cli
from scheduler.cli.reference import walk
from scheduler.cli.session import Session
from tests.support.golden import assert_golden
from tests.support.source import ROOT
from tests.unit.cli.cases import FILES, ROWS, Row
from tests.unit.cli.conftest import Dure
from tests.unit.cli.contract import complaint
from tests.unit.cli.running import Result, golden
from tests.unit.cli.small_world import Server, World, served

LEAVES = {" ".join(path[1:]): command for path, command in walk(cli) if not isinstance(command, click.Group)}
DOCUMENTS = ("pdf", "html")
"""Shapes that have golden files or pictures of their own."""
RUN_ON = {"up", "serve"}
"""Commands that end only when they are stopped: what can be shown of them is what they refuse."""
CONTEXTS = """\
current: seoul
contexts:
- {name: seoul, server: 'https://seoul.example.org', org: hanul-ai, project: nlp}
- {name: busan, server: 'https://busan.example.org'}
"""
# What differs between machines and runs and says nothing about a command.
PORT = re.compile(r"127\.0\.0\.1:[1-9]\d{4}")
OWN = {platform.platform(): "Linux", platform.python_version(): "3.11.0", own_version(): "0.1.0"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The socket."""
    with served() as server:
        yield server


@pytest.fixture(scope="module")
def quiet_world() -> Iterator[World]:
    """A world for commands that change nothing."""
    world = World()
    yield world
    world.close()


class Caller:
    """Calls a row's command lines and keeps the transcript."""

    def __init__(self, dure: Dure, server: Server, row: Row, config: Path) -> None:
        self._dure = dure
        self._server = server
        self._row = row
        self._config = config
        self.transcript = ""

    def __call__(self, line: str) -> Result:
        """One call in a world of its own where the row changes something."""
        row, server = self._row, self._server
        own = World() if row.changes else None
        if own:
            server.world = own
        self._settle()
        server.asked.clear()
        token = server.here().tokens.get(row.user or "kim", "")
        env = {"DURE_SERVER": server.url, **({"DURE_TOKEN": token} if row.user and not row.env else {})}
        stdin = row.stdin.format(token=token) if line.endswith(str(row.line)) else ""
        result = self._dure(*shlex.split(line), env={} if row.env else env, stdin=stdin.encode())
        assert "Traceback" not in result.err
        if own:
            own.close()
        self.transcript += self._shown(line, result)
        return result

    def _settle(self) -> None:
        """Settings as they are before each call."""
        if self._row.env:
            self._config.mkdir(mode=0o700, exist_ok=True)
            (self._config / "config.yaml").write_text(CONTEXTS, encoding="utf-8")

    def _shown(self, line: str, result: Result) -> str:
        text = f"$ dure {line}\n" + result.out.replace("\r\n", "\n")
        text += "".join(f"! {said}\n" for said in result.err.splitlines()) + f"= {result.code}\n\n"
        text = text.replace(str(self._config.parent), "/tmp/dure")
        for own, instead in OWN.items():
            text = text.replace(own, instead)
        return PORT.sub("127.0.0.1:38730", text)


@pytest.fixture
def caller(
    request: pytest.FixtureRequest,
    dure: Dure,
    server: Server,
    quiet_world: World,
    config_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Caller:
    """The command line in a folder with files, where time is the world's."""
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    server.world = quiet_world
    monkeypatch.setattr(Session, "now_ms", lambda self: server.here().now_ms)
    monkeypatch.setattr(Session, "wait", lambda self, seconds: server.here().turn())
    return Caller(dure, server, ROWS[request.param], config_folder)


def shapes(name: str) -> list[str]:
    """The shapes that ``-o`` of a command takes; none without ``-o``."""
    kinds = [parameter.type for parameter in LEAVES[name].params if parameter.name == "output"]
    return [shape for kind in kinds if isinstance(kind, click.Choice) for shape in kind.choices]


def test_every_command_has_its_row_and_no_row_is_left_over() -> None:
    assert set(ROWS) == set(LEAVES)
    assert {name for name, row in ROWS.items() if row.line is None} == RUN_ON
    assert [name for name, row in ROWS.items() if not row.refused] == []


@pytest.mark.parametrize(("name", "caller"), [(name, name) for name in sorted(ROWS)], indirect=["caller"])
def test_the_transcript_is_the_committed_one(name: str, caller: Caller, server: Server) -> None:
    row, results = ROWS[name], {}
    if row.line is not None:
        results["table"] = caller(row.line)
        for shape in shapes(name):
            if shape not in ("table", *DOCUMENTS):
                results[shape] = caller(f"-q {row.line} -o {shape}")
            if shape == "json" and not row.here:
                assert complaint(server.asked, results[shape].json) == ""
        assert {result.code for result in results.values()} == {0}
    for line in row.more:
        caller(line)
    for line in row.refused:
        assert caller(line).code != 0, line
    assert_golden(golden(f"commands/{name.replace(' ', '-')}.txt"), caller.transcript.rstrip("\n") + "\n")
    if "json" in results:
        assert_same_values(results)


LISTS = sorted({name for name in LEAVES if name.endswith(" list")} | {"queue", "gpus", "quota", "usage", "job events"})


@pytest.mark.parametrize("name", [*LISTS, "job get", "org show"])
def test_every_list_takes_every_shape(name: str) -> None:
    assert set(SHAPES) <= set(shapes(name))


@pytest.mark.parametrize("line", ["queue --all -o json", "why llm-sft", "invoice list -o csv", "job get none-of-mine"])
@pytest.mark.parametrize("caller", ["queue"], indirect=True)
def test_a_process_of_its_own_says_the_same(line: str, caller: Caller, server: Server) -> None:
    """The program as the shell starts it, without this process's clock and streams."""
    here = caller(line)
    env = {**os.environ, "DURE_SERVER": server.url, "DURE_TOKEN": server.here().tokens["kim"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "scheduler.cli", *shlex.split(line)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (here.code, here.out, here.err)


def assert_same_values(results: dict[str, Result]) -> None:
    """The other shapes say what the JSON says."""
    body = results["json"].json
    assert body.get("apiVersion", "") == "dure.dev/v1alpha1"
    assert body["kind"]
    items = body.get("items", body.get("changes", [body]))
    if "yaml" in results:
        assert yaml.safe_load(results["yaml"].out) == body
    if "jsonl" in results:
        assert [json.loads(line) for line in results["jsonl"].out.splitlines()] == items
    if "csv" in results:
        assert_csv(results["csv"].out, items)
    for shape in ("id", "name"):
        if shape in results:
            assert len(results[shape].out.splitlines()) == len(items)


def assert_csv(text: str, items: list[dict[str, Any]]) -> None:
    """Each item's fields, in cells that read back as their values; an invoice's CSV has its lines instead."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if items and items[0].get("kind") == "FairnessReport":  # several tables in one; its own tests read them
        assert {row["table"] for row in rows} >= {"report", "shares", "waits"}
        return
    if items and "text" in items[0]:
        items = json.loads(items[0]["text"])["lines"]
        assert len(rows) >= len(items)
        return
    assert len(rows) == len(items)
    for row, item in zip(rows, items, strict=True):
        assert set(row) <= set(item)
        assert {name: value_of(cell, item[name]) for name, cell in row.items()} == {name: item[name] for name in row}


def value_of(cell: str, like: Any) -> Any:
    """What a cell says, read as the kind of value that stands in the JSON."""
    if like is None:
        return cell or None
    if isinstance(like, bool):
        return {"true": True, "false": False}[cell]
    if isinstance(like, str):
        return cell.removeprefix("'")
    return json.loads(cell)
