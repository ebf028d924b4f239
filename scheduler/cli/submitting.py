"""A submission before it is sent: the task from file, options and settings, its package, and the plan's lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.cli.arguments import text_of
from scheduler.cli.build import findings_of
from scheduler.cli.clean import shortened
from scheduler.cli.errors import Fault
from scheduler.cli.files import STDIN, read_file
from scheduler.cli.mending import at_workdir, mended
from scheduler.cli.planning import pool_rows
from scheduler.cli.render import folded, stderr_view
from scheduler.cli.session import NO_PROJECT, TRIES, Session
from scheduler.cli.tables import won_of
from scheduler.client.errors import ApiProblem
from scheduler.client.package import Package, files_text, pack, size_text
from scheduler.core.errors import DureError, Fatal, Finding, Retry
from scheduler.core.units import MS_PER_SECOND, format_duration
from scheduler.schema.arrays import parse_array
from scheduler.schema.bodies import JobBody, PlanBody, TaskBody
from scheduler.schema.task import Override, Task, read_task, task_from_command

if TYPE_CHECKING:
    from scheduler.cli.settings import Configuration

BAD_VALUE = "DURE-1008"
PROJECT_VARIABLE = "DURE_PROJECT"
PATHS = {
    "gpus": "resources.gpus",
    "nodes": "resources.nodes",
    "time": "resources.time",
    "tier": "tier",
    "retries": "retries",
    "name": "name",
    "entrypoint": "entrypoint",
    "array": "array",
    "hold_on_failure": "hold_on_failure",
}
# What a refusal is about, so that it can be shown at its place in the task file.
FIELD_BY_CODE = {
    "DURE-1104": "gpus",
    "DURE-1105": "gpus",
    "DURE-1106": "gpus",
    "DURE-2101": "gpus",
    "DURE-1310": "array",
    "DURE-1311": "hold_on_failure_seconds",
    "DURE-2102": "time_seconds",
    "DURE-3002": "project",
}
SHOWN_SECRETS_MAX = 5
LABEL_COLUMNS = 11
RUN_SHOWN_MAX = 80
SECONDS_PER_HOUR = 3_600
UNAUTHORISED = 401
NO_SUCH_ROUTE = ("DURE-3000", "DURE-1045")
"""What a server answers that has no plans yet: nothing at this address, or not for this method."""


class Draft:
    """One submission on its way."""

    def __init__(
        self, session: Session, file: str | None, command: Sequence[str] | None, given: Mapping[str, Any]
    ) -> None:
        """Read and check the task; raises Fault with every mistake, Fatal when the file cannot be read."""
        self._session = session
        self._sources: dict[str, str] = {}
        overrides = list(_overrides(session.config, given))
        if file is not None:
            content = read_file(file)
            name = "standard input" if file == STDIN else file
            self._sources[name] = content.decode("utf-8", "replace")
            read = read_task(content, name, overrides)
            self._base = Path.cwd() if file == STDIN else Path(file).parent
        else:
            words = [text_of(word, "the command after --") for word in command or ()]
            read = task_from_command(words, overrides)
            self._base = Path.cwd()
        if not isinstance(read, Task):
            raise Fault([mended(finding, of_file=file is not None) for finding in read], self._sources)
        self._task = read
        self._project_given = str(given.get("project") or "")

    @property
    def task(self) -> Task:
        """The task, whole and right."""
        return self._task

    def package(self) -> Package | None:
        """The work directory as a package; None when the task has none. Raises Fault with all that is wrong."""
        if self._task.workdir is None:
            self._warn_of_local_files()
            return None
        package, findings = pack(self._base / Path(self._task.workdir).expanduser())
        if package is None:
            place = self._task.places.get("workdir", "")
            raise Fault([at_workdir(finding, place) for finding in findings], self._sources)
        return package

    def _warn_of_local_files(self) -> None:
        """The most common surprise: the command names a file that stays at home."""
        for word in self._task.run.split()[:100]:
            if "/" not in word[:1] and word.endswith((".py", ".sh")) and (self._base / word).is_file():
                self._session.warn(f"{word} stays here: nothing travels without a work directory (--workdir .)")
                return

    def project(self, *, ask: bool) -> str:
        """ORG/PROJECT of the task, the option or the settings; with ``ask`` the server may know the only one."""
        known = self._task.project or self._session.config.project_path(self._project_given)
        return known or (self._session.project(self._project_given) if ask else "")

    def body(self, package: Package | None) -> TaskBody:
        """What is sent; raises Fatal when no project is known, Fault when the server would not read it."""
        from dataclasses import replace

        complete = replace(self._task, project=self.project(ask=True))
        try:
            return complete.to_body(package.sha256 if package else None)
        except ValueError as error:
            raise Fault(findings_of(error, {name: f"{name} of the task" for name in TaskBody.model_fields})) from error

    def plan(self, body: TaskBody, *, tries: int = TRIES) -> PlanBody | None:
        """What the server says to it; None where the server is older than plans. Its refusals are placed."""
        try:
            return self._session.client_that_tries(tries).plan(body)
        except ApiProblem as problem:
            if problem.code in NO_SUCH_ROUTE:
                return None
            raise self._placed(problem) from problem

    def checked_plan(self, package: Package | None) -> tuple[PlanBody | None, str]:
        """The server's plan for a dry run, and the project; the server is asked only where one can be asked."""
        session = self._session
        if not session.config.settings.server.text or not session.token():
            return None, self.project(ask=False)
        try:
            project = self.project(ask=True)
            return self.plan(self.body(package), tries=1), project
        except DureError as error:
            if isinstance(error, Retry) or getattr(error, "status", None) == UNAUTHORISED:
                session.warn(f"not checked by the server: {error.message}")
            elif error.code != NO_PROJECT or self._project_given:
                raise
        return None, self.project(ask=False)

    def show_plan(self, package: Package | None, project: str, plan: PlanBody | None) -> None:
        """The plan in a few lines for people; ``plan`` has what only the server knows."""
        task = self._task
        self._session.talk(f"Plan  {task.name}  ({f'project {project}' if project else 'no project chosen yet'})")
        total, flavor = task.nodes * task.gpus.per_node, plan.flavor if plan else task.gpus.flavor
        rows = [
            ("GPUs", f"{task.nodes} x {task.gpus.per_node} {flavor} = {total}, time limit {self._limit(plan)}"),
            ("Tier", ", then ".join(task.tiers)),
            *array_rows(task.array, plan),
            *pool_rows(plan, stderr_view()),
            *price_rows(plan),
            ("Runs", _shortened(task.run) + (" (as the Ray driver)" if task.entrypoint == "ray" else "")),
        ]
        if package:
            rows.append(("Files", f"{files_text(package.files)}, {size_text(len(package.content))} to send"))
        for label, text in rows:
            for number, line in enumerate(folded(text, indent=LABEL_COLUMNS)):
                self._session.talk(f"  {'' if number else label:<{LABEL_COLUMNS - 2}}{line}")
        if package and package.secrets_left_out:
            shown = ", ".join(package.secrets_left_out[:SHOWN_SECRETS_MAX])
            rest = len(package.secrets_left_out) - SHOWN_SECRETS_MAX
            self._session.talk(
                f"{'':<{LABEL_COLUMNS}}left out as secret: {shown}{f' and {rest} more' if rest > 0 else ''}"
            )

    def _limit(self, plan: PlanBody | None) -> str:
        """The time limit; where the task names none, the policy's."""
        if self._task.time_seconds is not None:
            return limit_text(self._task.time_seconds)
        return f"{limit_text(plan.time_seconds)} (the policy's default)" if plan else "the policy's default"

    def submit(self, body: TaskBody, key: str) -> tuple[JobBody, bool]:
        """Send it; what the server refuses is shown at its place in the task file."""
        try:
            return self._session.client.submit(body, key)
        except ApiProblem as problem:
            raise self._placed(problem) from problem

    def _placed(self, problem: ApiProblem) -> ApiProblem | Fault:
        findings = [self._task.locate(_in_task(finding)) for finding in problem.findings]
        if not findings and problem.code in FIELD_BY_CODE:
            where = FIELD_BY_CODE[problem.code]
            finding = Finding(where, problem.code, problem.message, problem.fix)
            findings = [found] if (found := self._task.locate(finding)) != finding else []
        if not findings:
            return problem
        fault = Fault(findings, self._sources)
        fault.status = problem.status
        return fault


