"""A control plane of its own for every test."""

from __future__ import annotations

import pytest

from tests.support.control_plane import ControlPlane


@pytest.fixture
def plane() -> ControlPlane:
    """One policy, two organisations, three nodes."""
    return ControlPlane()
