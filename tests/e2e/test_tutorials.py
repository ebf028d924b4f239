"""The tutorials and the README, run as they are written, each against a server of its own that their text starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import pages, programs
from tests.support.dure import COMMAND_SECONDS_MAX, START_SECONDS_MAX, kill_leftovers
from tests.support.source import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.ray]

PORT = "3873"
# The longest first.
PAGES = ("docs/tutorials/startup.md", "docs/tutorials/administrator.md", "docs/tutorials/auditor.md", "README.md")
STOPPED_BY_KEY = 0


Typed = list[tuple[pages.Block, str]]
"""The blocks of a page with what each printed."""


def fresh_checkout(parent: Path) -> Path:
    """A folder that looks like a fresh checkout to a page: what it reads is there, what it makes is not."""
    folder = parent / "dure"
    folder.mkdir()
    for name in ("docs", "examples", "scheduler", ".gitignore"):
        (folder / name).symlink_to(ROOT / name)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)  # what it ignores does not travel with a job
    (parent / "home").mkdir()
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


def run_page(name: str, parent: Path) -> Typed:
    """Run a page in a folder of its own, on a port of its own."""
    checkout, port = fresh_checkout(parent), str(programs.free_port())
    page = (ROOT / name).read_text(encoding="utf-8").replace(PORT, port)
    items = pages.blocks(page)
    (server,) = [item for item in items if item.role == "server"]
    typed = [item for item in items if not item.role]
    with first_terminal(f"env DURE_PORT={port} {server.commands}", checkout):
        return list(zip(typed, outputs(typed, checkout), strict=True))


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Typed]]]:
    """The runs of all pages that are asked for, two at a time: most of their time is waiting for jobs."""
    asked = [name for name in PAGES if any(f"[{name}]" in item.name for item in request.session.items)]
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run_page, name, tmp_path_factory.mktemp("page")) for name in asked}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, runs: dict[str, Future[Typed]]) -> None:
    for item, output in runs[name].result():
        assert "Traceback" not in output
        line = pages.missing(item.expected, output)
        assert not line, f"{line!r} is missing after:\n{item.commands}\nwhich printed:\n{output}"
