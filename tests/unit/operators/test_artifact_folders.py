"""Which files of a job's artifacts folder are taken: plain ones that fit, and nothing that leads out of it."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from operators.local import artifacts
from operators.local.artifacts import collect, read
from operators.local.layout import Folder
from operators.ports import Artifacts
from scheduler.core.artifacts import DEPTH_MAX, FILES_MAX, LEFT_OUT_MAX

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An attempt's folder with the artifacts folder of rank 0, and a file beside it that no job may hand over."""
    made = Folder(tmp_path / "d-aaaa-a1")
    (made.artifacts / "0").mkdir(parents=True)
    (made.path / "secret").write_text("secret")
    return made


def fill(folder: Folder, files: dict[str, bytes]) -> Path:
    """Write files; returns the rank's folder."""
    root = folder.artifacts / "0"
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def left_out(found: Artifacts) -> dict[str, str]:
    return {item.path: item.why for item in found.left_out}


def test_plain_files_by_path_with_their_sums(folder: Folder) -> None:
    files = {"b.bin": b"x" * (MIB + 1), "a/표.csv": b"1", "a/empty": b""}
    fill(folder, files)
    found = collect(folder, 0, 2 * MIB)
    assert [file.path for file in found.files] == sorted(files)
    for file in found.files:
        content = files[file.path]
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert read(folder, 0, file.path, 0, 2 * MIB) == content
    assert read(folder, 0, "b.bin", MIB, 10) == b"x"
    assert (found.left_out, collect(folder, 0, 2 * MIB)) == ((), found)


def test_nothing_but_plain_files_with_safe_names(folder: Folder) -> None:
    root = fill(folder, {"good": b"1", "Good": b"2", "nul": b"3", "bad:name": b"4", "\udcff": b"5", "new\nline": b"6"})
    (root / "link").symlink_to("../../secret")
    (root / "folder").symlink_to(folder.path)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "s"))
        found = collect(folder, 0, MIB)
    assert [file.path for file in found.files] == ["Good"]
    reasons = left_out(found)
    assert reasons == {
        "good": "it differs from another file in case alone",
        "nul": "a name in its path is that of a device on Windows",
        "bad:name": "a name in its path has a character that not every system takes",
        "\\xff": "its name is no UTF-8",
        "new\\nline": "a name in its path has a character that not every system takes",
        "link": "it is a symbolic link",
        "folder": "it is a symbolic link",
        "loop": "it is a symbolic link",
        "pipe": "it is a pipe, a socket or a device",
        "s": "it is a pipe, a socket or a device",
    }
    for path in ("link", "folder/secret", "loop", "pipe", "s", "../../secret", "/etc/passwd", "none", "good/x"):
        assert read(folder, 0, path, 0, 10) == b"", path


@pytest.mark.parametrize("what", ["artifacts", "artifacts/0"])
def test_a_folder_that_became_a_link_is_not_entered(folder: Folder, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside" / "0"
    outside.mkdir(parents=True)
    for place in (outside, outside.parent):
        (place / "secret").write_text("secret")
    target = folder.path / what
    for name in sorted(folder.artifacts.rglob("*"), reverse=True):
        name.rmdir()
    if what == "artifacts":
        target.rmdir()
        target.symlink_to(outside.parent)
    else:
        target.symlink_to(outside)
    assert collect(folder, 0, MIB) == Artifacts()
    assert read(folder, 0, "secret", 0, 10) == b""


def test_a_folder_that_is_a_file_or_is_gone_holds_nothing(folder: Folder) -> None:
    (folder.artifacts / "0").rmdir()
    assert collect(folder, 0, MIB) == Artifacts()
    (folder.artifacts / "0").write_text("a file")
    assert collect(folder, 0, MIB) == Artifacts()


def test_what_does_not_fit_is_named_and_what_is_smaller_still_fits(folder: Folder) -> None:
    fill(folder, {"a": b"x" * 60, "b": b"x" * 50, "c": b"x" * 40})
    found = collect(folder, 0, 100)
    assert [file.path for file in found.files] == ["a", "c"]
    assert left_out(found) == {"b": "with its 50 bytes the attempt hands over more than 100"}


def test_counts_are_bounded(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    more = FILES_MAX + LEFT_OUT_MAX + 5
    fill(folder, {f"{number:05d}": b"" for number in range(more)})
    found = collect(folder, 0, MIB)
    assert (len(found.files), len(found.left_out), found.left_out_more) == (FILES_MAX, LEFT_OUT_MAX, 5)
    assert left_out(found)[f"{FILES_MAX:05d}"] == "an attempt hands over at most 1000 files"
    monkeypatch.setattr(artifacts, "ENTRIES_MAX", 10)
    found = collect(folder, 0, MIB)
    assert len(found.files) == 10
    assert left_out(found) == {"...": "more than 10 names: the rest was not looked at"}


def test_depth_is_bounded(folder: Folder) -> None:
    deepest = "/".join(["d"] * (DEPTH_MAX - 1) + ["file"])
    fill(folder, {deepest: b"1", "/".join(["d"] * DEPTH_MAX + ["file"]): b"2"})
    found = collect(folder, 0, MIB)
    assert [file.path for file in found.files] == [deepest]
    assert set(left_out(found).values()) == {f"it lies more than {DEPTH_MAX} folders deep"}
