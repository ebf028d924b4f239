"""Opening by URL: what is accepted, and one sentence for what is not."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from scheduler.core.errors import Fatal
from scheduler.services.ports import Ids, Store
from scheduler.store.ids import RandomIds
from scheduler.store.memory import MemoryStore
from scheduler.store.open import open_store
from scheduler.store.sql import SqlStore
from tests.stores import samples

pytestmark = pytest.mark.store


def test_the_stores_are_stores(postgres_empty: str, tmp_path: Path) -> None:
    kinds = []
    for url in ("memory:", f"sqlite:///{tmp_path / 'a.db'}", postgres_empty.replace("+psycopg", "", 1)):
        opened = open_store(url, migrate=True)
        store: Store = opened
        with store.write() as tx:
            tx.add(samples.job(1))
        kinds.append((type(opened), opened.dialect if isinstance(opened, SqlStore) else ""))
        opened.close()
    assert kinds == [(MemoryStore, ""), (SqlStore, "sqlite"), (SqlStore, "postgresql")]


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path / 'dure.db'}", migrate=True).close()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"dure.db": 0o600}


BAD = {
    "no URL": ("dure.db", "cannot be read"),
    "another database": ("mysql://localhost/dure", "mysql is no database that Dure knows"),
    "no file": ("sqlite://", "names no file"),
    "SQLite in memory": ("sqlite:///:memory:", "names no file"),
    "no folder": ("sqlite:////no/such/folder/dure.db", "the folder of dure.db does not exist"),
}


@pytest.mark.parametrize(("url", "message"), BAD.values(), ids=BAD.keys())
def test_bad_urls(url: str, message: str) -> None:
    with pytest.raises(Fatal, match=message) as refused:
        open_store(url, migrate=True)
    assert refused.value.fix


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot be opened: Is a directory"):
        open_store(f"sqlite:///{tmp_path}", migrate=True)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 500, encoding="utf-8")
    with pytest.raises(Fatal, match="file is not a database"):
        open_store(f"sqlite:///{path}", migrate=True)
    assert path.read_text(encoding="utf-8") == "not a database " * 500


def test_a_damaged_file_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    store = open_store(sqlite_url, migrate=False)
    with store.write() as tx:
        for number in range(500):
            tx.add(samples.job(number))
    store.close()
    path = tmp_path / "dure.db"
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) - 4_096, 4_096):
        content[at : at + 512] = b"\xff" * 512
    path.write_bytes(content)
    with pytest.raises(Fatal, match=r"damaged|malformed") as refused:
        open_store(sqlite_url, migrate=True)
    assert refused.value.fix


def test_a_store_is_used_from_many_threads(store: Store) -> None:
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            with store.write() as tx:
                tx.add(samples.job(number))
            with store.read() as view:
                assert view.get(type(samples.job()), samples.job(number).id) is not None
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=use, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_ids() -> None:
    ids: Ids = RandomIds()
    made = {ids.new() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(len(name) == 12 and set(name) <= set("abcdefghijklmnopqrstuvwxyz234567") for name in made)
