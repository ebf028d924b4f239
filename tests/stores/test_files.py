"""Packages and logs: the same on disk and in memory, whole after a crash, bounded."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler.core.errors import Fatal, Retry
from scheduler.services.ports import LogStore, PackageStore
from scheduler.store.files import (
    FolderLogStore,
    FolderPackageStore,
    MemoryLogStore,
    MemoryPackageStore,
    only_process,
)
from tests.support.source import ROOT

CONTENT = b"PK\x05\x06" + b"\0" * 18
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def packages(request: pytest.FixtureRequest, tmp_path: Path) -> PackageStore:
    """Each package store, for packages of at most 100 bytes."""
    if request.param == "memory":
        return MemoryPackageStore(bytes_max=100)
    return FolderPackageStore(tmp_path / "packages", bytes_max=100)


@pytest.fixture(params=["folder", "memory"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    """Each log store, for logs of at most 100 bytes."""
    if request.param == "memory":
        return MemoryLogStore(bytes_max=100)
    return FolderLogStore(tmp_path / "logs", bytes_max=100)


def test_packages_are_kept_once(packages: PackageStore) -> None:
    assert packages.get(SUM) is None
    assert packages.put(SUM, CONTENT)
    assert not packages.put(SUM, CONTENT)
    assert packages.get(SUM) == CONTENT
    empty = hashlib.sha256(b"").hexdigest()
    assert packages.put(empty, b"")
    assert packages.get(empty) == b""


BAD_PACKAGES = {
    "another sum": (SUM, CONTENT + b"x", "does not have the SHA-256"),
    "too large": (hashlib.sha256(b"x" * 101).hexdigest(), b"x" * 101, "101 bytes, 100 are allowed"),
    "no sum": ("", CONTENT, "64 hexadecimal digits"),
    "upper case": (SUM.upper(), CONTENT, "64 hexadecimal digits"),
    "a path": ("../" + SUM[3:], CONTENT, "64 hexadecimal digits"),
    "a line end": (SUM[:-1] + "\n", CONTENT, "64 hexadecimal digits"),
    "too long": (SUM + "\n", CONTENT, "64 hexadecimal digits"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD_PACKAGES.values(), ids=BAD_PACKAGES.keys())
def test_bad_packages(packages: PackageStore, name: str, content: bytes, message: str) -> None:
    with pytest.raises(Fatal, match=message) as refused:
        packages.put(name, content)
    assert refused.value.fix
    assert packages.get(SUM) is None


def test_names_are_checked_when_reading(packages: PackageStore) -> None:
    with pytest.raises(Fatal, match="64 hexadecimal digits"):
        packages.get("../../etc/passwd")


def test_of_many_equal_packages_one_is_new(packages: PackageStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda _: packages.put(SUM, CONTENT), range(16)))
    assert sum(new) >= 1
    assert packages.get(SUM) == CONTENT


def test_a_damaged_package_is_not_given_out(tmp_path: Path) -> None:
    packages = FolderPackageStore(tmp_path)
    packages.put(SUM, CONTENT)
    (path,) = tmp_path.glob("*/*.zip")
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(Fatal, match="is damaged"):
        packages.get(SUM)
    assert packages.get(SUM) is None  # from now on it is absent, and sent again
    (aside,) = tmp_path.glob("*/*.damaged")
    assert aside.read_bytes() == CONTENT[:-1] + b"x"
    assert packages.put(SUM, CONTENT)
    assert packages.get(SUM) == CONTENT


DAMAGES = {"another byte": CONTENT[:-1] + b"x", "cut": CONTENT[:5], "empty": b"", "longer": CONTENT + b"x"}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_package_that_is_sent_again_is_whole(tmp_path: Path, damage: bytes) -> None:
    packages = FolderPackageStore(tmp_path)
    packages.put(SUM, CONTENT)
    (path,) = tmp_path.glob("*/*.zip")
    path.write_bytes(damage)
    assert packages.put(SUM, CONTENT)
    assert packages.get(SUM) == CONTENT
    assert not packages.put(SUM, CONTENT)
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_package_that_was_mended_while_its_damage_was_found_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = FolderPackageStore(tmp_path)
    packages.put(SUM, CONTENT)
    (path,) = tmp_path.glob("*/*.zip")

    def damaged_then_mended(self: Path) -> bytes:
        assert self == path
        path.write_bytes(b"x")
        packages.put(SUM, CONTENT)
        return b"x"

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", damaged_then_mended)
        with pytest.raises(Fatal, match="is damaged"):
            packages.get(SUM)
    assert packages.get(SUM) == CONTENT
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_parts_of_a_killed_process_are_removed_later(tmp_path: Path) -> None:
    FolderPackageStore(tmp_path)
    old, young = tmp_path / "incoming" / "old", tmp_path / "incoming" / "young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 7_200, time.time() - 7_200))
    FolderPackageStore(tmp_path)
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["young"]


def test_a_disk_that_cannot_be_written_is_a_retry(tmp_path: Path) -> None:
    packages, logs = FolderPackageStore(tmp_path / "p"), FolderLogStore(tmp_path / "l")
    (tmp_path / "p" / SUM[:2]).write_bytes(b"in the way")
    (tmp_path / "l" / "job").write_bytes(b"in the way")
    with pytest.raises(Retry, match="cannot be written"):
        packages.put(SUM, CONTENT)
    with pytest.raises(Retry, match="cannot be written"):
        logs.append("job", 1, 0, 0, b"x")


def test_logs_are_appended_by_offset(logs: LogStore) -> None:
    assert logs.size("j1", 1, 0) == 0
    assert logs.read("j1", 1, 0, 0, 10) == b""
    assert logs.append("j1", 1, 0, 0, b"hello ") == 6
    assert logs.append("j1", 1, 0, 0, b"hello ") == 6  # again: nothing changes
    assert logs.append("j1", 1, 0, 6, b"world") == 11
    assert logs.append("j1", 1, 0, 3, b"lo world!") == 12  # overlaps: only what is new is added
    assert logs.append("j1", 1, 0, 99, b"later") == 12  # a gap: refused by the length
    assert logs.append("j1", 1, 0, -1, b"earlier") == 12
    assert logs.append("j1", 1, 0, 2, b"l") == 12
    assert logs.append("j1", 1, 0, 12, b"") == 12
    assert logs.read("j1", 1, 0, 0, 100) == b"hello world!"
    assert logs.read("j1", 1, 0, 6, 5) == b"world"
    assert logs.read("j1", 1, 0, 12, 5) == logs.read("j1", 1, 0, 50, 5) == logs.read("j1", 1, 0, 0, 0) == b""
    assert logs.size("j1", 1, 0) == 12


def test_logs_are_apart(logs: LogStore) -> None:
    for name in (("j1", 1, 0), ("j1", 1, 1), ("j1", 2, 0), ("j2", 1, 0)):
        logs.append(*name, 0, repr(name).encode())
    assert logs.read("j1", 2, 0, 0, 100) == b"('j1', 2, 0)"


def test_a_full_log_takes_what_fits_and_then_says_so(logs: LogStore) -> None:
    assert logs.append("j1", 1, 0, 0, b"a" * 90) == 90
    assert logs.append("j1", 1, 0, 90, b"b" * 20) == 100
    assert logs.append("j1", 1, 0, 90, b"b" * 10) == 100
    with pytest.raises(Fatal, match="limit of 100 bytes"):
        logs.append("j1", 1, 0, 100, b"c")
    assert logs.read("j1", 1, 0, 0, 200) == b"a" * 90 + b"b" * 10


@pytest.mark.parametrize(
    "name", [("../x", 1, 0), ("", 1, 0), ("J1", 1, 0), ("j" * 13, 1, 0), ("j1", 0, 0), ("j1", 1, -1)]
)
def test_bad_log_names(logs: LogStore, name: tuple[str, int, int]) -> None:
    for act in (lambda: logs.append(*name, 0, b"x"), lambda: logs.read(*name, 0, 1), lambda: logs.size(*name)):
        with pytest.raises(Fatal, match="a job, an attempt and a rank"):
            act()


def test_senders_of_one_log_do_not_mix(logs: LogStore) -> None:
    """Four senders repeat the same stream from wherever the store is: it comes out once."""
    stream = bytes(range(97))

    def send(step: int) -> None:
        offset = 0
        while offset < len(stream):
            offset = logs.append("j1", 1, 0, offset, stream[offset : offset + step])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, (1, 3, 7, 20)))
    assert logs.read("j1", 1, 0, 0, 200) == stream


WRITER = """
import hashlib, sys
from pathlib import Path
from scheduler.store.files import FolderLogStore, FolderPackageStore
folder = Path(sys.argv[1])
packages, logs = FolderPackageStore(folder / "packages"), FolderLogStore(folder / "logs")
number, offset = int(sys.argv[2]), logs.size("job", 1, 0)
while True:
    number += 1
    content = str(number).encode() * 50_000
    packages.put(hashlib.sha256(content).hexdigest(), content)
    offset = logs.append("job", 1, 0, offset, b"%08d\\n" % offset * 500)
    print(number, offset, flush=True)
