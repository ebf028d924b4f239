"""``dure logs``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from scheduler.cli import exits
from scheduler.cli.arguments import JOB
from scheduler.cli.base import EXITS_API, command, option
from scheduler.cli.session import Session
from scheduler.cli.streams import flush
from scheduler.cli.waiting import JOB_EXITS, stopped_looking, wait_timeout_option
from scheduler.core.errors import Fatal

if TYPE_CHECKING:
    from scheduler.schema.bodies import JobBody

NO_JOB = "DURE-3001"
BAD_VALUE = "DURE-1008"


@command(
    "logs",
    exit_codes=(*EXITS_API, *JOB_EXITS),
    examples=("dure logs llm-sft", "dure logs -f llm-sft", "dure logs llm-sft --rank 1 --attempt 2"),
    see_also=("why", "job events"),
)
@click.argument("job", type=JOB, metavar="JOB")
@option("-f", "--follow", is_flag=True, help="Go on until the job has ended; its end is the exit code.")
@option(
    "--rank", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Output of this rank of the gang."
)
@option(
    "--attempt", type=click.IntRange(1), metavar="N", default=None, help="Output of this attempt instead of the newest."
)
@wait_timeout_option()
def logs(session: Session, job: str, follow: bool, rank: int, attempt: int | None, wait_timeout: int | None) -> int:
    """Print a job's output.

    JOB is looked up once: a newer job of the same name changes nothing.

    With -f the output is followed through every attempt, and the exit code tells how the job ended: 0 succeeded, 100
    failed, 103 cancelled, 101 not finished within --wait-timeout, 102 no such job. Ctrl-C stops looking; the job goes
    on.
    """
    from scheduler.cli.errors import show_error
    from scheduler.cli.following import Follower
    from scheduler.cli.terminal import output_writer
    from scheduler.client.errors import ApiProblem

    client = session.client
    try:
        found = client.job(job)
    except ApiProblem as problem:
        if not follow or problem.code != NO_JOB:
            raise
        show_error(problem)
        return exits.JOB_NOT_FOUND
    _check_rank(found, rank)
    flush()
    follower = Follower(client, output_writer(sys.stdout), session, found.id, rank, attempt or 0)
    if not follow:
        follower.print_once()
        return exits.OK
    try:
        state = follower.follow(wait_timeout)
    except KeyboardInterrupt:
        return stopped_looking(session, found.id, ("Follow again", f"dure logs -f {found.id}"))
    session.talk(f"job {job}: {state}")
    session.next(("See", f"dure job get {found.id}"), ("Events", f"dure job events {found.id}"))
    return exits.job_end(state)


def _check_rank(job: JobBody, rank: int) -> None:
    """A rank that the gang does not have would look like one that prints nothing."""
    if rank >= job.nodes:
        ranks = "1 rank, which is 0" if job.nodes == 1 else f"{job.nodes} ranks, 0 to {job.nodes - 1}"
        raise Fatal(BAD_VALUE, f"--rank {rank}: job {job.id} has {ranks}", f"dure logs {job.id} --rank {job.nodes - 1}")
