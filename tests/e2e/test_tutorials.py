"""The tutorials and the README, run as they are written, each against a server of its own that their text starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import pages, programs
from tests.support.dure import COMMAND_SECONDS_MAX, START_SECONDS_MAX, kill_leftovers
from tests.support.source import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.ray]

PORT = "3873"
PAGES = ("README.md", "docs/tutorials/startup.md", "docs/tutorials/administrator.md", "docs/tutorials/auditor.md")
STOPPED_BY_KEY = 0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a fresh checkout to a page: what it reads is there, what it makes is not."""
    folder = tmp_path / "dure"
    folder.mkdir()
    for name in ("docs", "examples", "scheduler", ".gitignore"):
        (folder / name).symlink_to(ROOT / name)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)  # what it ignores does not travel with a job
    (tmp_path / "home").mkdir()
    return folder


def environment(checkout: Path) -> dict[str, str]:
    """What a person has after `source .venv/bin/activate`, in a home of their own."""
    programs_first = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {
        **os.environ,
        "HOME": str(checkout.parent / "home"),
        "PATH": programs_first,
        "COLUMNS": "150",
        "LC_ALL": "C.UTF-8",
    }


@contextmanager
def first_terminal(commands: str, checkout: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run what stays in a first terminal until the block ends, then press Ctrl-C and see that it ends well."""
    log = checkout.parent / "server.log"
    with log.open("wb") as out:
        command = programs.die_with_parent(["bash", "-c", f"exec {commands}"])
        process = subprocess.Popen(command, cwd=checkout, env=environment(checkout), stdout=out, stderr=out)
    try:
        programs.wait_until(lambda: "ready; next:" in log.read_text("utf-8"), process, log, START_SECONDS_MAX)
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(START_SECONDS_MAX) == STOPPED_BY_KEY, log.read_text("utf-8")
    finally:
        programs.stop(process, signal.SIGKILL)
        for data in {path.parent for path in checkout.rglob("admin.token")}:
            kill_leftovers(data)


def outputs(items: list[pages.Block], checkout: Path) -> list[str]:
    """What each block printed, run one after the other in one shell; those after a failure are missing."""
    folder = checkout.parent / "said"
    folder.mkdir()
    text = pages.script(items, folder)
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=checkout,
        env=environment(checkout),
        stdin=subprocess.DEVNULL,
        timeout=2 * COMMAND_SECONDS_MAX,
        check=False,
    )
    said = [path.read_text("utf-8") for path in sorted(folder.iterdir(), key=lambda path: int(path.stem))]
    assert done.returncode == 0, f"ended with {done.returncode} after:\n{items[len(said) - 1].commands}\n{said[-1]}"
    return said


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, checkout: Path) -> None:
    page = (ROOT / name).read_text(encoding="utf-8").replace(PORT, str(programs.free_port()))
    items = [item for item in pages.blocks(page) if item.role != "install"]
    (server,) = [item for item in items if item.role == "server"]
    typed = [item for item in items if not item.role]
    assert len(typed) > 1 or name == "README.md"
    port = page.partition("http://127.0.0.1:")[2].partition(" ")[0]
    with first_terminal(f"env DURE_PORT={port} {server.commands}", checkout):
        said = outputs(typed, checkout)
    for item, output in zip(typed, said, strict=True):
        assert "Traceback" not in output
        line = pages.missing(item.expected, output)
        assert not line, f"{line!r} is missing after:\n{item.commands}\nwhich printed:\n{output}"