"""


def kill_during_writes(folder: Path, start: int, seconds: float) -> tuple[int, int]:
    """Run WRITER and kill it; the last package's number and the log's length it acknowledged."""
    command = [sys.executable, "-c", WRITER, str(folder), str(start)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        time.sleep(seconds)
    finally:
        process.kill()
        rest, _ = process.communicate(timeout=30)
    number, offset = [line for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")][-1].split()
    return int(number), int(offset)


@pytest.mark.slow
def test_kill_9(tmp_path: Path) -> None:
    start = 0
    for kill in range(5):
        last, length = kill_during_writes(tmp_path, start, 0.005 * kill)
        packages, logs = FolderPackageStore(tmp_path / "packages"), FolderLogStore(tmp_path / "logs")
        for number in range(start + 1, last + 1):
            content = str(number).encode() * 50_000
            assert packages.get(hashlib.sha256(content).hexdigest()) == content
        for path in (tmp_path / "packages").glob("??/*.zip"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
        assert logs.size("job", 1, 0) >= length
        start = last + 1


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A folder that another process holds."""
    code = "import sys, time; from pathlib import Path; from scheduler.store.files import only_process\n"
    code += "with only_process(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield tmp_path
    process.kill()
    process.communicate(timeout=30)


def test_a_folder_has_one_process(held: Path, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="another process of Dure uses"), only_process(held):
        pass
    with only_process(tmp_path / "other"), only_process(tmp_path / "third"):
        pass
    with only_process(tmp_path / "other"):
        pass
