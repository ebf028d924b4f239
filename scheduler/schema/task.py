"""The task file, version 1: read with places, completed by flags, turned into the body that is sent.

One table of fields (``TASK``) is the validation, the JSON Schema and the list that the reference page must
cover. Fields that other systems have and Dure does not are refused with a sentence, never ignored.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from scheduler.core.errors import DureError, Fatal, Finding
from scheduler.core.units import MS_PER_SECOND, format_duration
from scheduler.schema.arrays import Indices
from scheduler.schema.bodies import RESERVED_ENV, TaskBody, TierName
from scheduler.schema.kinds import Choice, Duration, Flag, GpuRequest, Text, Whole
from scheduler.schema.quantities import Gpus
from scheduler.schema.report import TASK_CODES, Place, Report, shown
from scheduler.schema.validate import Field, ListOf, MapOf, Objects, Unsupported, Values
from scheduler.schema.yamlpos import Items, Node, Scalar, Table, read_yaml

NAME_LENGTH_MAX = 40
NAME_PATTERN = r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"
NODES_MAX = 4_096
TIME_MAX_MS = 90 * 86_400 * MS_PER_SECOND
ENV_MAX = 256
RETRIES_MAX = 10
TIERS: tuple[TierName, ...] = ("guaranteed", "borrow", "scavenge")
TIERS_DEFAULT: tuple[TierName, ...] = ("guaranteed", "borrow")
GPUS_CODE = "DURE-1106"
RESERVED_ENV_CODE = "DURE-1116"
NO_PROJECT_CODE = "DURE-1117"
HOLD_TOO_LONG_CODE = "DURE-1311"
_LAUNCHERS = frozenset(
    {"python", "python3", "bash", "sh", "uv", "uvx", "run", "torchrun", "accelerate", "launch", "deepspeed"}
    | {"exec", "time", "env", "nohup"}
)


def slug(text: str, default: str = "job") -> str:
    """A job's name made from any text: lower-case letters, digits and single dashes, at most 40 characters."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-").lstrip("-0123456789")
    return words[:NAME_LENGTH_MAX].rstrip("-") or default


def _name_fix(text: str) -> str:
    return f"write {slug(text)}" if slug(text, "") else "begin with a letter from a to z"


def _project_fix(text: str) -> str:
    org, slash, project = text.partition("/")
    return f"write {slug(org)}/{slug(project)}" if slash and project else f"write ORG/{slug(text)}"


