"""``dure org ...``, ``dure project ...`` and ``dure member ...``."""

from __future__ import annotations

import click

from scheduler.cli.arguments import ORG, live
from scheduler.cli.arguments import SCOPE as SCOPE_TYPE
from scheduler.cli.base import EXITS_CHANGE, command, group, option, output_option
from scheduler.cli.build import BAD_VALUE, request
from scheduler.cli.session import Session
from scheduler.core.errors import Fatal

ROLES = ("member", "project-admin", "org-admin", "auditor", "operator", "admin")
TAXES = ("taxable", "zero_rated", "exempt")
CHANGED = ("table", "json", "yaml", "id")

org = group(
    "org",
    "Register and list organisations.",
    examples=("dure org create hanul-ai --class startup", "dure org list", "dure org show hanul-ai"),
)
project = group(
    "project",
    "Create and list projects.",
    examples=("dure project create hanul-ai/nlp", "dure project list --org hanul-ai"),
)
member = group(
    "member",
    "Grant, take away and list roles.",
    examples=("dure member add USER --scope project:hanul-ai/nlp", "dure member list --scope org:hanul-ai"),
)


@command(
    "create",
    parent=org,
    exit_codes=EXITS_CHANGE,
    examples=('dure org create hanul-ai --class startup --title "한울 주식회사" --registration-number NUMBER',),
    see_also=("project create", "member add"),
)
@click.argument("name", metavar="NAME")
@option(
    "--class",
    "class_name",
    metavar="CLASS",
    required=True,
    shell_complete=live("classes"),
    help="A class of the policy, such as startup.",
)
@option("--title", metavar="TEXT", default="", help="The full name, as invoices show it.")
@option("--registration-number", metavar="NUMBER", default="", help="The business registration number.")
@option(
    "--tax-treatment",
    type=click.Choice(TAXES),
    metavar="KIND",
    default="taxable",
    help=f"{', '.join(TAXES)}; taxable without it.",
)
@output_option(*CHANGED)
def create_org(
    session: Session,
    name: str,
    class_name: str,
    title: str,
    registration_number: str,
    tax_treatment: str,
    output: str,
) -> None:
    """Register an organisation.

    Its class gives its share. The same request again changes nothing.
    """
    from scheduler.cli.sheets import ORGS
    from scheduler.schema.bodies import OrgRequest

    asked = request(
        OrgRequest,
        {"name": "NAME", "class_name": "--class"},
        name=name,
        class_name=class_name,
        title=title,
        registration_number=registration_number,
        tax_treatment=tax_treatment,
    )
    body = session.client.create_org(asked)
    session.told(body, ORGS, output, f"org/{body.name} {body.state}")
    session.next(
        ("Project", f"dure project create {body.name}/NAME"),
        ("Its admin", f"dure member add USER --role org-admin --scope org:{body.name}"),
    )


@command("list", parent=org, examples=("dure org list", "dure org list -o csv"))
@output_option()
def list_orgs(session: Session, output: str) -> None:
    """List organisations."""
    from scheduler.cli.sheets import ORGS

    page = session.all_pages(lambda cursor: session.client.orgs(cursor=cursor))
    session.emit(page, ORGS, output, page.items)


@command("show", parent=org, examples=("dure org show hanul-ai",))
@click.argument("name", type=ORG, metavar="NAME")
@output_option()
def show_org(session: Session, name: str, output: str) -> None:
    """Show an organisation."""
    from scheduler.cli.sheets import ORG, ORGS

    session.emit(session.client.org(name), ORGS if output == "wide" else ORG, output)


