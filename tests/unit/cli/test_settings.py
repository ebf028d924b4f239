"""Contexts, the project's file, where each setting comes from, and what damaged files lead to."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
import yaml

from scheduler.cli.settings import save_contexts
from scheduler.client.config import Context, Contexts
from scheduler.client.http import Client
from scheduler.core.errors import Fatal
from scheduler.schema.bodies import WhoamiBody
from tests.unit.cli.conftest import Dure

SERVER = "http://127.0.0.1:1"


def origins(dure: Dure, *args: str, env: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    rows = dure(*args, "config", "show", "--origin", "-o", "json", env=env).succeeds().json["items"]
    return {row["name"]: (row["value"], row["origin"]) for row in rows}


def test_nothing_set(dure: Dure, config_folder: Path) -> None:
    found = origins(dure)
    assert found.pop("config folder") == (str(config_folder), "$DURE_CONFIG_DIR")
    assert set(found.values()) == {("", "default")}


def test_flag_variable_file_context_in_this_order(dure: Dure) -> None:
    dure("context", "add", "seoul", "--server", SERVER, "--org", "c-org", "--project", "c-org/c").succeeds()
    assert origins(dure)["project"] == ("c-org/c", "context seoul")
    Path("dure.yaml").write_text("project: f-org/f\norg: f-org\n")
    here = str(Path("dure.yaml").absolute())
    assert origins(dure)["project"] == ("f-org/f", here)
    assert origins(dure, env={"DURE_PROJECT": "e"})["project"] == ("e", "$DURE_PROJECT")
    found = origins(dure, "--server", "http://OTHER/", env={"DURE_SERVER": "http://env"})
    assert found["server"] == ("http://other", "--server")
    assert found["org"] == ("f-org", here)
    assert origins(dure)["server"] == (SERVER, "context seoul")


def test_the_projects_file_is_found_upwards_and_the_nearest_counts(dure: Dure, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("dure.yaml").write_text("project: far\n")
    Path("a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    assert origins(dure)["project"][0] == "far"
    Path("../dure.yaml").write_text("project: near\n")
    assert origins(dure)["project"][0] == "near"


def test_the_projects_file_may_choose_a_context(dure: Dure) -> None:
    dure("context", "add", "a", "--server", "http://a").succeeds()
    dure("context", "add", "b", "--server", "http://b").succeeds()
    Path("dure.yaml").write_text("context: b\n")
    here = str(Path("dure.yaml").absolute())
    assert origins(dure)["context"] == ("b", here)
    assert origins(dure)["server"] == ("http://b", "context b")
    assert origins(dure, env={"DURE_CONTEXT": "a"})["server"] == ("http://a", "context a")
    assert origins(dure, "--context", "a", env={"DURE_CONTEXT": "b"})["context"] == ("a", "--context")


def test_the_projects_file_may_not_send_the_token_elsewhere(dure: Dure) -> None:
    Path("dure.yaml").write_text("server: http://evil\n")
    env = {"DURE_TOKEN": "dure_a_b"}
    dure("queue", env=env).fails(2, "error[DURE-1032]", "which you have not used before")
    dure("--server", "http://127.0.0.1:1", "queue", env=env).fails(8)


def test_contexts(dure: Dure, config_folder: Path) -> None:
    assert dure("context", "list").succeeds().out == ""
    dure("context", "add", "seoul", "--server", f"{SERVER}/").succeeds()
    dure("context", "add", "busan", "--server", "http://b", "--project", "o/p").succeeds()
    assert dure("context", "list", "-o", "name").out == "seoul\nbusan\n"
    dure("context", "use", "busan", "--org", "o").succeeds()
    listed = {item["name"]: item for item in dure("context", "list", "-o", "json").json["items"]}
    assert listed["busan"]["current"]
    assert listed["busan"]["org"] == "o"
    assert listed["seoul"]["server"] == SERVER
    dure("context", "use", "nowhere").fails(2, "DURE-1006", "contexts: seoul, busan")
    dure("context", "add", "new").fails(2, "needs its server")
    dure("context", "add", "a b", "--server", "http://x").fails(2, "is no name of a context")
    dure("context", "add", "seoul", "--org", "A B").fails(2, "is no name")
    dure("context", "rm", "busan").succeeds()
    dure("context", "rm", "busan").fails(2, "DURE-1006")
    assert yaml.safe_load((config_folder / "config.yaml").read_text()) == {
        "current": "",
        "contexts": [{"name": "seoul", "server": SERVER}],
    }
    assert (config_folder / "config.yaml").stat().st_mode & 0o777 == 0o600


def test_the_token_is_never_shown(dure: Dure) -> None:
    result = dure("--server", SERVER, "config", "show", "--origin", env={"DURE_TOKEN": "dure_a_secretsecret"})
    assert "secretsecret" not in result.out + result.err
    assert "$DURE_TOKEN" in result.out


CONFIGS = {
    "unknown field": ("contexts: [{name: a, sever: x}]", "config.yaml:1:22", "did you mean server?"),
    "not YAML": ("contexts: [", "config.yaml:2:1", "a value is missing"),
    "a list": ("- a", "config.yaml:1:1", "must be a mapping"),
    "no name": ("contexts: [{server: http://x}]", "config.yaml:1:12", "name is missing"),
    "no address": ("contexts: [{name: a, server: x}]", "config.yaml:1:30", "a server's address"),
    "twice": ("contexts: [{name: a}, {name: a}]", "config.yaml", "two contexts named a"),
    "unknown current": ("current: b", "", 'no context "b"'),
    "an alias": ("contexts: &a []\ncurrent: *a", "config.yaml:1:11", "anchor"),
}


@pytest.mark.parametrize(("text", "place", "says"), CONFIGS.values(), ids=CONFIGS.keys())
def test_mistakes_in_the_configuration(dure: Dure, config_folder: Path, text: str, place: str, says: str) -> None:
    config_folder.mkdir()
    (config_folder / "config.yaml").write_text(text)
    dure("config", "show").fails(2, place, says)


def test_a_task_file_named_dure_yaml_is_told_apart(dure: Dure) -> None:
    Path("dure.yaml").write_text("run: python train.py\nresources: {gpus: 'h100:1'}\n")
    dure("config", "show").fails(2, "dure.yaml:1:1", "is no task file", "give the task file another name")


def test_a_pipe_or_a_folder_in_the_files_place(dure: Dure, config_folder: Path) -> None:
    config_folder.mkdir()
    os.mkfifo(config_folder / "config.yaml")
    dure("config", "show").succeeds()  # an empty file
    (config_folder / "config.yaml").unlink()
    (config_folder / "config.yaml").mkdir()
    dure("config", "show").fails(2, "cannot be read")


def random_bytes(rng: random.Random) -> bytes:
    """Bytes of several kinds: noise, YAML's and JSON's own signs, and pieces of a good file."""
    pieces = [
        b"contexts:",
        b"current: a",
        b"- name: a",
        b"\n",
        b"  ",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\t",
        b"&a",
        b"*a",
    ]
    pieces += [
        b"\x00",
        b"\xff",
        "한".encode(),
        b"!!python/object:os.system",
        b"---",
        b"'",
        b":",
        b'{"version":1,"tokens":',
    ]
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    return b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 40)))


def test_random_bytes_in_any_settings_file_are_a_sentence(dure: Dure, config_folder: Path, rng: random.Random) -> None:
    config_folder.mkdir()
    files = [config_folder / "config.yaml", config_folder / "credentials.json", Path("dure.yaml")]
    refused = 0
    for _ in range(150):
        chosen = rng.choice(files)
        for file in files:
            file.unlink(missing_ok=True)
        chosen.write_bytes(random_bytes(rng))
        chosen.chmod(0o600)
        result = dure("--server", SERVER, "config", "show")
        assert result.code in (0, 2), (chosen.read_bytes(), result)
        assert "Traceback" not in result.err
        assert "DURE-9001" not in result.err, chosen.read_bytes()
        if result.code:
            refused += 1
            assert result.err.startswith("error[DURE-10"), result.err
    assert refused > 75


def test_credentials_open_to_others_are_refused(dure: Dure, config_folder: Path) -> None:
    config_folder.mkdir()
    path = config_folder / "credentials.json"
    path.write_text(json.dumps({"version": 1, "tokens": {SERVER: {"token": "dure_a_b"}}}))
    path.chmod(0o644)
    dure("--server", SERVER, "queue").fails(2, "DURE-1031", f"chmod 600 {path}")
    assert "dure_a_b" not in dure("--server", SERVER, "queue").err


UNREADABLE = {
    "an organisation": (["--org", "AI Lab"], "--org 'AI Lab' is no name"),
    "an organisation with a dash first": (["--org", "-x"], "--org '-x' is no name"),
    "a project": (["--project", "a/b/c"], "--project 'a/b/c' is no name"),
    "a long project": (["--project", "p" * 82], "is no name"),
    "a context": (["--as", "my pool"], "'my pool' is no name of a context"),
    "a long context": (["--as", "c" * 64], "is no name of a context"),
}


@pytest.mark.parametrize(("options", "says"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_login_writes_nothing_that_could_not_be_read(
    dure: Dure, config_folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.setattr(Client, "whoami", lambda self: WhoamiBody(user="user-1", grants=[]))
    login = ("--server", SERVER, "login", "--token-stdin")
    dure(*login, *options, stdin=b"dure_a_b").fails(2, "error[DURE-1008]", says)
    assert not config_folder.exists()
    dure(*login, "--as", "ok", "--org", "ai-lab", "--project", "ai-lab/nlp", stdin=b"dure_a_b").succeeds()
    dure("config", "show").succeeds()


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    for item in (Context("a", server="ftp://x"), Context("-a"), Context("a", org="x" * 64), Context("a", project="A")):
        with pytest.raises(Fatal, match="could not be read"):
            save_contexts(tmp_path, Contexts("a", (item,)))
    assert list(tmp_path.iterdir()) == []