_MIGHT_COME = "remove it; this version does not have it"
GPUS: Field[Gpus] = Field(
    "gpus",
    GpuRequest(GPUS_CODE),
    "GPUs of each node as FLAVOR:N; FLAVOR is a flavor of the policy or a unique prefix of its name.",
    example='"h100:1"',
)
NODES: Field[int] = Field("nodes", Whole(1, NODES_MAX), "Nodes of the gang; all start together or none does.")
TIME: Field[int] = Field("time", Duration(MS_PER_SECOND, TIME_MAX_MS), "Time limit of one attempt, such as 12h.")
RESOURCES: Field[Values] = Field(
    "resources",
    Objects(
        (GPUS, NODES, TIME),
        unsupported={
            "image": Unsupported("container images are not supported yet", "prepare the environment in setup"),
            "cpus": Unsupported("CPUs cannot be requested: a job gets its share of its nodes' CPUs", _MIGHT_COME),
            "memory": Unsupported("memory cannot be requested: a job gets its share of its nodes' memory", _MIGHT_COME),
        },
        hints={"accelerators": "gpus", "gpu": "gpus", "num_nodes": "nodes", "time_limit": "time", "timeout": "time"},
        wanted='a mapping such as {gpus: "h100:4", nodes: 2, time: 12h}',
    ),
    "What each attempt needs.",
)
NAME: Field[str] = Field(
    "name",
    Text("1 to 40 small letters, digits and dashes, from a letter on", NAME_LENGTH_MAX, 1, NAME_PATTERN, _name_fix),
    "The job's name; made from the command when it is absent.",
)
PROJECT: Field[str] = Field(
    "project",
    Text("ORG/PROJECT", 2 * NAME_LENGTH_MAX + 1, 1, f"{NAME_PATTERN}/{NAME_PATTERN}", _project_fix),
    "The organisation and project that the job belongs to; the context's when it is absent.",
)
NUM_NODES: Field[int] = Field("num_nodes", Whole(1, NODES_MAX), "Another name of resources.nodes.")
TIER: Field[list[str]] = Field(
    "tier",
    ListOf(Choice(TIERS), "a tier or a list of tiers", len(TIERS), 1, one_alone=True, unique=True),
    "Tiers in the order in which the job accepts them; guaranteed, then borrow when it is absent.",
)
WORKDIR: Field[str] = Field(
    "workdir",
    Text("a folder on this machine", 1_024, 1, r"(?![A-Za-z][A-Za-z0-9+.-]*://).*"),
    "Folder that travels with the job, relative to the task file; nothing travels when it is absent.",
)
ENV: Field[dict[str, str]] = Field(
    "env",
    MapOf(
        Text("letters, digits and underscores, from a letter on", 128, 1, r"[A-Za-z_][A-Za-z0-9_]*"),
        Text(longest=32_768, shortest=0),
        "a mapping such as {EPOCHS: 3}",
        ENV_MAX,
    ),
    "Environment of every rank; names that begin with DURE_ belong to Dure.",
    aliases=("envs",),
)
SETUP: Field[str] = Field("setup", Text("shell text"), "Shell text that runs once on every node before run.")
RUN: Field[str] = Field("run", Text("shell text"), "Shell text of the job itself.", example="python train.py")
ENTRYPOINT: Field[str] = Field(
    "entrypoint", Choice(("script", "ray")), "script runs run on every rank; ray runs it once, as the Ray driver."
)
RETRIES: Field[int] = Field("retries", Whole(0, RETRIES_MAX), "How often a failed job is run again; 0 when absent.")
HOLD: Field[bool] = Field("hold", Flag(), "Accept the job but do not start it until it is released.")
HOLD_ON_FAILURE: Field[int] = Field(
    "hold_on_failure",
    Duration(MS_PER_SECOND, TIME_MAX_MS),
    "How long an attempt whose rank failed keeps its GPUs, at its cost, so that it can be looked at.",
)
ARRAY: Field[str] = Field("array", Indices(), "Indices of a job array, such as 1-20 or 1-20%4: one job for each.")
TASK = Objects(
    (
        *(NAME, PROJECT, RESOURCES, NUM_NODES, TIER, WORKDIR, ENV, SETUP, RUN),
        *(ENTRYPOINT, RETRIES, HOLD, HOLD_ON_FAILURE, ARRAY),
    ),
    unsupported={
        "any_of": Unsupported("alternative requests are not supported yet", "name one request in resources"),
        "data": Unsupported("data mounts are not supported yet", "read the data in setup or run"),
        "secrets": Unsupported("secrets are not supported yet", "read them from a place of your own in run"),
        "notify": Unsupported("notifications are not supported yet", "follow the job with: dure logs -f JOB"),
        "preemption": Unsupported("how a job is preempted cannot be set: the tier decides", "set tier, and retries"),
        "image": Unsupported("container images are not supported yet", "prepare the environment in setup"),
    },
    hints={
        "class": "tier",
        "priority": "tier",
        "command": "run",
        "cmd": "run",
        "script": "run",
        "environment": "env",
        "working_dir": "workdir",
        "working_directory": "workdir",
        "gpus": "resources.gpus",
        "accelerators": "resources.gpus",
        "nodes": "resources.nodes",
        "time": "resources.time",
        "max_restarts": "retries",
    },
    wanted="a mapping of the task's fields",
)
# Paths by which flags and variables may set a field, beside env.NAME.
SETTABLE = frozenset(
    {"name", "project", "resources.gpus", "resources.nodes", "resources.time", "tier", "workdir", "setup", "run"}
    | {"entrypoint", "retries", "hold", "hold_on_failure", "array"}
)
_BODY_PATHS = {"gpus": "resources.gpus", "nodes": "resources.nodes", "time_seconds": "resources.time", "tiers": "tier"}
_BODY_PATHS |= {"hold_on_failure_seconds": "hold_on_failure"}
# What a refusal of the server is about, where that is one field.
_FIELD_BY_CODE = {
    "DURE-1104": "resources.gpus",
    "DURE-1105": "resources.gpus",
    "DURE-1106": "resources.gpus",
    "DURE-1107": "workdir",
    "DURE-1310": "array",
    "DURE-1311": "hold_on_failure",
    "DURE-2101": "resources.gpus",
    "DURE-2102": "resources.time",
    "DURE-2103": "project",
    "DURE-2105": "project",
    "DURE-3002": "project",
}