def price_rows(plan: PlanBody | None) -> list[tuple[str, str]]:
    """A line for each tier with its price; no line without a plan."""
    if plan is None:
        return []
    widest = max(len(item.tier) for item in plan.tiers)
    texts = [
        f"{item.tier.ljust(widest)}  {won_of(item.tenant_microwon_per_gpu_hour)} per GPU-hour,"
        f" at most {won_of(item.most_microwon)} for an attempt"
        for item in plan.tiers
    ]
    labels = ["Price", *[""] * len(texts)]
    return list(zip(labels, [*texts, "what the tenant pays, before VAT"], strict=True))


def array_rows(array: str, plan: PlanBody | None) -> list[tuple[str, str]]:
    """A line with the size of an array, and what all of it may cost at most in its dearest tier; none for one job."""
    if not array:
        return []
    known = parse_array(array)
    text = f"{array}: {known.size} jobs" + (f", at most {known.at_once} at once" if known.is_limited else "")
    if plan:
        text += f"; at most {won_of(max(item.all_jobs_microwon for item in plan.tiers))} for all"
    return [("Array", text)]


def limit_text(seconds: int) -> str:
    """A time limit in hours, or in its own unit where it is no whole number of hours."""
    hours, rest = divmod(seconds, SECONDS_PER_HOUR)
    return format_duration(seconds * MS_PER_SECOND) if rest else f"{hours}h"


def _overrides(config: Configuration, given: Mapping[str, Any]) -> Iterator[Override]:
    """Options and variables as overrides of the task's fields."""
    if os.environ.get(PROJECT_VARIABLE) and not given.get("project"):
        yield Override("project", config.project_path() or os.environ[PROJECT_VARIABLE], f"${PROJECT_VARIABLE}")
    for name, path in PATHS.items():
        if given.get(name) is not None:
            option = f"--{name.replace('_', '-')}"
            yield Override(path, text_of(str(given[name]), option), option)
    project = config.project_path(str(given.get("project") or "")) if given.get("project") else ""
    if project:
        yield Override("project", project, "--project")
    if given.get("hold"):
        yield Override("hold", "true", "--hold")
    if given.get("workdir") is not None:
        yield Override("workdir", str(Path(given["workdir"]).expanduser().absolute()), "--workdir")
    for text in given.get("env") or ():
        name, equals, value = text.partition("=")
        if not equals and name not in os.environ:
            fix = "write --env NAME=VALUE, or export it first"
            raise Fatal(BAD_VALUE, f"--env {shortened(name)}: there is no such variable here", fix)
        origin = f"--env {shortened(name)[1:-1]}"
        yield Override(f"env.{name}", text_of(value if equals else os.environ[name], origin), origin)


def _in_task(finding: Finding) -> Finding:
    return Finding(finding.where.removeprefix("body."), finding.code, finding.message, finding.fix)


def _shortened(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    cut = first if len(first) <= RUN_SHOWN_MAX else first[: RUN_SHOWN_MAX - 1] + "…"
    return f"{cut} …" if rest and cut == first else cut