@command(
    "create",
    parent=project,
    exit_codes=EXITS_CHANGE,
    examples=("dure project create hanul-ai/nlp", "dure project create nlp --org hanul-ai"),
    see_also=("member add",),
)
@click.argument("name", metavar="[ORG/]NAME")
@option("--org", type=ORG, metavar="ORG", default="", help="The organisation, where NAME does not name it.")
@option("--title", metavar="TEXT", default="", help="A name for people.")
@output_option(*CHANGED)
def create_project(session: Session, name: str, org: str, title: str, output: str) -> None:
    """Create a project of an organisation; a repeat changes nothing."""
    from scheduler.cli.sheets import PROJECTS
    from scheduler.schema.bodies import ProjectRequest

    named, slash, last = name.rpartition("/")
    owner = named if slash else org or session.config.settings.org.text
    if not owner or (slash and org and org != named):
        raise Fatal(BAD_VALUE, "which organisation the project belongs to is not clear", "write ORG/NAME")
    fields = {"name": "NAME", "org": "ORG"}
    body = session.client.create_project(request(ProjectRequest, fields, org=owner, name=last, title=title))
    session.told(body, PROJECTS, output, f"project/{body.org}/{body.name} {body.state}")
    session.next(("Members", f"dure member add USER --scope project:{body.org}/{body.name}"))


@command("list", parent=project, examples=("dure project list", "dure project list --org hanul-ai -o id"))
@option("--org", type=ORG, metavar="ORG", default="", help="Projects of this organisation.")
@output_option()
def list_projects(session: Session, org: str, output: str) -> None:
    """List projects."""
    from scheduler.cli.sheets import PROJECTS

    page = session.all_pages(lambda cursor: session.client.projects(org, cursor=cursor))
    session.emit(page, PROJECTS, output, page.items)


ROLE = option(
    "--role",
    type=click.Choice(ROLES),
    metavar="ROLE",
    default="member",
    help=f"{', '.join(ROLES)}; member without it.",
)
SCOPE = option(
    "--scope",
    type=SCOPE_TYPE,
    metavar="SCOPE",
    required=True,
    help="all, org:NAME, project:ORG/NAME or cluster:NAME.",
    default=None,
)


@command(
    "add",
    parent=member,
    exit_codes=EXITS_CHANGE,
    examples=(
        "dure member add USER --scope project:hanul-ai/nlp",
        "dure member add USER --role org-admin --scope org:hanul-ai",
        "dure member add audit-office --role auditor --scope all",
    ),
    see_also=("token create",),
)
@click.argument("user", metavar="USER")
@ROLE
@SCOPE
@output_option(*CHANGED)
def add(session: Session, user: str, role: str, scope: str, output: str) -> None:
    """Grant a user a role; a repeat changes nothing."""
    from scheduler.cli.sheets import MEMBERS
    from scheduler.schema.bodies import MemberRequest

    asked = request(MemberRequest, {"user": "USER"}, user=user, role=role, scope=scope)
    body = session.client.add_member(asked)
    session.told(body, MEMBERS, output, f"member/{body.user} {body.role} in {body.scope}")
    session.next(("A token", f"dure token create --user {body.user}"))


@command(
    "remove",
    parent=member,
    exit_codes=EXITS_CHANGE,
    examples=("dure member remove USER --scope project:hanul-ai/nlp",),
)
@click.argument("user", metavar="USER")
@ROLE
@SCOPE
@output_option(*CHANGED)
def remove(session: Session, user: str, role: str, scope: str, output: str) -> None:
    """Take a role away, at once and for every token of the user."""
    from scheduler.cli.sheets import MEMBERS
    from scheduler.schema.bodies import MemberRequest

    asked = request(MemberRequest, {"user": "USER"}, user=user, role=role, scope=scope)
    body = session.client.remove_member(asked)
    session.told(body, MEMBERS, output, f"member/{body.user} no longer {body.role} in {body.scope}")
    session.next(("Members", f"dure member list --scope {body.scope}"))


@command("list", parent=member, examples=("dure member list --scope org:hanul-ai",))
@option(
    "--scope",
    type=SCOPE_TYPE,
    metavar="SCOPE",
    default="",
    help="Roles in this scope: all, org:NAME, project:ORG/NAME.",
)
@output_option()
def list_members(session: Session, scope: str, output: str) -> None:
    """List roles, by scope."""
    from scheduler.cli.sheets import MEMBERS

    page = session.all_pages(lambda cursor: session.client.members(scope, cursor=cursor))
    session.emit(page, MEMBERS, output, page.items)
