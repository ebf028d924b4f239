"""What a call of the command line gave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.source import ROOT

GOLDEN = ROOT / "tests" / "golden" / "cli"


@dataclass(frozen=True, slots=True)
class Result:
    """Exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    def fails(self, code: int, *parts: str) -> Result:
        """Assert the exit code, that standard error has all parts, and that it is no traceback."""
        assert self.code == code, self
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err, self.err
        return self

    def succeeds(self) -> Result:
        """Assert exit code 0."""
        assert self.code == 0, self
        assert "Traceback" not in self.err
        return self


def golden(name: str) -> Path:
    """The committed text of this name."""
    return GOLDEN / name