class Override(NamedTuple):
    """A value from outside the file: ``path`` is one of SETTABLE or ``env.NAME``, ``origin`` such as ``--gpus``."""

    path: str
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Task:
    """A complete and valid task. ``time_seconds`` None takes the policy's default, ``project`` None the context's.

    places: path of a field -> ``file:line:column``, or the flag that set it.
    """

    file: str
    name: str
    project: str | None
    gpus: Gpus
    nodes: int
    time_seconds: int | None
    tiers: tuple[TierName, ...]
    workdir: str | None
    env: Mapping[str, str]
    setup: str
    run: str
    entrypoint: Literal["script", "ray"]
    retries: int
    hold: bool
    hold_on_failure_seconds: int
    array: str
    places: Mapping[str, str] = field(default_factory=dict, compare=False)
    values: Values = field(default_factory=lambda: Values(Place(1, 1)), compare=False, repr=False)

    def to_body(self, package_sha256: str | None = None) -> TaskBody:
        """The body of POST /jobs; raises Fatal when no project is known."""
        if self.project is None:
            fix = "add project: ORG/PROJECT to the file, or choose one: dure context use NAME --project ORG/PROJECT"
            raise Fatal(NO_PROJECT_CODE, "the task names no project", fix)
        return TaskBody(
            name=self.name,
            project=self.project,
            gpus=str(self.gpus),
            nodes=self.nodes,
            time_seconds=self.time_seconds,
            tiers=list(self.tiers),
            entrypoint=self.entrypoint,
            run=self.run,
            setup=self.setup,
            env=dict(self.env),
            retries=self.retries,
            package_sha256=package_sha256,
            hold=self.hold,
            hold_on_failure_seconds=self.hold_on_failure_seconds,
            array=self.array,
        )

    def locate(self, finding: Finding) -> Finding:
        """A server's finding about a field of the body (``gpus``, ``env.X``), at that field's place in the file."""
        path = _BODY_PATHS.get(finding.where, finding.where)
        place = self.places.get(path)
        return Finding(place, finding.code, finding.message, finding.fix) if place else finding

    def located(self, error: DureError) -> Finding:
        """A refusal of the submission as a finding at the field that it is about; at the file when it is about none."""
        place = self.places.get(_FIELD_BY_CODE.get(error.code, ""), self.file)
        return Finding(place, error.code, error.message, error.fix)


def read_task(content: bytes | str, file: str, overrides: Sequence[Override] = ()) -> Task | list[Finding]:
    """Read a task file of one YAML document, with flags on top of it; all findings at once when it is no task."""
    report = Report(file, TASK_CODES)
    return _finish(report, _values(content, report), overrides)


def task_from_command(command: Sequence[str], overrides: Sequence[Override] = ()) -> Task | list[Finding]:
    """The task of ``dure submit -- CMD...``: one word is shell text, several are quoted for the shell."""
    report = Report("the command line", TASK_CODES)
    text = command[0] if len(command) == 1 else shlex.join(command)
    return _finish(report, Values(Place(1, 1)), [Override("run", text, "the command after --"), *overrides])


def with_overrides(task: Task, overrides: Sequence[Override]) -> Task | list[Finding]:
    """The task with flags on top: ``env.NAME`` adds or replaces one variable, all else replaces the field."""
    result = _finish(Report(task.file, TASK_CODES), task.values, overrides)
    if isinstance(result, list):
        return result
    return replace(result, places=MappingProxyType({**task.places, **result.places}))


def _values(content: bytes | str, report: Report) -> Values | None:
    """What the file says; None when it cannot be read, and the report says why."""
    roots = read_yaml(content, report)
    if not roots:
        return None
    report.places[""] = roots[0].place
    return TASK.read(roots[0], "", report)


def _finish(report: Report, base: Values | None, overrides: Sequence[Override]) -> Task | list[Finding]:
    over = _read_overrides(report, overrides)
    if base is None:
        return report.findings()
    values = base.merged(over)
    _check(report, values)
    task = _task(report, values)
    return task if task is not None and report.clean else report.findings()


def _task(report: Report, values: Values) -> Task | None:
    resources = values.get_or(RESOURCES, Values(values.place))
    gpus, run = resources.get(GPUS), values.get(RUN)
    if gpus is None or run is None:
        return None
    time_ms = resources.get(TIME)
    tiers, env = values.get(TIER), values.get(ENV)
    return Task(
        file=report.file,
        name=values.get_or(NAME, name_from(run)),
        project=values.get(PROJECT),
        gpus=gpus,
        nodes=resources.get_or(NODES, values.get_or(NUM_NODES, 1)),
        time_seconds=None if time_ms is None else time_ms // MS_PER_SECOND,
        tiers=TIERS_DEFAULT if tiers is None else cast(tuple[TierName, ...], tuple(tiers)),
        workdir=values.get(WORKDIR),
        env=MappingProxyType(env or {}),
        setup=values.get_or(SETUP, ""),
        run=run,
        entrypoint=cast(Literal["script", "ray"], values.get_or(ENTRYPOINT, "script")),
        retries=values.get_or(RETRIES, 0),
        hold=values.get_or(HOLD, False),
        hold_on_failure_seconds=values.get_or(HOLD_ON_FAILURE, 0) // MS_PER_SECOND,
        array=values.get_or(ARRAY, ""),
        places=MappingProxyType({path: report.where(place) for path, place in report.places.items()}),
        values=values,
    )


