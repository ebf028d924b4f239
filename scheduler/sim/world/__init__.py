"""The deterministic world (fifty seeds in the tests, more by hand): see docs/world.md."""

from scheduler.sim.world.report import WorldReport
from scheduler.sim.world.world import Parts, World, run

__all__ = ["Parts", "World", "WorldReport", "run"]
