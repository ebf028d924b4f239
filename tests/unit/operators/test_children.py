"""Children of a supervisor: each with its own exit status, whatever number it has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from operators.local.children import Children
from tests.support.processes import wait_for


def test_a_number_that_is_used_again_has_no_old_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = Children()
    pid = children.spawn(["true"], {"PATH": os.defpath}, tmp_path, tmp_path / "log")

    def ended() -> bool:
        children.reap()
        return children.code(pid) is not None

    wait_for("its end", ended)
    assert children.code(pid) == 0
    monkeypatch.setattr(subprocess, "Popen", lambda *_arguments, **_options: SimpleNamespace(pid=pid))
    assert children.spawn(["sleep", "60"], {}, tmp_path, tmp_path / "log") == pid
    assert children.code(pid) is None
