"""The jobs of a round: of the demo's six organisations and of different lengths; one fails, one is cancelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.demo_parts.cast import ORGS
from scripts.demo_parts.cli import Cli, DemoFailed
from scripts.demo_parts.watch import ENDED

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
JOBS_MIN, JOBS_MAX = 14, 120
UNENDED_MIN = 10
"""More jobs than the eight GPUs take at once."""
SHAPES = (("h100:1", 1), ("h100:1", 2), ("a100:2", 1), ("a100:1", 2))
SECONDS = (3, 10, 25)
"""The least that a training takes: between two kills some end and some do not."""
CANCELLED, FAILS = 0, 3
"""Which of the jobs is cancelled on its way, and which fails by itself."""
RAN = "ran"
"""File in a job's checkpoint folder to which every attempt adds a line as it begins to run."""


class Crowd:
    """The jobs of one round, submitted by the administrator. expected: state in which each job must end, by its id."""

    def __init__(self, admin: Cli) -> None:
        """Nobody is registered and nothing submitted yet."""
        self._admin = admin
        self._has_cancelled = False
        self.expected: dict[str, str] = {}

    def register(self) -> None:
        """The organisations with a project each."""
        for org in ORGS:
            self._admin.run("org", "create", org.name, "--class", org.class_name)
            self._admin.run("project", "create", org.project)

    def top_up(self) -> None:
        """Submit until enough have not ended, at least JOBS_MIN and at most JOBS_MAX in all."""
        unended = len(self.expected) - self.ended()
        wanted = max(JOBS_MIN, len(self.expected) + UNENDED_MIN - unended)
        for number in range(len(self.expected), min(wanted, JOBS_MAX)):
            self._submit(number)

    def cancel_one(self) -> None:
        """The owner of one job thinks better of it; once."""
        if not self._has_cancelled:
            self._admin.run("cancel", list(self.expected)[CANCELLED], "--yes")
            self._has_cancelled = True

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs as the server has them; empty while it does not answer."""
        try:
            return [job for job in self._admin.items("queue", "--all") if job["id"] in self.expected]
        except DemoFailed:
            return []

    def ended(self) -> int:
        """How many jobs are in a final state."""
        return sum(job["state"] in ENDED for job in self.jobs())

    def _submit(self, number: int) -> None:
        gpus, nodes = SHAPES[number % len(SHAPES)]
        project = ORGS[number % len(ORGS)].project
        place = ["--project", project, "--name", f"job-{number}", "--gpus", gpus, "--nodes", str(nodes), "-o", "id"]
        options = ["--entrypoint", "ray", "--workdir", str(EXAMPLES), "--time", "15m", "--yes"]
        seconds = 600 if number == CANCELLED else SECONDS[number % len(SECONDS)]
        train = f"python train_digits.py --epochs 4 --min-seconds {seconds}"
        if number == FAILS:
            train += " --fail-at-epoch 2"
        script = f'echo "$DURE_ATTEMPT" >> "$DURE_CHECKPOINT_DIR/{RAN}" && exec {train}'
        job = self._admin.run("submit", *place, *options, "--", "bash", "-c", script).strip()
        self.expected[job] = {CANCELLED: "Cancelled", FAILS: "Failed"}.get(number, "Succeeded")
