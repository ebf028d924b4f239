"""Whole servers for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.dure import Dure

MakeDure = Callable[..., Dure]


@pytest.fixture
def make_dure(tmp_path: Path) -> Iterator[MakeDure]:
    """Makes servers that are not started yet; all of them, and their attempts, end with the test."""
    made: list[Dure] = []

    def make(*command: str, **variables: str) -> Dure:
        made.append(Dure(tmp_path / f"dure{len(made)}", *command, **variables))
        return made[-1]

    yield make
    for dure in made:
        dure.close()
