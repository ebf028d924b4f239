"""The first start: an administrator and tokens once, again where they no longer count, never a second time."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from scheduler.main.bootstrap import ITSELF, ensure_admin, ensure_operator, ensure_token, instance_id, write_private
from scheduler.schema.bodies import MemberRequest
from scheduler.services import registry, tokens
from scheduler.services.tokens import authenticate
from scheduler.store.memory import MemoryStore

NOW_MS = 1_800_000_000_000


def who(store: MemoryStore, file: Path) -> str:
    """Whom the token in the file speaks for."""
    return authenticate(store, f"Bearer {file.read_text(encoding='utf-8').strip()}", NOW_MS).user


def test_the_administrator_is_made_once(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "admin.token"
    assert ensure_admin(store, file, NOW_MS, always=True)
    content = file.read_text(encoding="utf-8")
    assert who(store, file) == "admin"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not ensure_admin(store, file, NOW_MS, always=True)
    assert file.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("content", ["", "nonsense\n", "dure_abc_def\n"])
def test_a_token_that_does_not_count_is_replaced(tmp_path: Path, content: str) -> None:
    """Such as one that was written just before a crash, or that belongs to another database."""
    store, file = MemoryStore(), tmp_path / "admin.token"
    file.write_text(content, encoding="utf-8")
    assert ensure_admin(store, file, NOW_MS, always=True)
    assert who(store, file) == "admin"


def test_a_revoked_token_is_replaced(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "t"
    ensure_token(store, file, "kim", NOW_MS)
    tokens.revoke_token(store, ITSELF, file.read_text(encoding="utf-8").split("_")[1], NOW_MS)
    assert ensure_token(store, file, "kim", NOW_MS)
    assert who(store, file) == "kim"


def test_a_token_of_somebody_else_is_not_taken(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "t"
    ensure_token(store, file, "kim", NOW_MS)
    assert ensure_token(store, file, "lee", NOW_MS)
    assert who(store, file) == "lee"


def test_serve_leaves_administrators_alone(tmp_path: Path) -> None:
    store = MemoryStore()
    registry.add_member(store, ITSELF, MemberRequest(user="boss", role="admin", scope="all"), NOW_MS)
    assert not ensure_admin(store, tmp_path / "admin.token", NOW_MS, always=False)
    assert not (tmp_path / "admin.token").exists()


def test_the_operator_operates_its_cluster_alone(tmp_path: Path) -> None:
    store = MemoryStore()
    token = ensure_operator(store, tmp_path / "o", "local", NOW_MS)
    actor = authenticate(store, f"Bearer {token}", NOW_MS)
    assert actor.grants == {("operator", "cluster:local")}
    assert ensure_operator(store, tmp_path / "o", "local", NOW_MS) == token


def test_names_in_leases(tmp_path: Path) -> None:
    first = instance_id(tmp_path, unique=False)
    assert first == instance_id(tmp_path, unique=False)
    (tmp_path / "other").mkdir()
    assert first != instance_id(tmp_path / "other", unique=False)
    assert instance_id(tmp_path, unique=True) != instance_id(tmp_path, unique=True)


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "t"
    for text in ("long text", "short"):
        write_private(file, text)
        assert file.read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
