"""Golden files: the expected text lies beside the tests; DURE_UPDATE_GOLDEN=1 writes it anew for review in the diff."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

UPDATE_ENV = "DURE_UPDATE_GOLDEN"


def assert_golden(path: Path, actual: str) -> None:
    """Fail with a unified diff unless ``actual`` is the text of ``path``; with the update flag write it instead."""
    if os.environ.get(UPDATE_ENV) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
        return
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    if expected != actual:
        lines = difflib.unified_diff(
            expected.splitlines(), actual.splitlines(), f"{path.name} (committed)", f"{path.name} (now)", lineterm=""
        )
        raise AssertionError("\n".join([f"{path} differs; if that is right, run with {UPDATE_ENV}=1", *lines]))
