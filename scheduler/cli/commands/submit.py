"""``dure submit``."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.base import EXITS_CHANGE, OUTPUT, Command, command, option, output_option
from scheduler.cli.session import Session
from scheduler.core.errors import DureError

if TYPE_CHECKING:
    from scheduler.cli.submitting import Draft
    from scheduler.client.package import Package
    from scheduler.schema.bodies import PlanBody, TaskBody

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
    exit_codes=EXITS_CHANGE,
    usages=("[OPTIONS] FILE", "[OPTIONS] -- COMMAND..."),
    examples=(
        "dure submit train.yaml",
        "dure submit train.yaml --nodes 2 --time 6h --tier borrow",
        "dure submit --gpus h100:1 --workdir . -- python train.py --epochs 3",
        "dure submit ablate.yaml --array 1-20%4",
    ),
    see_also=("why", "logs", "queue", "cancel"),
)
@click.argument("file", metavar="FILE", required=False)
@option("--gpus", metavar="FLAVOR:N", group=RESOURCES, help="GPUs of each node, such as h100:4.")
@option("--nodes", metavar="N", group=RESOURCES, help="Nodes of the gang; all start together or none does.")
@option("--time", metavar="DURATION", group=RESOURCES, help="Time limit of one attempt, such as 12h.")
@option("--tier", metavar="TIER[,TIER]", group=SCHEDULING, help="guaranteed, borrow, scavenge: in this order.")
@option("--retries", metavar="N", group=SCHEDULING, help="How often a failed job is run again.")
@option("--array", metavar="INDICES", group=SCHEDULING, help="A job for each index: 1-20, 1,3,5-9, 1-20%4 (4 at once).")
@option(
    "--hold-on-failure",
    metavar="DURATION",
    group=SCHEDULING,
    help="Keep a failed attempt's GPUs so long, at your cost, to look at it.",
)
@option("--hold", is_flag=True, default=None, group=SCHEDULING, help="Accept it, but start it only when released.")
@option("--project", metavar="[ORG/]PROJECT", group=TASK, help="The project it belongs to.")
@option("--name", metavar="NAME", group=TASK, help="The job's name.")
@option("--env", metavar="NAME[=VALUE]", multiple=True, group=TASK, help="A variable; without VALUE, yours.")
@option("--workdir", metavar="FOLDER", group=TASK, help="Folder that travels with the job.")
@option("--entrypoint", metavar="KIND", group=TASK, help="script: on every rank; ray: once, as the Ray driver.")
@option("--dry-run", is_flag=True, group=OUTPUT, help="Check it and show the plan; submit nothing.")
@option("--idempotency-key", metavar="KEY", default="", group=OUTPUT, help="The same key never makes a second job.")
@option("-y", "--yes", is_flag=True, group=OUTPUT, help="Do not ask.")
@output_option("table", "json", "yaml", "id", "name")
def submit(
    session: Session, file: str | None, dry_run: bool, idempotency_key: str, yes: bool, output: str, **given: Any
) -> None:
    """Queue a training job from a task file or a command.

    Options replace what the file says. FILE may be - for standard input. The folder named by workdir travels with the
    job, without what .gitignore and .dureignore leave out, tools' folders, .env files and keys. The plan that is shown
    first names the price of each tier. --dry-run asks the server too, where you are logged in.
    """
    from scheduler.cli.arrays import one_of, told_text
    from scheduler.cli.sheets import JOB, TASK_BODY
    from scheduler.cli.submitting import Draft

    after = click.get_current_context().meta.get(AFTER_DASHES)
    if (file is None) == (after is None):
        raise click.UsageError("give a task FILE, or -- and a command" + ("" if file is None else ", not both"))
    if after == []:
        raise click.UsageError("no command stands after --")
    if len(idempotency_key) > KEY_LENGTH_MAX or not idempotency_key.isprintable():
        raise click.UsageError(f"--idempotency-key takes 1 to {KEY_LENGTH_MAX} printable characters")
    draft = Draft(session, file, after, given)
    package = draft.package()
    if dry_run:
        plan, project = draft.checked_plan(package)
        draft.show_plan(package, project, plan)
        if output != "table":
            session.emit(draft.body(package), TASK_BODY, output)
        session.talk("nothing was submitted (--dry-run)")
        return
    body = draft.body(package)
    draft.show_plan(package, body.project, _plan(draft, body, idempotency_key))
    session.confirm("Submit?", yes=yes)
    _send(session, package)
    key = idempotency_key or uuid.uuid4().hex
    job, new = draft.submit(body, key)
    if not new:
        session.talk("this key has been used for this task: no second job was made")
    session.told(job, JOB, output, told_text(job))
    session.next(
        ("Follow", f"dure logs -f {one_of(job)}"),
        ("Why waiting", f"dure why {job.id}"),
        ("Cancel", f"dure cancel {job.id}"),
    )


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
    session.client.put_package(package.sha256, package.content)
