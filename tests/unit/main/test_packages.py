"""The server's package store: parts on disk, whole or not at all, and no reading where a look is enough."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler.core.errors import Fatal, Retry
from scheduler.main.packages import ReceivingPackages
from scheduler.services.packages import ReceivingStore
from scheduler.services.submit import MeasuringStore

CONTENT = b"PK\x05\x06" + b"\0" * 18
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def packages(tmp_path: Path) -> ReceivingPackages:
    """A store for packages of at most 100 bytes."""
    return ReceivingPackages(tmp_path / "packages", bytes_max=100)


def sent(packages: ReceivingPackages, sha256: str, *parts: bytes) -> bool:
    """Send a package in parts."""
    upload = packages.receive(sha256)
    try:
        for part in parts:
            upload.write(part)
        return upload.keep()
    finally:
        upload.discard()
        upload.discard()


def incoming(packages: ReceivingPackages, tmp_path: Path) -> list[str]:
    """Names of files that are not kept yet."""
    assert packages.size("0" * 64) is None
    return sorted(path.name for path in (tmp_path / "packages" / "incoming").iterdir())


def test_it_is_what_the_services_ask_for(packages: ReceivingPackages) -> None:
    assert isinstance(packages, ReceivingStore)
    assert isinstance(packages, MeasuringStore)


@pytest.mark.parametrize("parts", [(CONTENT,), (CONTENT[:1], CONTENT[1:9], b"", CONTENT[9:])])
def test_a_package_is_kept_once(packages: ReceivingPackages, tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    assert packages.size(SUM) is None
    assert sent(packages, SUM, *parts)
    assert not sent(packages, SUM, *parts)
    assert not packages.put(SUM, CONTENT)
    assert (packages.size(SUM), packages.get(SUM)) == (len(CONTENT), CONTENT)
    assert incoming(packages, tmp_path) == []
    (path,) = (tmp_path / "packages").glob("*/*.zip")
    assert path.stat().st_nlink == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_package(packages: ReceivingPackages) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert sent(packages, empty)
    assert packages.size(empty) == 0


REFUSED: dict[str, tuple[str, tuple[bytes, ...], str]] = {
    "another sum": (SUM, (CONTENT, b"x"), "does not have the SHA-256"),
    "too large": (hashlib.sha256(b"x" * 101).hexdigest(), (b"x" * 60, b"x" * 41), "at most 100 bytes"),
    "a path": ("../" + SUM[3:], (CONTENT,), "64 hexadecimal digits"),
}


@pytest.mark.parametrize(("name", "parts", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_packages_leave_nothing(
    packages: ReceivingPackages, tmp_path: Path, name: str, parts: tuple[bytes, ...], message: str
) -> None:
    with pytest.raises(Fatal, match=message) as refused:
        sent(packages, name, *parts)
    assert refused.value.fix
    assert incoming(packages, tmp_path) == []
    assert list((tmp_path / "packages").glob("*/*.zip")) == []


def test_a_part_is_on_disk_once_it_is_written_and_gone_when_discarded(
    packages: ReceivingPackages, tmp_path: Path
) -> None:
    upload = packages.receive(SUM)
    upload.write(CONTENT[:5])
    (name,) = incoming(packages, tmp_path)
    assert (tmp_path / "packages" / "incoming" / name).read_bytes() == CONTENT[:5]
    assert packages.size(SUM) is None
    upload.discard()
    assert incoming(packages, tmp_path) == []


def test_whether_it_is_there_is_told_without_reading(packages: ReceivingPackages, tmp_path: Path) -> None:
    sent(packages, SUM, CONTENT)
    (path,) = (tmp_path / "packages").glob("*/*.zip")
    path.write_bytes(CONTENT[:-1] + b"x")
    assert packages.size(SUM) == len(CONTENT)
    with pytest.raises(Fatal, match="is damaged"):
        packages.get(SUM)
    assert packages.size(SUM) is None  # it is asked for again
    assert sent(packages, SUM, CONTENT)
    assert (packages.size(SUM), packages.get(SUM)) == (len(CONTENT), CONTENT)


@pytest.mark.parametrize("damage", [CONTENT[:-1] + b"x", CONTENT[:5], b""], ids=["another byte", "cut", "empty"])
def test_a_damaged_package_that_is_sent_again_is_whole(
    packages: ReceivingPackages, tmp_path: Path, damage: bytes
) -> None:
    sent(packages, SUM, CONTENT)
    (path,) = (tmp_path / "packages").glob("*/*.zip")
    path.write_bytes(damage)
    assert sent(packages, SUM, CONTENT)
    assert packages.get(SUM) == CONTENT
    assert not sent(packages, SUM, CONTENT)
    assert incoming(packages, tmp_path) == []
    assert path.stat().st_nlink == 1


def test_of_many_equal_uploads_one_is_new(packages: ReceivingPackages, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda _: sent(packages, SUM, CONTENT), range(16)))
    assert sum(new) == 1
    assert packages.get(SUM) == CONTENT
    assert incoming(packages, tmp_path) == []


def test_a_disk_that_cannot_be_written_is_a_retry(packages: ReceivingPackages, tmp_path: Path) -> None:
    (tmp_path / "packages" / SUM[:2]).write_bytes(b"in the way")
    with pytest.raises(Retry, match="cannot be written"):
        sent(packages, SUM, CONTENT)
    (tmp_path / "packages" / "incoming").rmdir()
    with pytest.raises(Retry, match="cannot be written"):
        packages.receive(SUM)
