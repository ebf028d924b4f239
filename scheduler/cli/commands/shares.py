"""``dure gpus``, ``dure quota`` and ``dure usage``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scheduler.cli.arguments import ORG, PROJECT, live, resolved_flavor
from scheduler.cli.base import command, option, output_option
from scheduler.cli.session import Session

if TYPE_CHECKING:
    from scheduler.cli.tables import Sheet, View
    from scheduler.schema.bodies import UsageLine

PART_CELLS = 10


@command("gpus", examples=("dure gpus", "dure gpus -o json"), see_also=("quota", "why"))
@output_option()
def gpus(session: Session, output: str) -> None:
    """Show the GPUs of each cluster, and what is free."""
    from scheduler.cli.sheets import GPUS

    page = session.client.gpus()
    session.emit(page, GPUS, output, page.items)


@command(
    "quota",
    examples=("dure quota", "dure quota --org hanul-ai", "dure quota --flavor h100-80g -o wide"),
    see_also=("why", "gpus", "usage"),
)
@option("--org", type=ORG, metavar="ORG", default="", help="Tree nodes of this organisation.")
@option(
    "--flavor",
    metavar="FLAVOR",
    default="",
    shell_complete=live("flavors"),
    help="This flavor only: its name or a unique prefix of it.",
)
@output_option()
def quota(session: Session, org: str, flavor: str, output: str) -> None:
    """Show guarantees, limits and what is in use.

    The bar is guaranteed use of the guarantee that holds now; fair share is what the sharing tree would give now to
    those who wait or run, and to nobody more than it asks for.
    """
    from scheduler.cli.sheets import QUOTA

    page = session.client.quota(org=org)
    if org and not page.items:
        session.client.org(org)  # no such organisation is another answer than one without quota
    if flavor and page.items:
        name = resolved_flavor(flavor, (item.flavor for item in page.items))
        page = page.model_copy(update={"items": [item for item in page.items if item.flavor == name]})
    session.emit(page, QUOTA, output, page.items)


def with_parts(sheet: Sheet, rows: Sequence[UsageLine]) -> Sheet:
    """The sheet with a bar in each row: its part of all GPU-hours held."""
    from dataclasses import replace

    from scheduler.cli.tables import Column, bar

    whole = sum(row.held_milli_gpu_ms for row in rows)

    def part(row: UsageLine, view: View) -> str:
        percent = row.held_milli_gpu_ms * 100 // whole if whole else 0
        return f"{bar(row.held_milli_gpu_ms, whole, view.bars, PART_CELLS)} {percent:>3}%"

    return replace(sheet, columns=(*sheet.columns, Column("PART OF HELD", part, leaves=1)))


@command(
    "usage",
    examples=(
        "dure usage",
        "dure usage --since 7d --by day,flavor",
        "dure usage --org hanul-ai --since 2026-11-01 -o csv",
    ),
    see_also=("quota", "invoice list"),
)
@option("--org", type=ORG, metavar="ORG", default="", help="Usage of this organisation.")
@option("--project", type=PROJECT, metavar="[ORG/]PROJECT", default="", help="Usage of this project.")
@option("--since", metavar="WHEN", default="", help="From this instant: a date (Korean time), RFC 3339, or 7d ago.")
@option("--until", metavar="WHEN", default="", help="Up to this instant.")
@option("--by", metavar="GROUPS", default="", help="Any of project, user, flavor, tier, day, with commas.")
@output_option()
def usage(session: Session, org: str, project: str, since: str, until: str, by: str, output: str) -> None:
    """Show GPU-hours and cost by project, user and tier.

    Held counts from admission until the attempt is proven gone; billed from its start to its end or its notice. Cost
    is the tenant's part in the ledger, before VAT. With --by the groups come in the given order, with bars and their
    sum; days are those of the policy's time zone.
    """
    from scheduler.cli.sheets import USAGE
    from scheduler.cli.sheets_usage import grouped, groups, usage_sheet
    from scheduler.cli.when import instant, whose

    org, project = whose(org, project)
    now_ms = session.now_ms()
    page = session.client.usage(
        org=org,
        project=project,
        since=instant(since, "--since", now_ms),
        until=instant(until, "--until", now_ms),
        by=",".join(groups(by)),
    )
    if not by:
        session.emit(page, with_parts(USAGE, page.items), output, page.items)
    else:
        rows = grouped(page) if output in ("table", "wide") else page.items
        session.emit(page, usage_sheet(page), output, rows)
