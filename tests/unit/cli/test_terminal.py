"""On a real terminal (a pty): questions, colours, hidden input; and none of them elsewhere."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.source import ROOT
from tests.unit.cli.conftest import Dure
from tests.unit.cli.server import POLICY, Api

SECONDS_MAX = 60
# Makes the terminal the program's own, so that the keys for interrupt and end of file work. Tests that run in the
# background may be ignoring interrupts, and a program inherits that; on a user's terminal nothing is ignored.
ON_TERMINAL = """
import os, signal, sys
for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(sign, signal.SIG_DFL)
os.login_tty(os.open(sys.argv[1], os.O_RDWR))
os.execv(sys.executable, [sys.executable, "-m", "scheduler.cli", *sys.argv[2:]])
"""
SUBMIT = ("submit", "--gpus", "h100:1", "--hold", "--name", "asked", "--", "true")


class Terminal:
    """One call of the command line on a terminal of 80 columns."""

    def __init__(self, config: Path, args: Sequence[str], env: dict[str, str]) -> None:
        self._own, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        values = {**os.environ, "DURE_CONFIG_DIR": str(config), "TERM": "xterm-256color", **env}
        command = [sys.executable, "-c", ON_TERMINAL, os.ttyname(theirs), *args]
        self._process = subprocess.Popen(command, cwd=ROOT, env=values)
        # The slave stays open here until the end, so that what was shown can still be read after the program's end.
        self._theirs = theirs
        self.shown = ""

    def signal(self, sign: signal.Signals) -> None:
        """Send the program a signal."""
        self._process.send_signal(sign)

    def read_until(self, text: str, after: int = 0) -> None:
        """Read until the text was shown, from this place of what was shown on."""
        deadline = time.monotonic() + SECONDS_MAX
        while text not in self.shown[after:]:
            assert time.monotonic() < deadline, self.shown
            assert self._more() or self._process.poll() is None, self.shown

    def _more(self, seconds: float = 0.2) -> bool:
        """Read what was shown meanwhile; false when that was nothing."""
        ready, _, _ = select.select([self._own], [], [], seconds)
        if ready:
            self.shown += os.read(self._own, 65_536).decode()
        return bool(ready)

    def type(self, text: str) -> None:
        """What a user types."""
        os.write(self._own, text.encode())

    def end(self) -> int:
        """Read the rest and return the exit code."""
        deadline = time.monotonic() + SECONDS_MAX
        while self._process.poll() is None and time.monotonic() < deadline:
            self._more()
        self._process.kill()
        while self._more(0):
            pass
        os.close(self._own)
        os.close(self._theirs)
        return self._process.wait()


def on_terminal(config: Path, *args: str, env: dict[str, str] | None = None) -> Terminal:
    return Terminal(config, args, env or {})


@pytest.mark.parametrize(("answer", "code"), [("\n", 0), ("y\n", 0), ("n\n", 130), ("\x04", 130), ("\x03", 130)])
def test_submit_asks_first(admin: Dure, project: str, config_folder: Path, answer: str, code: int) -> None:
    terminal = on_terminal(config_folder, *SUBMIT)
    terminal.read_until("Submit? [Y/n] ")
    assert "Plan  asked" in terminal.shown
    terminal.type(answer)
    assert terminal.end() == code
    assert "Traceback" not in terminal.shown
    assert len(admin("queue", "--project", project, "-o", "id").succeeds().out.split()) == (code == 0)


def test_yes_asks_nothing_and_no_input_refuses(admin: Dure, project: str, config_folder: Path) -> None:
    terminal = on_terminal(config_folder, "submit", "--yes", *SUBMIT[1:])
    assert terminal.end() == 0
    assert "[Y/n]" not in terminal.shown
    terminal = on_terminal(config_folder, "--no-input", *SUBMIT)
    assert terminal.end() == 2
    assert "DURE-1007" in terminal.shown


@pytest.mark.parametrize(("answer", "code"), [("\n", 130), ("n\n", 130), ("\x04", 130)])
def test_closing_a_period_needs_a_typed_yes(admin: Dure, config_folder: Path, answer: str, code: int) -> None:
    before = admin("period", "list", "-o", "json").succeeds().json
    terminal = on_terminal(config_folder, "period", "close")
    terminal.read_until("It cannot be opened again. [y/N] ")
    assert f"Close period {before['items'][-1]['id']}, open since" in terminal.shown
    terminal.type(answer)
    assert terminal.end() == code
    assert admin("period", "list", "-o", "json").json == before


@pytest.mark.parametrize(("answer", "code", "left"), [("\n", 130, 2), ("y\n", 0, 0), ("ㅛ\n", 0, 0)])
def test_cancelling_several_needs_a_typed_yes(
    admin: Dure, project: str, config_folder: Path, answer: str, code: int, left: int
) -> None:
    jobs = [admin(*SUBMIT[:4], "-o", "id", "--", "true").succeeds().out.strip() for _ in range(2)]
    terminal = on_terminal(config_folder, "cancel", *jobs)
    terminal.read_until("? [y/N] ")
    terminal.type(answer)
    assert terminal.end() == code
    assert len(admin("queue", "--project", project, "-o", "id").succeeds().out.split()) == left


def test_a_token_that_is_typed_is_not_shown(dure: Dure, api: Api, config_folder: Path) -> None:
    terminal = on_terminal(config_folder, "--server", api.url, "login")
    terminal.read_until("Token (not shown): ")
    terminal.type(f"{api.admin_token}\n")
    assert terminal.end() == 0
    assert "as admin" in terminal.shown
    assert api.admin_token not in terminal.shown


COLOURS = {
    "a terminal": ({}, True),
    "NO_COLOR": ({"NO_COLOR": "1"}, False),
    "a dumb terminal": ({"TERM": "dumb"}, False),
}


@pytest.mark.parametrize(("env", "coloured"), COLOURS.values(), ids=COLOURS.keys())
def test_colours(config_folder: Path, env: dict[str, str], *, coloured: bool) -> None:
    for args in (("why",), ("explain",)):
        terminal = on_terminal(config_folder, *args, env=env)
        terminal.end()
        assert ("\x1b[" in terminal.shown) is coloured, terminal.shown


@pytest.mark.parametrize("answer", ["n\n", "\x04"])
def test_apply_shows_what_would_differ_and_asks(admin: Dure, config_folder: Path, answer: str) -> None:
    Path("policy.yaml").write_text(POLICY.replace("weight: 25", "weight: 26"))
    before = admin("policy", "history", "-o", "id").succeeds().out
    terminal = on_terminal(config_folder, "policy", "apply", str(Path("policy.yaml").absolute()), "--reason", "C-204")
    terminal.read_until("? [Y/n] ")
    assert "~   classes.startup.weight   25 -> 26" in terminal.shown
    assert terminal.shown.index("classes.startup.weight") < terminal.shown.index("Apply ")
    terminal.type(answer)
    assert terminal.end() == 130
    assert admin("policy", "history", "-o", "id").succeeds().out == before
