"""``dure job ...`` and ``dure cancel``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from scheduler.cli import exits
from scheduler.cli.arguments import JOB as JOB_TYPE
from scheduler.cli.arrays import told
from scheduler.cli.base import EXITS_CHANGE, command, group, option, output_option
from scheduler.cli.commands.job_wait import wait
from scheduler.cli.session import Session
from scheduler.cli.streams import OutputError
from scheduler.cli.tables import ENDED
from scheduler.core.errors import DureError

if TYPE_CHECKING:
    from scheduler.schema.bodies import JobBody

JOBS_AT_ONCE_MAX = 100
SHOWN_MAX = 5
WRONG_STATE = "DURE-6002"
job = group(
    "job",
    "Look at one job, wait for it, hold it or release it, fetch its files.",
    examples=("dure job get llm-sft", "dure job events llm-sft", "dure job wait llm-sft", "dure job hold llm-sft"),
)
job.elsewhere = {"list": "dure queue"}
job.add_command(wait)


@command("get", parent=job, examples=("dure job get llm-sft", "dure job get 7f3kq2ab -o json"), see_also=("why",))
@click.argument("name", type=JOB_TYPE, metavar="JOB")
@output_option()
def get(session: Session, name: str, output: str) -> None:
    """Show a job with its newest attempt.

    JOB is an id, or the name of your newest job of that name.
    """
    from scheduler.cli.sheets import JOB, JOBS

    session.emit(session.client.job(name), JOBS if output == "wide" else JOB, output)


@command("events", parent=job, examples=("dure job events llm-sft", "dure job events llm-sft -o jsonl"))
@click.argument("name", type=JOB_TYPE, metavar="JOB")
@output_option()
def events(session: Session, name: str, output: str) -> None:
    """Show what has happened to a job, oldest first."""
    from scheduler.cli.sheets import EVENTS

    page = session.client.events(name)
    session.emit(page, EVENTS, output, page.items)


@command(
    "artifacts",
    parent=job,
    exit_codes=EXITS_CHANGE,
    examples=(
        "dure job artifacts llm-sft",
        "dure job artifacts llm-sft --get --to results",
        "dure job artifacts llm-sft --get '*.json'",
    ),
    see_also=("logs",),
)
@click.argument("name", type=JOB_TYPE, metavar="JOB")
@option("--attempt", type=click.IntRange(1), metavar="N", default=None, help="Only those of this attempt.")
@option(
    "--get", metavar="[PATTERN]", is_flag=False, flag_value="*", default=None, help="Fetch them, or those that fit."
)
@option(
    "--to", metavar="FOLDER", default=".", show_default=True, help="Folder to write them to; it is made if need be."
)
@output_option()
def artifacts(session: Session, name: str, attempt: int | None, get: str | None, to: str, output: str) -> None:
    """List or fetch the files that a job has handed over.

    What rank 0 writes to $DURE_ARTIFACTS is collected when its attempt ends. Without --attempt, --get fetches from the
    newest attempt that has any. Each file is checked by its SHA-256 before it gets its name; none that is there already
    with other contents is replaced.
    """
    from pathlib import Path

    from scheduler.cli.clean import clean
    from scheduler.cli.downloading import fetch
    from scheduler.cli.sheets import ARTIFACTS
    from scheduler.client.artifacts import list_artifacts

    found = list_artifacts(session.client, name, attempt or 0)
    if get is None:
        session.emit(found, ARTIFACTS, output, found.items)
        return
    fetched = fetch(session, name, found.items, get, to)
    if output != "table":
        session.emit(found.model_copy(update={"items": fetched}), ARTIFACTS, output, fetched)
        return
    for file in fetched:
        session.data(clean(str(Path(to) / file.path)))


@command("hold", parent=job, exit_codes=EXITS_CHANGE, examples=("dure job hold llm-sft",), see_also=("job release",))
@click.argument("name", type=JOB_TYPE, metavar="JOB")
@output_option("table", "json", "yaml", "id")
def hold(session: Session, name: str, output: str) -> None:
    """Keep a queued job from starting until it is released.

    Of an array everything that waits is held; what runs goes on.
    """
    from scheduler.client.errors import ApiProblem

    try:
        body = session.client.hold(name)
    except ApiProblem as problem:
        if problem.code != WRONG_STATE:
            raise
        found = session.client.job(name)
        problem.fix = f"dure job get {found.id}" if found.state in ENDED else f"to end it: dure cancel {found.id}"
        raise
    told(session, body, output)
    session.next(("Release", f"dure job release {body.id}"), ("Cancel", f"dure cancel {body.id}"))


@command("release", parent=job, exit_codes=EXITS_CHANGE, examples=("dure job release llm-sft",), see_also=("why",))
@click.argument("name", type=JOB_TYPE, metavar="JOB")
@output_option("table", "json", "yaml", "id")
def release(session: Session, name: str, output: str) -> None:
    """Queue a held job again, or end the hold of one that has failed.

    Of an array all members that are held are released.
    """
    from scheduler.cli.arrays import one_of

    body = session.client.release(name)
    told(session, body, output)
    session.next(("Why waiting", f"dure why {body.id}"), ("Follow", f"dure logs -f {one_of(body)}"))


@command(
    "cancel",
    exit_codes=EXITS_CHANGE,
    examples=("dure cancel llm-sft", "dure cancel 7f3kq2ab 9m2xk4cd --yes"),
    see_also=("queue", "job get"),
)
@click.argument("names", type=JOB_TYPE, metavar="JOB...", nargs=-1, required=True)
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option("table", "json", "jsonl", "yaml", "id")
def cancel(session: Session, names: tuple[str, ...], yes: bool, output: str) -> int:
    """End jobs.

    JOB may be an array, which ends with all its jobs, or one of them, such as ablate[3]. A job that waits ends at once;
    one that runs is given notice first, so that it can save its state. With more than one JOB you are asked, and
    without a terminal --yes is needed. Each is tried; the exit code is that of the first that failed.
    """
    if len(names) > JOBS_AT_ONCE_MAX:
        raise click.UsageError(f"{len(names)} jobs at once; at most {JOBS_AT_ONCE_MAX}")
    if len(names) == 1:
        body = session.client.cancel(names[0])
        told(session, body, output)
        session.next(("See", f"dure job get {body.id}"), ("Queue", "dure queue"))
        return exits.OK
    shown = ", ".join(names[:SHOWN_MAX]) + (f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else "")
    session.confirm(f"Cancel {len(names)} jobs ({shown})?", yes=yes, consent=True)
    ended, code = _cancel_each(session, names, output)
    if output in ("json", "yaml"):
        from scheduler.cli.sheets import JOB
        from scheduler.schema.bodies import JobBody, Listing

        session.emit(Listing[JobBody](kind="JobList", items=ended), JOB, output, ended)
    session.next(("Queue", "dure queue"))
    return code


def _cancel_each(session: Session, names: Sequence[str], output: str) -> tuple[list[JobBody], int]:
    """Try them all and say at once what became of each; returns the jobs, and the first failure's exit code or 0.

    Where the server cannot be reached or takes no login, trying the others would only repeat that. Raises OutputError
    at the end where what was done could not be printed.
    """
    from scheduler.cli.errors import show_error

    ended: list[JobBody] = []
    code, lost = exits.OK, None
    for number, name in enumerate(names, 1):
        try:
            body = session.client.cancel(name)
        except DureError as error:
            failed = exits.exit_code(error)
            code = code or failed
            session.warn(f"job {name} was not cancelled")
            show_error(error)
            if failed in (exits.UNREACHABLE, exits.LOGIN_NEEDED):
                if left := names[number:]:
                    session.warn(f"not tried: {', '.join(left)}")
                break
        else:
            ended.append(body)
            if output in ("json", "yaml"):
                session.made(f"job/{body.id} {body.state.lower()}")
                continue
            try:
                told(session, body, output)
            except OutputError as error:
                lost = error
    if lost:
        raise lost
    return ended, code
