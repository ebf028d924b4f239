"""Unpack a work directory's zip without trusting it: every entry is judged before the first byte is written."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COPY_BYTES = 1 << 20
LOCAL_HEADER_BYTES = 30  # fixed part of a zip's local file header (APPNOTE 4.3.7)
ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 1_024


class BadPackage(Exception):
    """The zip may not be unpacked; the text is one sentence that names the entry."""


@dataclass(frozen=True, slots=True)
class PackageLimits:
    """How large an unpacked work directory may be. A ratio above 100 from 1 MiB on is a bomb, not a program."""

    packed_bytes: int = 64 << 20
    files: int = 20_000
    unpacked_bytes: int = 1 << 30
    ratio: int = 100
    ratio_from_bytes: int = 1 << 20


def unpack(content: bytes, sha256: str, target: Path, limits: PackageLimits | None = None) -> None:
    """Write the package's files under ``target``, which must not exist; files of the owner only.

    Raises BadPackage, with nothing left behind, when the bytes are not the package named or break a rule or limit.
    """
    limits = limits or PackageLimits()
    if len(content) > limits.packed_bytes:
        raise BadPackage(f"the package is {len(content)} bytes; at most {limits.packed_bytes} are unpacked")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BadPackage("the package's bytes are not those of its SHA-256")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            check(entries, limits)
            target.mkdir(parents=True, mode=0o700)
            for entry in entries:
                _write(archive, entry, target)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise BadPackage(f"the package is no readable zip: {error}") from error
    except BadPackage:
        shutil.rmtree(target, ignore_errors=True)
        raise


def check(entries: Sequence[zipfile.ZipInfo], limits: PackageLimits) -> None:
    """Raise BadPackage for the first entry, or the sum of them, that breaks a rule; writes nothing."""
    if len(entries) > limits.files:
        raise BadPackage(f"the package has {len(entries)} entries; at most {limits.files} are unpacked")
    seen: dict[str, bool] = {}
    for entry in entries:
        _check_entry(entry)
        path = entry.filename.rstrip("/")
        if path in seen:
            raise BadPackage(f"{path!r} is in the package twice")
        seen[path] = entry.is_dir()
    for path in seen:
        parents = ("/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1))
        if parent := next((parent for parent in parents if seen.get(parent) is False), None):
            raise BadPackage(f"{parent!r} is a file and, for {path!r}, a folder")
    _check_size(entries, limits)
    _check_overlap(entries)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    shown = repr(name[:100])
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise BadPackage(f"{shown} has a control character in its name")
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or "\\" in name or ":" in parts[0] or not name:
        raise BadPackage(f"{shown} is no relative path")
    if any(part in ("", ".", "..") for part in parts):
        raise BadPackage(f"{shown} leaves the work directory or is not written plainly")
    encoded = [len(os.fsencode(part)) for part in parts]
    if max(encoded) > NAME_BYTES_MAX or sum(encoded) + len(parts) > PATH_BYTES_MAX:
        raise BadPackage(f"{shown} is too long a name")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadPackage(f"{shown} is neither a file nor a folder (symbolic links are not packed)")
    if entry.flag_bits & ENCRYPTED or entry.compress_type not in METHODS:
        raise BadPackage(f"{shown} is encrypted or packed in an unknown way")


def _check_size(entries: Sequence[zipfile.ZipInfo], limits: PackageLimits) -> None:
    packed, unpacked = sum(entry.compress_size for entry in entries), sum(entry.file_size for entry in entries)
    if unpacked > limits.unpacked_bytes:
        raise BadPackage(f"the package unpacks to {unpacked} bytes; at most {limits.unpacked_bytes} are allowed")
    if unpacked > limits.ratio_from_bytes and unpacked > limits.ratio * max(1, packed):
        raise BadPackage(f"the package unpacks to more than {limits.ratio} times its size")


def _check_overlap(entries: Sequence[zipfile.ZipInfo]) -> None:
    """Entries that share bytes make a small zip large without any large entry."""
    end = 0
    for entry in sorted(entries, key=lambda item: item.header_offset):
        if entry.header_offset < end:
            raise BadPackage(f"{entry.filename!r} overlaps another entry of the package")
        end = entry.header_offset + LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    path = target / entry.filename
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = 0o700 if (entry.external_attr >> 16) & stat.S_IXUSR else 0o600
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    written = 0
    with archive.open(entry) as source, os.fdopen(os.open(path, flags, mode), "wb") as out:
        while piece := source.read(COPY_BYTES):
            written += len(piece)
            if written > entry.file_size:
                raise BadPackage(f"{entry.filename!r} is larger than it says")
            out.write(piece)
    if written != entry.file_size:
        raise BadPackage(f"{entry.filename!r} is smaller than it says")