def _read_overrides(report: Report, overrides: Sequence[Override]) -> Values:
    """Overrides as if they stood in a file of their own; later ones replace earlier ones of the same path."""
    top: dict[str, tuple[Scalar, Node]] = {}
    groups: dict[str, dict[str, tuple[Scalar, Node]]] = {"resources": {}, "env": {}}
    for path, text, origin in overrides:
        group, dot, name = path.partition(".")
        place = Place(0, 0, origin)
        if path not in SETTABLE and not (group == "env" and dot):
            report.add(place, TASK_CODES.unknown_field, f"no field {shown(path)} can be set", "set env.NAME or a field")
            continue
        value: Node = Scalar(place, text, "given")
        if path == "tier":
            value = Items(place, tuple(Scalar(place, word.strip(), "given") for word in text.split(",")))
        entry = (Scalar(place, name if dot else path, "given"), value)
        (groups[group] if dot else top)[entry[0].text] = entry
    for group, entries in groups.items():
        if entries:
            first = next(iter(entries.values()))[0].place
            top[group] = (Scalar(first, group, "given"), Table(first, tuple(entries.values())))
    if not top:
        return Values(Place(1, 1))
    kept = {path: report.places[path] for path in ("", *groups) if path in report.places}
    read = TASK.read(Table(Place(0, 0), tuple(top.values())), "", report)
    report.places.update(kept)
    return read or Values(Place(1, 1))


def _check(report: Report, values: Values) -> None:
    """Rules that need more than one field, and fields that a complete task must have."""
    resources = values.get_or(RESOURCES, Values(values.place))
    nodes, num_nodes = resources.key_place(NODES), values.key_place(NUM_NODES)
    if num_nodes and nodes and not nodes.origin:
        message = '"num_nodes" and "resources.nodes" are the same field'
        report.add(num_nodes, TASK_CODES.twice, message, "keep resources.nodes")
    for name in values.get(ENV) or {}:
        if RESERVED_ENV.match(name):
            report.add_at(f"env.{name}", RESERVED_ENV_CODE, f"env.{name} is set by Dure", "choose another name")
    time_ms, hold_ms = resources.get(TIME), values.get(HOLD_ON_FAILURE)
    if time_ms and hold_ms and hold_ms > time_ms:
        message = f"hold_on_failure is longer than the time limit of {format_duration(time_ms)}"
        report.add_at("hold_on_failure", HOLD_TOO_LONG_CODE, message, f"write at most {format_duration(time_ms)}")
    run = values.get(RUN)
    if (RUN not in values and "run" not in values.guessed) or (run is not None and not run.strip()):
        what = "is missing" if RUN not in values else "is empty"
        report.add_at("run", TASK_CODES.missing, f"run {what}", "add run: followed by the command")
    unreadable = RESOURCES in values and values.get(RESOURCES) is None
    guessed = values.guessed | resources.guessed
    if GPUS not in resources and not unreadable and not guessed & {"resources", "resources.gpus", "gpus"}:
        message = "resources.gpus is missing, and jobs without GPUs are not accepted"
        report.add_at("resources", GPUS_CODE, message, 'add resources: {gpus: "h100:1"}')


def name_from(run: str) -> str:
    """A job's name from its command: the stem of the first word that is no launcher, option or assignment."""
    for line in run.splitlines():
        words = line.split("#", 1)[0].split()
        for word in words:
            plain = word.strip("\"'")
            if not re.match(r"[A-Za-z_]\w*=|-", plain) and plain not in _LAUNCHERS:
                stem = plain.rstrip("/").rsplit("/", 1)[-1]
                return slug(re.sub(r"\.(py|sh|bash)\Z", "", stem))
    return "job"


def task_schema() -> dict[str, Any]:
    """The JSON Schema of a complete task file, for editors."""
    schema = TASK.schema()
    schema["properties"]["resources"] |= {"required": ["gpus"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://dure.dev/schema/task.v1.json",
        "title": "Dure task, version 1",
        **schema,
        "required": ["resources", "run"],
    }
