"""``dure init`` and ``dure template ...``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from scheduler.cli.arguments import live, text_of
from scheduler.cli.base import EXITS_ALWAYS, command, group, option, output_option
from scheduler.cli.clean import shortened
from scheduler.cli.session import Session
from scheduler.cli.templating import NAMES, TASK_FILE, name_for, offered, texts, write_all
from scheduler.core.errors import Fatal

GPUS = "h100:1"
BAD_VALUE = "DURE-1008"

template = group(
    "template",
    "List and show the templates of dure init.",
    examples=("dure template list", "dure template show torchrun"),
)


@command(
    "init",
    exit_codes=EXITS_ALWAYS,
    examples=("dure init", "dure init --template torchrun my-training", "dure init --gpus a100:2 sweep"),
    see_also=("template list", "check", "submit"),
)
@click.argument("folder", metavar="[FOLDER]", default=".", shell_complete=click.Path(file_okay=False).shell_complete)
@option(
    "--template",
    "name",
    type=click.Choice(NAMES),
    metavar="NAME",
    default="script",
    help=f"{', '.join(NAMES)}; script without it.",
)
@option(
    "--gpus",
    metavar="FLAVOR:N",
    default=GPUS,
    show_default=True,
    shell_complete=live("gpus"),
    help="GPUs of each node.",
)
@option(
    "--project",
    metavar="[ORG/]PROJECT",
    default="",
    shell_complete=live("projects"),
    help="The project it belongs to.",
)
@option("--force", is_flag=True, help="Replace files that are there.")
def init(session: Session, folder: str, name: str, gpus: str, project: str, force: bool) -> None:
    """Begin a job: task file, program, .dureignore.

    The files are written into FOLDER, the present one without it: a task file with comments and a small program that
    runs. Files that are there stay as they are: nothing is
    written then, and they are named. The project is the context's, where there is one.
    """
    place = Path(folder).expanduser()
    known = session.config.project_path(project)
    _require_sound(gpus, known, project)
    files = texts(name, name=name_for(place), project=known, gpus=gpus)
    for path in write_all(place, files, force=force):
        session.data(str(path))
    task = shlex.quote(str(place / TASK_FILE))
    session.next(("Check it", f"dure check {task}"), ("Plan it", f"dure submit {task} --dry-run"))


def _require_sound(gpus: str, project: str, given: str) -> None:
    """Raise Fault or Fatal for values that no task file takes."""
    from scheduler.cli.errors import Fault
    from scheduler.schema.task import Override, Task, task_from_command

    if given and not project:
        raise Fatal(BAD_VALUE, f"--project {shortened(given)} names no organisation", "write ORG/PROJECT")
    values = [Override("resources.gpus", text_of(gpus, "--gpus"), "--gpus")]
    if project:
        values.append(Override("project", text_of(project, "--project"), "--project"))
    read = task_from_command(["true"], values)
    if not isinstance(read, Task):
        raise Fault(read)


@command("list", parent=template, exit_codes=EXITS_ALWAYS, examples=("dure template list",), see_also=("init",))
@output_option()
def list_(session: Session, output: str) -> None:
    """List the templates."""
    from scheduler.cli.sheets_local import TEMPLATES
    from scheduler.cli.tables import Row

    rows = [Row({"name": item.name, "summary": item.summary}) for item in offered()]
    session.emit_rows("TemplateList", rows, TEMPLATES, output)


@command(
    "show",
    parent=template,
    exit_codes=EXITS_ALWAYS,
    examples=("dure template show torchrun", "dure template show script --file train.py"),
    see_also=("init",),
)
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
@option(
    "--file",
    "file",
    type=click.Choice((TASK_FILE, "train.py", ".dureignore")),
    metavar="FILE",
    default=TASK_FILE,
    show_default=True,
    help="task.yaml, train.py or .dureignore.",
)
def show(session: Session, name: str, file: str) -> None:
    """Print a file of a template, as dure init would write it."""
    found = texts(name, name="train", project=session.config.project_path(), gpus=GPUS)
    session.data(found[file].rstrip("\n"))
