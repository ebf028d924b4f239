"""``dure submit``."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import exits
from scheduler.cli.arguments import live
from scheduler.cli.arrays import told
from scheduler.cli.base import EXITS_CHANGE, OUTPUT, Command, command, option, output_option
from scheduler.cli.session import Session
from scheduler.cli.streams import flush
from scheduler.cli.waiting import JOB_EXITS, stopped_looking, told_end, wait_for_end, wait_timeout_option
from scheduler.core.errors import DureError

if TYPE_CHECKING:
    from scheduler.cli.submitting import Draft
    from scheduler.client.package import Package
    from scheduler.schema.bodies import JobBody, PlanBody, TaskBody

RESOURCES = "Resources"
SCHEDULING = "Scheduling"
TASK = "Task"
AFTER_DASHES = "dure.command"
KEY_LENGTH_MAX = 128


class Submit(Command):
    """Keeps what stands after ``--`` as it is: it is the job's command, not ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before ``--``."""
        if "--" in args:
            place = args.index("--")
            ctx.meta[AFTER_DASHES] = args[place + 1 :]
            args = args[:place]
        return super().parse_args(ctx, args)


@command(
    "submit",
    cls=Submit,
    exit_codes=(*EXITS_CHANGE, *JOB_EXITS),
    usages=("[OPTIONS] FILE", "[OPTIONS] -- COMMAND..."),
    examples=(
        "dure submit train.yaml",
        "dure submit train.yaml --nodes 2 --time 6h --tier borrow",
        "dure submit --gpus h100:1 --workdir . -- python train.py --epochs 3",
        "dure submit ablate.yaml --array 1-20%4",
        "dure submit train.yaml --wait && ./evaluate.sh",
    ),
    see_also=("check", "why", "logs", "job wait", "cancel"),
)
@click.argument("file", metavar="FILE", required=False, shell_complete=click.Path().shell_complete)
@option(
    "--gpus",
    metavar="FLAVOR:N",
    group=RESOURCES,
    shell_complete=live("gpus"),
    help="GPUs of each node, such as h100:4.",
)
@option("--nodes", metavar="N", group=RESOURCES, help="Nodes of the gang; all start together or none does.")
@option("--time", metavar="DURATION", group=RESOURCES, help="Time limit of one attempt, such as 12h.")
@option(
    "--tier",
    metavar="TIER[,TIER]",
    group=SCHEDULING,
    shell_complete=live("tiers"),
    help="guaranteed, borrow, scavenge: in this order.",
)
@option("--retries", metavar="N", group=SCHEDULING, help="How often a failed job is run again.")
@option("--array", metavar="INDICES", group=SCHEDULING, help="A job for each index: 1-20, 1,3,5-9, 1-20%4 (4 at once).")
@option(
    "--hold-on-failure",
    metavar="DURATION",
    group=SCHEDULING,
    help="Keep a failed attempt's GPUs so long, at your cost, to look at it.",
)
@option("--hold", is_flag=True, default=None, group=SCHEDULING, help="Accept it, but start it only when released.")
@option(
    "--project",
    metavar="[ORG/]PROJECT",
    group=TASK,
    shell_complete=live("projects"),
    help="The project it belongs to.",
)
@option("--name", metavar="NAME", group=TASK, help="The job's name.")
@option("--env", metavar="NAME[=VALUE]", multiple=True, group=TASK, help="A variable; without VALUE, yours.")
@option(
    "--workdir",
    metavar="FOLDER",
    group=TASK,
    shell_complete=click.Path(file_okay=False).shell_complete,
    help="Folder that travels with the job.",
)
@option("--entrypoint", metavar="KIND", group=TASK, help="script: on every rank; ray: once, as the Ray driver.")
@option("--dry-run", is_flag=True, group=OUTPUT, help="Check it and show the plan; submit nothing.")
@option("--idempotency-key", metavar="KEY", default="", group=OUTPUT, help="The same key never makes a second job.")
@option("-y", "--yes", is_flag=True, group=OUTPUT, help="Do not ask.")
@option("--wait", is_flag=True, group=OUTPUT, help="Wait until it is over.")
@wait_timeout_option(group=OUTPUT)
@output_option("table", "json", "yaml", "id", "name")
def submit(
    session: Session,
    file: str | None,
    dry_run: bool,
    idempotency_key: str,
    yes: bool,
    wait: bool,
    wait_timeout: int | None,
    output: str,
    **given: Any,
) -> int:
    """Queue a training job from a task file or a command.

    Options replace what the file says. FILE may be - for standard input. The folder named by workdir travels with the
    job, without what .gitignore and .dureignore leave out, tools' folders, .env files and keys. The plan that is shown
    first names the price of each tier. --dry-run asks the server too, where you are logged in. With --wait or
    --wait-timeout the job's end is the exit code, as for dure job wait.
    """
    from scheduler.cli.arrays import one_of
    from scheduler.cli.sheets import TASK_BODY
    from scheduler.cli.submitting import Draft

    after = click.get_current_context().meta.get(AFTER_DASHES)
    _require_usage(file, after, idempotency_key)
    draft = Draft(session, file, after, given)
    package = draft.package()
    if dry_run:
        plan, project = draft.checked_plan(package)
        draft.show_plan(package, project, plan)
        if output != "table":
            session.emit(draft.body(package), TASK_BODY, output)
        session.talk("nothing was submitted (--dry-run)")
        return exits.OK
    body = draft.body(package)
    draft.show_plan(package, body.project, _plan(draft, body, idempotency_key))
    session.confirm("Submit?", yes=yes)
    _send(session, package)
    job, new = draft.submit(body, idempotency_key or uuid.uuid4().hex)
    if not new:
        session.talk("this key has been used for this task: no second job was made")
    if wait or wait_timeout is not None:
        return _wait(session, job, wait_timeout, output)
    told(session, job, output)
    session.next(
        ("Follow", f"dure logs -f {one_of(job)}"),
        ("Why waiting", f"dure why {job.id}"),
        ("Cancel", f"dure cancel {job.id}"),
    )
    return exits.OK


