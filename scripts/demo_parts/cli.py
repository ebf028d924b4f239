"""The demo speaks to Dure through the public command line only, one person a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND_SECONDS_MAX = 120
DURE = Path(sys.executable).parent / "dure"


class DemoFailed(Exception):
    """Something that must hold in the demo does not; the message says what."""


class Cli:
    """Runs ``dure`` as one user; keeps what it printed for the report."""

    def __init__(self, server: str, token: str, config: Path) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DURE_")},
            "DURE_SERVER": server,
            "DURE_TOKEN": token,
            "DURE_CONFIG_DIR": str(config),
            "NO_COLOR": "1",
            "COLUMNS": "120",
        }

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Standard output of ``dure ARGUMENTS``; raises DemoFailed when it exits otherwise than expected."""
        done = self.call(*arguments)
        if done.returncode != expect:
            shown = " ".join(arguments)
            raise DemoFailed(f"dure {shown}: exit {done.returncode}, expected {expect}\n{done.stdout}{done.stderr}")
        return done.stdout

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run and return whatever happened."""
        return subprocess.run(
            [str(DURE), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """The answer of ``dure ARGUMENTS -o json``."""
        return json.loads(self.run(*arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The items of a list command."""
        found: list[dict[str, Any]] = self.json(*arguments)["items"]
        return found
