"""What an artifact may be called, for the layers that know the schema and not the core."""

from __future__ import annotations

from scheduler.core.artifacts import clashing, path_fault

__all__ = ["clashing", "path_fault"]
