"""Places for the tests of the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.api.place import Made, Place


@pytest.fixture
def make_place() -> Iterator[Made]:
    """A factory of places; all are closed after the test."""
    made: list[Place] = []

    def make(**changes: Any) -> Place:
        made.append(Place(**changes))
        return made[-1]

    yield make
    for place in made:
        place.close()


@pytest.fixture
def place(make_place: Made) -> Place:
    """One place."""
    return make_place()
