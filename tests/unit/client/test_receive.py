"""Files from a server in a folder of the user's: whole, proven, never elsewhere, nothing replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.client.receive import ReceivingFolder
from scheduler.core.errors import Fatal

CONTENT = b"hello world"
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ReceivingFolder]:
    """``in`` under the test's folder; nothing else there may change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("precious")
    with ReceivingFolder(tmp_path / "in") as made:
        yield made


def everything(root: Path) -> dict[str, str]:
    """Every file below a folder with its text; links are not followed."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(root)): path.read_text() for path in files}


OUTSIDE = {"outside/file": "precious"}


def test_a_file_arrives_whole_and_once(folder: ReceivingFolder, tmp_path: Path) -> None:
    assert not folder.has("out/a/file.txt", SUM)
    folder.put("out/a/file.txt", [CONTENT[:5], b"", CONTENT[5:]], SUM)
    assert folder.has("out/a/file.txt", SUM)
    folder.put("empty", [], hashlib.sha256(b"").hexdigest())
    assert everything(tmp_path) == {"in/empty": "", "in/out/a/file.txt": "hello world", **OUTSIDE}


@pytest.mark.parametrize("path", ["../outside/file", "/etc/x", "a/../../outside/x", "a\0", "NUL", "a\\b", "C:x", ""])
def test_a_name_that_leads_elsewhere_is_refused(folder: ReceivingFolder, tmp_path: Path, path: str) -> None:
    for call in (lambda: folder.has(path, SUM), lambda: folder.put(path, [CONTENT], SUM)):
        with pytest.raises(Fatal) as refused:
            call()
        assert (refused.value.code, bool(refused.value.fix)) == ("DURE-1322", True)
    assert everything(tmp_path) == OUTSIDE


def test_a_link_in_the_way_is_not_followed(folder: ReceivingFolder, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "there").symlink_to(tmp_path / "outside" / "file")
    (tmp_path / "in" / "dangling").symlink_to(tmp_path / "outside" / "new")
    for path in ("sub/new", "sub/deeper/new"):
        with pytest.raises(Fatal) as refused:
            folder.put(path, [CONTENT], SUM)
        assert refused.value.code == "DURE-1322"
        with pytest.raises(Fatal):
            folder.has(path, SUM)
    for path in ("there", "dangling"):
        with pytest.raises(Fatal) as refused:
            folder.has(path, SUM)
        assert refused.value.code == "DURE-1322"
        with pytest.raises(Fatal) as refused:
            folder.put(path, [CONTENT], SUM)
        assert refused.value.code == "DURE-6071"
    assert everything(tmp_path) == OUTSIDE


def test_nothing_is_replaced(folder: ReceivingFolder, tmp_path: Path) -> None:
    (tmp_path / "in" / "mine").write_text("mine")
    (tmp_path / "in" / "dir").mkdir()
    for path in ("mine", "dir"):
        for call in (lambda path=path: folder.has(path, SUM), lambda path=path: folder.put(path, [CONTENT], SUM)):
            with pytest.raises(Fatal) as refused:
                call()
            assert refused.value.code == "DURE-6071", path
    with pytest.raises(Fatal) as refused:
        folder.put("mine/below", [CONTENT], SUM)
    assert refused.value.code == "DURE-1322"
    assert everything(tmp_path) == {"in/mine": "mine", **OUTSIDE}


def broken() -> Iterator[bytes]:
    """A connection that ends in the middle."""
    yield CONTENT[:5]
    raise Fatal("DURE-8001", "the server is gone", "")


@pytest.mark.parametrize(
    ("parts", "code"),
    [([CONTENT[:-1]], "DURE-6073"), ([CONTENT, b"x"], "DURE-6073"), ([], "DURE-6073"), (broken(), "DURE-8001")],
    ids=["cut", "longer", "nothing", "broken off"],
)
def test_what_is_not_whole_leaves_nothing(
    folder: ReceivingFolder, tmp_path: Path, parts: Iterator[bytes], code: str
) -> None:
    with pytest.raises(Fatal) as refused:
        folder.put("file", parts, SUM)
    assert refused.value.code == code
    assert everything(tmp_path) == OUTSIDE


def test_a_disk_without_links_is_written_too(
    folder: ReceivingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    folder.put("file", [CONTENT], SUM)
    assert everything(tmp_path) == {"in/file": "hello world", **OUTSIDE}


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal) as refused:
        ReceivingFolder(tmp_path / "file" / "below")
    assert refused.value.code == "DURE-1322"