def _require_usage(file: str | None, after: list[str] | None, key: str) -> None:
    """Raise UsageError for a call that names no task, or two, or a key that no request can carry."""
    if (file is None) == (after is None):
        raise click.UsageError("give a task FILE, or -- and a command" + ("" if file is None else ", not both"))
    if after == []:
        raise click.UsageError("no command stands after --")
    if len(key) > KEY_LENGTH_MAX or not key.isprintable():
        raise click.UsageError(f"--idempotency-key takes 1 to {KEY_LENGTH_MAX} printable characters")


def _wait(session: Session, job: JobBody, seconds: int | None, output: str) -> int:
    """Wait for the end. The id is told at once, and a body once it says how the job ended."""
    whole = output in ("json", "yaml")
    if whole:
        session.made(f"job/{job.id} {job.state.lower()}")
    else:
        told(session, job, output)
        flush()
    try:
        ended = wait_for_end(session, job.id, seconds)
    except KeyboardInterrupt:
        return stopped_looking(session, job.id, ("Wait again", f"dure job wait {job.id}"))
    if whole:
        told(session, ended, output)
    return told_end(session, ended)


def _plan(draft: Draft, body: TaskBody, key: str) -> PlanBody | None:
    """The server's plan. A key that was used gives its job again, whatever became of the policy: there only
    submitting can tell whether it is refused."""
    try:
        return draft.plan(body)
    except DureError:
        if not key:
            raise
        return None


def _send(session: Session, package: Package | None) -> None:
    """Send the package unless the server has it."""
    if package is None or session.client.has_package(package.sha256):
        return
    with session.progress("sending the work directory") as moved:
        session.client.put_package(package.sha256, package.content, moved)
