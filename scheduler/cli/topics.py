"""What ``dure help TOPIC`` says of what is no command: the task's fields, words of Slurm, variables, shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scheduler.cli import exits
from scheduler.cli.base import ENVIRONMENT
from scheduler.schema.validate import Field, MapOf, Objects

TASK = "task"
SLURM = """\
Slurm                             Dure
sbatch job.sh                     dure submit task.yaml, or dure submit --gpus h100:4 -- ./job.sh
squeue                            dure queue (and dure queue --watch)
squeue --start, sprio             dure why JOB: every reason, with numbers and what would help
scancel                           dure cancel JOB
sinfo                             dure gpus
sshare                            dure quota
sreport, sacct                    dure usage; dure queue --all for single jobs
scontrol show job                 dure job get JOB; what happened to it: dure job events JOB
scontrol hold, release            dure job hold, dure job release
scontrol wait_job, sbatch -W      dure job wait JOB, dure submit --wait
tail -f slurm-ID.out              dure logs -f JOB

In a script                       In a task file
#SBATCH --job-name=NAME           name: NAME
#SBATCH --account=ACCOUNT         project: ORG/PROJECT
#SBATCH --nodes=2                 resources: {nodes: 2}
#SBATCH --gpus-per-node=h100:4    resources: {gpus: "h100:4"}   (of each node)
#SBATCH --time=12:00:00           resources: {time: 12h}
#SBATCH --qos=QOS                 tier: [guaranteed, borrow]
#SBATCH --requeue                 retries: 3   (what is evicted waits again by itself)
#SBATCH --hold                    hold: true
srun python train.py              run: python train.py   (on every node, all at once)

Variable                          In a job of Dure
SLURM_JOB_ID                      DURE_JOB, and DURE_ATTEMPT for the execution
SLURM_NODEID, SLURM_NNODES        DURE_NODE_RANK, DURE_NUM_NODES
SLURM_GPUS_ON_NODE                DURE_GPUS_PER_NODE
SLURM_RESTART_COUNT               DURE_ATTEMPT, from 1
(a shared home)                   DURE_CHECKPOINT_DIR: one folder for all attempts of the job

CPUs and memory are not requested: a job gets its share of its nodes. There are no partitions: the flavor of the GPUs
chooses the machines, and the policy who may have how many.
"""
OUTPUT = """\
Data goes to standard output, everything for people to standard error. -o gives the shape of the data:

  table   columns for people; what does not fit a narrow terminal is left out and named (the default)
  wide    every column
  json    the API's answer unchanged, described by its OpenAPI document
  jsonl   one item a line; of what goes on and on, one object a line
  yaml    the same as json
  csv     the items' fields, one item a line
  id      one id a line
  name    one name a line

Without a terminal there is no colour, no question, no progress and no column that is cut. --quiet leaves data and
errors. NO_COLOR turns colours off.
"""


def _environment() -> str:
    widest = max(len(name) for name in ENVIRONMENT)
    return "".join(f"{name.ljust(widest)}   {text}\n" for name, text in ENVIRONMENT.items())


def _exit_codes() -> str:
    return "".join(f"{code:<5}{meaning}\n" for code, meaning in exits.MEANING.items())


TEXTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "slurm": ("Dure for who knows Slurm.", lambda: SLURM),
    "output": ("The shapes of -o.", lambda: OUTPUT),
    "environment": ("The variables that dure reads.", _environment),
    "exit-codes": ("What each exit code says.", _exit_codes),
}
"""Topic -> summary and text."""


def fields(table: Objects, path: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Every field of a table with its path, those of nested tables after it."""
    for field in table.fields:
        place = f"{path}.{field.name}" if path else field.name
        yield place, field
        if isinstance(field.kind, Objects):
            yield from fields(field.kind, place)


def task_fields() -> dict[str, Field[Any]]:
    """Every field of the task file, by its path."""
    from scheduler.schema.task import TASK as TABLE

    return dict(fields(TABLE))


def all_topics() -> list[str]:
    """Every topic but the commands."""
    return [*TEXTS, TASK, *(f"{TASK}.{path}" for path in task_fields())]


def text_of(topic: str) -> str | None:
    """The text of a topic; None when it is none."""
    if topic in TEXTS:
        return TEXTS[topic][1]()
    if topic == TASK:
        return "".join(f"{_field(path, field)}\n" for path, field in task_fields().items())
    if topic.startswith(f"{TASK}."):
        return _of_task(topic.removeprefix(f"{TASK}."))
    return None


def _of_task(path: str) -> str | None:
    """A field of the task by its path, its name alone, or another system's name for it."""
    from scheduler.schema.task import TASK as TABLE

    known = task_fields()
    ours = {place.rpartition(".")[2]: place for place in known}
    place = path if path in known else TABLE.hints.get(path) or ours.get(path, "")
    if place in known:
        below = [item for item in known if item.startswith(f"{place}.")]
        return "\n".join(_field(item, known[item]) for item in [place, *below])
    refused = TABLE.unsupported.get(path)
    for field in TABLE.fields:
        if isinstance(field.kind, Objects):
            refused = refused or field.kind.unsupported.get(path.rpartition(".")[2])
    return f"{path}: {refused.message}\n  fix   {refused.fix}\n" if refused else None


def _field(path: str, field: Field[Any]) -> str:
    lines = [f"{path}   {form(field.kind)}", f"  {field.doc}"]
    if field.aliases:
        lines.append(f"  also called: {', '.join(field.aliases)}")
    if field.example:
        lines.append(f"  for example: {field.name}: {field.example}")
    return "".join(f"{line}\n" for line in lines)


def form(kind: Any) -> str:
    """What a kind of value looks like, for people."""
    shape = kind.schema()
    if isinstance(kind, MapOf):
        return f"{kind.wanted}, at most {kind.most}"
    if "enum" in shape:
        return " | ".join(str(item) for item in shape["enum"])
    if "anyOf" in shape:
        return f"{form(kind.item)}, or a list of them"
    if shape.get("type") == "integer":
        return f"whole number, {shape['minimum']:,} to {shape['maximum']:,}"
    if shape.get("type") == "boolean":
        return "true | false"
    wanted = getattr(kind, "wanted", "")
    return str(wanted) if wanted else ("FLAVOR:N" if "examples" in shape else "a duration such as 90s, 10m, 12h or 7d")
