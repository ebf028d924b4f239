"""``dure job wait``."""

from __future__ import annotations

import click

from scheduler.cli import exits
from scheduler.cli.arguments import JOB
from scheduler.cli.base import EXITS_API, command, output_option
from scheduler.cli.session import Session
from scheduler.cli.waiting import JOB_EXITS, stopped_looking, told_end, wait_for_end, wait_timeout_option

NO_JOB = "DURE-3001"


@command(
    "wait",
    exit_codes=(*EXITS_API, *JOB_EXITS),
    examples=("dure job wait llm-sft", "dure job wait llm-sft --wait-timeout 2h && ./evaluate.sh"),
    see_also=("logs", "job get", "why"),
)
@click.argument("name", type=JOB, metavar="JOB")
@wait_timeout_option()
@output_option("table", "json", "yaml", "id")
def wait(session: Session, name: str, wait_timeout: int | None, output: str) -> int:
    """Wait until a job has ended; its end is the exit code.

    0 succeeded, 100 failed, 103 cancelled, 101 not ended within --wait-timeout, 102 no such job. JOB is looked up
    once. Ctrl-C stops waiting; the job goes on.
    """
    from scheduler.cli.errors import show_error
    from scheduler.cli.sheets import JOB as SHEET
    from scheduler.client.errors import ApiProblem

    try:
        found = session.client.job(name)
    except ApiProblem as problem:
        if problem.code != NO_JOB:
            raise
        show_error(problem)
        return exits.JOB_NOT_FOUND
    try:
        body = wait_for_end(session, found.id, wait_timeout)
    except KeyboardInterrupt:
        return stopped_looking(session, found.id, ("Wait again", f"dure job wait {found.id}"))
    session.told(body, SHEET, output, f"job/{body.id} {body.state.lower()}")
    return told_end(session, body)
