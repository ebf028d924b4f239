"""Our ignore rules against git's own, over random trees and rules."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from scheduler.client.package import pack

PARTS = ("a", "b", "c.log", "d.txt", "out", "x y")
RULES = (
    "*.log",
    "!*.log",
    "/a",
    "a/",
    "out/",
    "!out/",
    "b",
    "*",
    "!d.txt",
    "**/b",
    "a/**",
    "/a/*",
    "?",
    "x\\ y",
    "!/a/b",
)
WORLDS = 60


def random_path(rng: random.Random) -> str:
    return "/".join(rng.choice(PARTS) for _ in range(rng.randint(1, 3)))


def grow(root: Path, rng: random.Random) -> None:
    for _ in range(12):
        path = root / random_path(rng)
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("1")
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        if folder == root or rng.random() < 0.3:
            (folder / ".gitignore").write_text("\n".join(rng.sample(RULES, rng.randint(0, 4))) + "\n")


def by_git(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "--others", "--exclude-standard"]
    return sorted(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout.decode().split("\0")[:-1])


def by_us(root: Path) -> list[str]:
    package, findings = pack(root)
    if package is None:
        assert [finding.code for finding in findings] == ["DURE-1025"]
        return []
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        return sorted(archive.namelist())


def test_random_rules_leave_out_what_git_leaves_out(tmp_path: Path, rng: random.Random) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, timeout=30)
    some_ignored = 0
    for _ in range(WORLDS):
        for path in tmp_path.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        grow(tmp_path, rng)
        everything = [path for path in tmp_path.rglob("*") if path.is_file() and ".git" not in path.parts]
        wanted = by_git(tmp_path)
        assert by_us(tmp_path) == wanted
        some_ignored += len(wanted) < len(everything)
    assert some_ignored > WORLDS // 4, "the rules hardly ever left anything out"


@pytest.mark.parametrize("name", [".gitignore", ".dureignore"])
def test_an_ignore_file_that_is_a_folder_is_no_ignore_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "job" / name).mkdir(parents=True)
    (tmp_path / "job" / "a").write_text("1")
    assert by_us(tmp_path / "job") == ["a"]
