"""``dure queue`` and ``dure why``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import exits
from scheduler.cli.arguments import JOB, JOB_NAME, ORG, PROJECT, USER
from scheduler.cli.base import EXITS_API, command, option, output_option
from scheduler.cli.session import Session
from scheduler.cli.when import filters, whose

if TYPE_CHECKING:
    from scheduler.client.http import Client

JOBS_MAX = 10_000
PAGE = 200
WATCH_SECONDS, WATCH_SECONDS_MAX = 2, 3_600
WATCH_SHAPES = ("table", "wide", "jsonl")
NUMBER_COLUMNS = 5
"""What stands before each reason of ``dure why``: its number, with space around it."""
STATES = ("Queued", "Held", "Active", "Succeeded", "Failed", "Cancelled")
STATE = click.Choice(STATES, case_sensitive=False)


@command(
    "queue",
    exit_codes=(*EXITS_API, exits.INTERRUPTED),
    examples=(
        "dure queue",
        "dure queue --expand",
        "dure queue --all --project hanul-ai/nlp -o wide",
        "dure queue --watch",
        "dure queue --watch 10 -o jsonl | jq .job.state",
    ),
    see_also=("why", "job get", "job wait", "cancel"),
)
@option("--all", "everything", is_flag=True, help="Jobs that have ended, too.")
@option("--expand", is_flag=True, help="Every job of an array in a row of its own.")
@option("--org", type=ORG, metavar="ORG", default="", help="Jobs of this organisation.")
@option("--project", type=PROJECT, metavar="[ORG/]PROJECT", default="", help="Jobs of this project.")
@option("--state", type=STATE, metavar="STATE", default=None, help=f"Jobs in this state: {', '.join(STATES)}.")
@option("--user", type=USER, metavar="USER", default="", help="Jobs of this user.")
@option("--name", type=JOB_NAME, metavar="NAME", default="", help="Jobs of this name.")
@option(
    "--limit",
    type=click.IntRange(1, JOBS_MAX),
    metavar="N",
    default=PAGE,
    show_default=True,
    help="At most so many jobs.",
)
@option(
    "--watch",
    "seconds",
    is_flag=False,
    flag_value=WATCH_SECONDS,
    type=click.IntRange(1, WATCH_SECONDS_MAX),
    metavar="[SECONDS]",
    default=None,
    help=f"Look again every so many seconds ({WATCH_SECONDS} without a number), until Ctrl-C.",
)
@option("--until-empty", is_flag=True, help="With --watch: end once nothing is listed any more.")
@output_option()
def queue(
    session: Session,
    everything: bool,
    limit: int,
    seconds: int | None,
    until_empty: bool,
    output: str,
    **filter_by: Any,
) -> int:
    """List jobs that wait or run.

    Newest first: yours, and those of the projects and organisations that you administer. An array is one row; its ID
    stands for all its jobs, and NAME[3] for one of them, in every other command too. With --watch a terminal shows the
    list in place, with marks at what has changed; elsewhere each change is a line, with -o jsonl an object.
    """
    if seconds is not None and output not in WATCH_SHAPES:
        raise click.UsageError(f"--watch prints {', '.join(WATCH_SHAPES)}, not {output}")
    if until_empty and seconds is None:
        raise click.UsageError("--until-empty goes with --watch")
    wanted = _wanted(everything=everything, **filter_by)
    if seconds is not None:
        from scheduler.cli.watching import watch

        client = session.client_that_tries(1)
        return watch(session, lambda: _listing(client, wanted, limit).items, output, seconds, until_empty=until_empty)
    _list(session, wanted, limit, output)
    return exits.OK


def _list(session: Session, wanted: dict[str, str | int], limit: int, output: str) -> None:
    """Print the list, and say where it goes on."""
    from scheduler.cli.sheets import JOBS

    page = _listing(session.client, wanted, limit)
    sheet = replace(JOBS, empty="no such jobs that you may see") if "all" in wanted else JOBS
    session.emit(page, sheet, output, page.items)
    if page.next and limit < JOBS_MAX:
        session.talk(f"the newest {len(page.items)} jobs; more: --limit {min(JOBS_MAX, limit * 5)}")


def _wanted(
    *, everything: bool, expand: bool, org: str, project: str, state: str | None, user: str, name: str
) -> dict[str, str | int]:
    """The filters of the list; raises Fatal where they contradict each other."""
    org, project = whose(org, project)
    wanted = filters(org=org, project=project, state=state or "", user=user, name=name)
    if not expand:
        wanted["fold"] = "true"
    return {**wanted, "all": "true"} if everything or state in STATES[3:] else wanted


def _listing(client: Client, wanted: dict[str, str | int], limit: int) -> Any:
    """At most ``limit`` jobs as one listing; its ``next`` says whether there are more."""
    page = client.jobs({**wanted, "limit": min(limit, PAGE)})
    items = list(page.items)
    for _ in range(JOBS_MAX // PAGE):
        if not page.next or len(items) >= limit:
            break
        page = client.jobs({**wanted, "limit": min(limit - len(items), PAGE), "cursor": page.next})
        items += page.items
    return page.model_copy(update={"items": items})


@command(
    "why",
    examples=("dure why llm-sft", "dure why 7f3kq2ab -o json"),
    exit_codes=EXITS_API,
    see_also=("queue", "quota", "gpus"),
)
@click.argument("job", type=JOB, metavar="JOB")
@output_option("table", "json", "yaml")
def why(session: Session, job: str, output: str) -> None:
    """Say why a job waits, and what would start it sooner.

    JOB is an id, or the name of your newest job of that name.
    """
    from scheduler.cli.clean import clean
    from scheduler.cli.render import render, stdout_page, stdout_view
    from scheduler.cli.sheets import BLOCKERS, WHY

    body = session.client.why(job)
    if output != "table":
        session.emit(body, WHY, output)
        return
    session.data(clean(body.summary))
    view, page = stdout_view(session.now_ms()), stdout_page(indent=NUMBER_COLUMNS)
    numbered = render(body, BLOCKERS, "table", view, body.blockers, page)
    number = 0
    for line in numbered.splitlines():
        number += not line.startswith(" ")  # a folded sentence goes on in lines that begin with a space
        session.data(f"  {'' if line.startswith(' ') else number:<3}{line}")
    if body.would_help:
        session.data("What would help:")
        for text in body.would_help:
            session.data(f"  {clean(text)}")
    if body.decided_at:
        ahead = f"{body.ahead_in_project} ahead in its project, {body.pending_in_pool} waiting in all"
        session.talk(f"as of cycle {body.cycle} under policy v{body.policy_version}; {ahead}")
