"""``dure queue`` and ``dure why``."""

from __future__ import annotations

from dataclasses import replace

import click

from scheduler.cli.arguments import JOB, JOB_NAME, ORG, PROJECT, USER
from scheduler.cli.base import EXITS_API, command, option, output_option
from scheduler.cli.session import Session
from scheduler.cli.when import filters, whose

JOBS_MAX = 10_000
PAGE = 200
NUMBER_COLUMNS = 5
"""What stands before each reason of ``dure why``: its number, with space around it."""
STATES = ("Queued", "Held", "Active", "Succeeded", "Failed", "Cancelled")
STATE = click.Choice(STATES, case_sensitive=False)


@command(
    "queue",
    examples=(
        "dure queue",
        "dure queue --expand",
        "dure queue --all --project hanul-ai/nlp -o wide",
        "dure queue --state Queued -o jsonl",
    ),
    see_also=("why", "job get", "cancel"),
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
@output_option()
def queue(
    session: Session,
    everything: bool,
    expand: bool,
    org: str,
    project: str,
    state: str | None,
    user: str,
    name: str,
    limit: int,
    output: str,
) -> None:
    """List jobs that wait or run.

    Newest first: yours, and those of the projects and organisations that you administer. An array is one row; its ID
    stands for all its jobs, and NAME[3] for one of them, in every other command too.
    """
    from scheduler.cli.sheets import JOBS

    org, project = whose(org, project)
    wanted = filters(org=org, project=project, state=state or "", user=user, name=name)
    if not expand:
        wanted["fold"] = "true"
    if everything or state in STATES[3:]:
        wanted["all"] = "true"
    page = session.client.jobs({**wanted, "limit": min(limit, PAGE)})
    items = list(page.items)
    for _ in range(JOBS_MAX // PAGE):
        if not page.next or len(items) >= limit:
            break
        page = session.client.jobs({**wanted, "limit": min(limit - len(items), PAGE), "cursor": page.next})
        items += page.items
    sheet = replace(JOBS, empty="no such jobs that you may see") if "all" in wanted else JOBS
    session.emit(page.model_copy(update={"items": items}), sheet, output, items)
    if page.next and limit < JOBS_MAX:
        session.talk(f"the newest {len(items)} jobs; more: --limit {min(JOBS_MAX, limit * 5)}")


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
