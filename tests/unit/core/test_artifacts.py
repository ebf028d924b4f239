"""Names of artifacts: what every system takes, and nothing that leads elsewhere."""

from __future__ import annotations

import pytest

from scheduler.core.artifacts import DEPTH_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX, clashing, path_fault

GOOD = (
    *("a", "metrics.json", "out/epoch-3/model.bin", "결과/표 1.csv", ".hidden", "..a", "nulx", "com", "com10", "con-1"),
    "a" * NAME_BYTES_MAX,
    "/".join("a" * DEPTH_MAX),
    "👍" * (NAME_BYTES_MAX // 4),
)
BAD = {
    "": "it has no name",
    "/etc/passwd": "leaves its folder",
    "../x": "leaves its folder",
    "a/../../x": "leaves its folder",
    "a//b": "leaves its folder",
    "a/": "leaves its folder",
    "./a": "leaves its folder",
    "a\0b": "not every system takes",
    "a\nb": "not every system takes",
    "a\x7f": "not every system takes",
    "C:x": "not every system takes",
    "..\\x": "not every system takes",
    "what?": "not every system takes",
    "a ": "a space",
    " a": "a space",
    "a./b": "ends with a dot",
    "CON": "a device on Windows",
    "out/nul.txt": "a device on Windows",
    "Lpt1": "a device on Windows",
    "com¹": "a device on Windows",
    "\udcff": "no UTF-8",
    "a" * (NAME_BYTES_MAX + 1): "200 bytes",
    "가" * (NAME_BYTES_MAX // 3 + 1): "200 bytes",
    "/".join("a" * (DEPTH_MAX + 1)): "20 folders deep",
    "/".join(["a" * 50] * 11): "512 bytes",
}


@pytest.mark.parametrize("path", GOOD)
def test_names_that_may_be(path: str) -> None:
    assert path_fault(path) == ""


@pytest.mark.parametrize("path", BAD, ids=ascii)
def test_names_that_may_not_be(path: str) -> None:
    assert BAD[path] in path_fault(path)


def test_the_longest_path() -> None:
    path = "/".join(["a" * 63] * 8) + "b"
    assert len(path) == PATH_BYTES_MAX
    assert (path_fault(path), path_fault(path + "c") != "") == ("", True)


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a", "b", "a/c"], {"a/c"}),
        (["A", "a"], {"a"}),
        (["out/x", "OUT"], {"OUT"}),
        (["out/x", "out/y", "Out/z"], set()),
        (["a/b", "a/b/c"], {"a/b/c"}),
        (["Straße", "STRASSE"], {"STRASSE"}),
        (["a", "a"], {"a"}),
    ],
)
def test_names_that_are_one_somewhere(paths: list[str], found: set[str]) -> None:
    assert clashing(paths) == found
