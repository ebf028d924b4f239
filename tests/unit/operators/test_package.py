"""Unpacking: what a package may hold, and hostile zips that must leave nothing behind."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from operators.local.package import BadPackage, PackageLimits, unpack

Entry = tuple[str, bytes]


def zipped(*entries: Entry | tuple[zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these entries, made without any check."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def unpacked(content: bytes, target: Path, **limits: int) -> None:
    unpack(content, hashlib.sha256(content).hexdigest(), target, PackageLimits(**limits))


def info(name: str, mode: int) -> zipfile.ZipInfo:
    """An entry with a Unix mode."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


def renamed(placeholder: str, name: str) -> bytes:
    """A zip whose only entry has a name that zipfile would not write as it is."""
    assert len(placeholder) == len(name)
    return zipped((placeholder, b"x")).replace(placeholder.encode(), name.encode())


def with_sizes(content: bytes, unpacked_bytes: int) -> bytes:
    """The same zip, its central directory lying about the first entry's unpacked size (APPNOTE 4.3.12: offset 24)."""
    at = content.index(b"PK\x01\x02")
    return content[: at + 24] + struct.pack("<L", unpacked_bytes) + content[at + 28 :]


def overlapping() -> bytes:
    """Two entries of the central directory that use the same bytes: the second's offset (at 42) is the first's."""
    content = zipped(("a", b"x" * 100), ("b", b"x" * 100))
    at = content.rindex(b"PK\x01\x02")
    return content[: at + 42] + struct.pack("<L", 0) + content[at + 46 :]


def duplicated() -> bytes:
    return zipped(("aa", b"1"), ("bb", b"2")).replace(b"bb", b"aa")


HOSTILE: dict[str, tuple[Callable[[], bytes], dict[str, int], str]] = {
    "parent folder": (lambda: zipped(("../evil", b"x")), {}, "leaves the work directory"),
    "parent folder inside": (lambda: zipped(("a/../../evil", b"x")), {}, "leaves the work directory"),
    "dot": (lambda: zipped(("./a", b"x")), {}, "leaves the work directory"),
    "empty part": (lambda: zipped(("a//b", b"x")), {}, "leaves the work directory"),
    "absolute": (lambda: renamed("aaaaa", "/evil"), {}, "no relative path"),
    "drive": (lambda: renamed("aaevil", "C:evil"), {}, "no relative path"),
    "backslash": (lambda: renamed("aaaevil", "..\\evil"), {}, "no relative path"),
    "new line": (lambda: zipped(("a\nb", b"x")), {}, "control character"),
    "escape": (lambda: zipped(("a\x1b[2Jb", b"x")), {}, "control character"),
    "null byte": (lambda: renamed("a0b", "a\0b"), {}, "control character"),
    "symbolic link": (lambda: zipped((info("l", stat.S_IFLNK | 0o777), b"/etc/passwd")), {}, "neither a file"),
    "device": (lambda: zipped((info("d", stat.S_IFBLK | 0o600), b"")), {}, "neither a file"),
    "named pipe": (lambda: zipped((info("p", stat.S_IFIFO | 0o600), b"")), {}, "neither a file"),
    "long name": (lambda: zipped(("a" * 256, b"x")), {}, "too long"),
    "long path": (lambda: zipped(("/".join(["a" * 200] * 6), b"x")), {}, "too long"),
    "twice": (duplicated, {}, "twice"),
    "file and folder": (lambda: zipped(("a", b"x"), ("a/b", b"x")), {}, "is a file and"),
    "too many": (lambda: zipped(*((f"f{at}", b"") for at in range(11))), {"files": 10}, "at most 10"),
    "too large": (lambda: zipped(("a", b"x" * 101)), {"unpacked_bytes": 100}, "at most 100"),
    "too large when packed": (lambda: zipped(("a", b"x" * 101)), {"packed_bytes": 50}, "at most 50"),
    "bomb": (lambda: zipped(("a", b"\0" * (2 << 20))), {}, "more than 100 times"),
    "bomb in parts": (lambda: zipped(*((f"f{at}", b"\0" * (1 << 18)) for at in range(8))), {}, "more than 100 times"),
    "overlapping": (overlapping, {}, "overlaps"),
    "larger than it says": (lambda: with_sizes(zipped(("a", b"x" * 100)), 10), {}, "readable zip"),
    "smaller than it says": (lambda: with_sizes(zipped(("a", b"x" * 100)), 200), {}, "smaller"),
    "unknown method": (lambda: zipped(("a", b"x" * 99), method=zipfile.ZIP_LZMA), {}, "unknown way"),
    "no zip": (lambda: b"hello", {}, "readable zip"),
    "empty": (lambda: b"", {}, "readable zip"),
    "cut off": (lambda: zipped(("a", b"x" * 1_000))[:-30], {}, "readable zip"),
    "damaged": (lambda: zipped(("a", b"x"), method=zipfile.ZIP_STORED).replace(b"ax", b"ay", 1), {}, "readable zip"),
}


@pytest.mark.parametrize(("make", "limits", "says"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_package_is_refused_and_leaves_nothing(
    tmp_path: Path, make: Callable[[], bytes], limits: dict[str, int], says: str
) -> None:
    target = tmp_path / "inner" / "work"
    with pytest.raises(BadPackage, match=says):
        unpacked(make(), target, **limits)
    assert [path for path in tmp_path.rglob("*") if path.name != "inner"] == []


def test_other_bytes_than_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="SHA-256"):
        unpack(zipped(("a", b"x")), "0" * 64, tmp_path / "work")


def test_an_honest_package(tmp_path: Path) -> None:
    content = zipped(
        ("train.py", b"print()"),
        ("lib/", b""),
        ("lib/두레.txt", "값".encode()),
        (info("go.sh", 0o100755), b"#!/bin/sh"),
    )
    unpacked(content, tmp_path / "work")
    work = tmp_path / "work"
    assert (work / "lib" / "두레.txt").read_text(encoding="utf-8") == "값"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (work / "train.py", work / "go.sh")}
    assert modes == {"train.py": 0o600, "go.sh": 0o700}


def test_a_small_file_may_pack_well(tmp_path: Path) -> None:
    unpacked(zipped(("a", b"\0" * (1 << 20))), tmp_path / "work")
    assert (tmp_path / "work" / "a").stat().st_size == 1 << 20
