"""What a run of a world has to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorldReport:
    """findings: every broken promise, in the order it was found; empty for a sound run.

    counts: jobs by state, attempts, cycles, losses, crashes, faults by kind. premises: how often there was something
    that a check could have found wrong. trace_sha256: over the whole trace and the final store; trace: its last lines.
    """

    seed: int
    arguments: str
    findings: tuple[str, ...]
    counts: Mapping[str, int]
    premises: Mapping[str, int]
    virtual_ms: int
    trace_sha256: str
    trace: tuple[str, ...]

    @property
    def replay(self) -> str:
        """The command that repeats this run."""
        return f"python -m scheduler.sim.world {self.arguments} --trace"

    def text(self) -> str:
        """The report for people."""
        hours, rest_ms = divmod(self.virtual_ms, 3_600_000)
        state = "sound" if not self.findings else f"{len(self.findings)} findings"
        lines = [f"world {self.seed}: {state}, {hours} h {rest_ms // 60_000:02d} m of virtual time"]
        lines += [f"  {name}: {count}" for name, count in sorted(self.counts.items())]
        lines += [f"  premise, {name}: {count}" for name, count in sorted(self.premises.items())]
        lines += [f"  trace: {self.trace_sha256}"]
        lines += [f"  FINDING {finding}" for finding in self.findings]
        if self.findings:
            lines.append(f"  replay: {self.replay}")
        return "\n".join(lines)
