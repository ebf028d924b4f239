"""Contexts, precedence with origins, and the file of tokens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scheduler.client.address import normal_server, sends_in_clear
from scheduler.client.config import (
    Context,
    Contexts,
    Credentials,
    Layer,
    Token,
    Value,
    config_dir,
    environment_layers,
    require_known_server,
    resolve,
    sound_token,
    update_context,
    write_private,
)
from scheduler.core.errors import Fatal

FULL = {"server": "http://x", "org": "o", "project": "o/p"}
CONTEXTS = Contexts("seoul", (Context("seoul", "http://ctx", "ctx-org", "ctx-org/p"), Context("busan", "http://b")))


def layers(flag: str = "", env: str = "", file: str = "") -> list[Layer]:
    made = [Layer("--project", {"project": flag}), Layer("$DURE_PROJECT", {"project": env})]
    return [*made, Layer("/w/dure.yaml", {"project": file})]


PRECEDENCE = {
    "flag first": (layers("f", "e", "p"), Value("f", "--project")),
    "then the variable": (layers("", "e", "p"), Value("e", "$DURE_PROJECT")),
    "then the project's file": (layers("", "", "p"), Value("p", "/w/dure.yaml")),
    "then the context": (layers(), Value("ctx-org/p", "context seoul")),
}


@pytest.mark.parametrize(("given", "wanted"), PRECEDENCE.values(), ids=PRECEDENCE.keys())
def test_precedence(given: list[Layer], wanted: Value) -> None:
    settings = resolve(given, CONTEXTS, None)
    assert settings.project == wanted
    assert settings.server == Value("http://ctx", "context seoul")


def test_without_anything_all_is_default() -> None:
    settings = resolve([], Contexts(), None)
    assert {value for _, value in settings.rows()} == {Value("", "default")}


def test_a_chosen_context_comes_before_the_current_one() -> None:
    settings = resolve([], CONTEXTS, Value("busan", "--context"))
    assert settings.server == Value("http://b", "context busan")
    assert settings.org == Value("", "default")


def test_an_unknown_context_names_those_there_are() -> None:
    with pytest.raises(Fatal, match=r"busam.*--context") as caught:
        resolve([], CONTEXTS, Value("busam", "--context"))
    assert caught.value.fix == "contexts: seoul, busan"


def test_variables_name_themselves() -> None:
    found = environment_layers({"DURE_SERVER": "http://e", "DURE_ORG": "", "DURE_PROJECT": "p", "OTHER": "x"})
    assert found == [Layer("$DURE_SERVER", {"server": "http://e"}), Layer("$DURE_PROJECT", {"project": "p"})]


FOLDERS = {
    "own variable": ({"DURE_CONFIG_DIR": "/c", "XDG_CONFIG_HOME": "/x"}, Path("/c")),
    "XDG": ({"XDG_CONFIG_HOME": "/x"}, Path("/x/dure")),
    "XDG must be absolute": ({"XDG_CONFIG_HOME": "x"}, Path.home() / ".config" / "dure"),
    "home": ({}, Path.home() / ".config" / "dure"),
}


@pytest.mark.parametrize(("env", "folder"), FOLDERS.values(), ids=FOLDERS.keys())
def test_config_folder(env: dict[str, str], folder: Path) -> None:
    assert config_dir(env) == folder


def test_a_projects_file_may_name_only_a_known_server() -> None:
    server = Value("http://evil", "/w/dure.yaml")
    with pytest.raises(Fatal, match="not used before") as caught:
        require_known_server(server, "/w/dure.yaml", frozenset({"http://good"}))
    assert caught.value.fix == "if you trust it: dure context add NAME --server http://evil"
    require_known_server(server, "/w/dure.yaml", frozenset({"http://evil"}))
    require_known_server(Value("http://evil", "--server"), "/w/dure.yaml", frozenset())


def test_contexts_change_as_values() -> None:
    one = update_context(Contexts(), "a", FULL)
    assert one == Contexts("a", (Context("a", **FULL),))
    two = update_context(one, "b", {"server": "http://b"})
    assert (two.current, [item.name for item in two.items]) == ("a", ["a", "b"])
    changed = update_context(two, "a", {"project": "o/q"})
    assert changed.items[0] == Context("a", "http://x", "o", "o/q")
    assert changed.without("a") == Contexts("", (Context("b", "http://b"),))
    assert changed.without("b").current == "a"


def test_tokens_are_kept_by_server_and_for_the_owner_only(tmp_path: Path) -> None:
    file = Credentials(tmp_path / "new" / "credentials.json")
    assert file.load() == {}
    assert file.token("http://a") is None
    file.put("http://a", Token("dure_a_1", "kim"))
    file.put("http://b", Token("dure_b_2"))
    assert file.load() == {"http://a": Token("dure_a_1", "kim"), "http://b": Token("dure_b_2")}
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    assert list(file.path.parent.iterdir()) == [file.path]
    assert file.remove("http://a")
    assert not file.remove("http://a")
    assert file.load() == {"http://b": Token("dure_b_2")}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_open_to_others_is_neither_read_nor_written(tmp_path: Path, mode: int) -> None:
    file = Credentials(tmp_path / "credentials.json")
    file.put("http://a", Token("dure_a_1"))
    before = file.path.read_bytes()
    file.path.chmod(mode)
    for act in (file.load, lambda: file.put("http://b", Token("dure_b_2")), lambda: file.remove("http://a")):
        with pytest.raises(Fatal, match="can be read by other users") as caught:
            act()
        assert caught.value.fix.startswith("chmod 600 ")
    assert file.path.read_bytes() == before


DAMAGED = {
    "empty": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "another version": b'{"version": 2, "tokens": {}}',
    "no tokens": b'{"version": 1}',
    "token is a number": b'{"version": 1, "tokens": {"http://a": {"token": 1}}}',
    "token with a line end": b'{"version": 1, "tokens": {"http://a": {"token": "a\\nb"}}}',
    "entry is a text": b'{"version": 1, "tokens": {"http://a": "x"}}',
    "deep": b"[" * 100_000,
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Fatal, match="is damaged") as caught:
        Credentials(path).load()
    assert caught.value.code == "DURE-1031"


def test_a_pipe_in_the_files_place_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "credentials.json", 0o600)
    with pytest.raises(Fatal, match="is no file"):
        Credentials(tmp_path / "credentials.json").load()


def test_writing_where_one_may_not_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Fatal, match="cannot be written"):
        write_private(tmp_path / "file" / "config.yaml", "x")


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    (tmp_path / "config.yaml").symlink_to("target")
    write_private(tmp_path / "config.yaml", "new")
    assert (tmp_path / "target").read_text() == "untouched"
    assert (tmp_path / "config.yaml").read_text() == "new"


def test_what_is_stored_can_be_read_by_others_programs(tmp_path: Path) -> None:
    file = Credentials(tmp_path / "credentials.json")
    file.put("http://a", Token("dure_a_1", "kim"))
    stored = json.loads(file.path.read_text())
    assert stored == {"version": 1, "tokens": {"http://a": {"token": "dure_a_1", "user": "kim"}}}


TOKENS = {"dure_a_b": True, "": False, "a b": False, "a\n": False, "토큰": False, "x" * 4_096: True, "x" * 4_097: False}


@pytest.mark.parametrize(("token", "sound"), TOKENS.items())
def test_what_can_be_a_token(token: str, *, sound: bool) -> None:
    assert sound_token(token) is sound


SERVERS = {
    "HTTPS://Dure.Example.ORG/": "https://dure.example.org",
    " http://127.0.0.1:8080 ": "http://127.0.0.1:8080",
    "https://h/dure/": "https://h/dure",
    "http://[::1]:80": "http://[::1]:80",
}
NO_SERVERS = (
    "",
    "dure.example.org",
    "ftp://h",
    "http://",
    "http://u:p@h",
    "http://h?x=1",
    "http://h#x",
    "http://h/a b",
)
MORE_NO_SERVERS = ("http://h:port", "http://[::1", "http://h\x00", "https://한국.example", "http://h\\@evil")


@pytest.mark.parametrize(("text", "wanted"), SERVERS.items())
def test_addresses_have_one_form(text: str, wanted: str) -> None:
    assert normal_server(text) == wanted


@pytest.mark.parametrize("text", [*NO_SERVERS, *MORE_NO_SERVERS])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(Fatal) as caught:
        normal_server(text)
    assert caught.value.code == "DURE-1001"


def test_plain_http_to_another_machine_is_told() -> None:
    assert sends_in_clear("http://dure.example.org")
    assert not sends_in_clear("https://dure.example.org")
    assert not sends_in_clear("http://127.0.0.1:8080")
    assert not sends_in_clear("http://[::1]:8080")
