"""``dure``: the table of commands. Nothing here is imported that ``dure --help`` does not need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from scheduler.cli.base import CONTEXT_SETTINGS, Lazy, LazyGroup, global_options, option, take_flags

EXAMPLES = ("dure submit train.yaml", "dure why JOB", "dure logs -f JOB")
COMMANDS = {
    "Jobs": {
        "init": Lazy("scheduler.cli.commands.init:init", "Begin a job: task file, program, .dureignore."),
        "check": Lazy("scheduler.cli.commands.check:check", "Check task files without a server."),
        "submit": Lazy("scheduler.cli.commands.submit:submit", "Queue a training job from a task file or a command."),
        "queue": Lazy("scheduler.cli.commands.queue:queue", "List jobs that wait or run."),
        "why": Lazy("scheduler.cli.commands.queue:why", "Say why a job waits, and what would start it sooner."),
        "logs": Lazy("scheduler.cli.commands.logs:logs", "Print a job's output."),
        "cancel": Lazy("scheduler.cli.commands.job:cancel", "End jobs."),
        "job": Lazy(
            "scheduler.cli.commands.job:job", "Look at one job, wait for it, hold it or release it, fetch its files."
        ),
    },
    "Shares": {
        "gpus": Lazy("scheduler.cli.commands.shares:gpus", "Show the GPUs of each cluster, and what is free."),
        "quota": Lazy("scheduler.cli.commands.shares:quota", "Show guarantees, limits and what is in use."),
        "fairness": Lazy("scheduler.cli.commands.fairness:fairness", "Report who got what they were entitled to."),
        "usage": Lazy("scheduler.cli.commands.shares:usage", "Show GPU-hours and cost by project, user and tier."),
    },
    "Identity and settings": {
        "login": Lazy("scheduler.cli.commands.login:login", "Store a token for a server."),
        "logout": Lazy("scheduler.cli.commands.login:logout", "Forget a server's token."),
        "whoami": Lazy("scheduler.cli.commands.login:whoami", "Show who you are and which roles you have."),
        "token": Lazy("scheduler.cli.commands.token:token", "Create, list and revoke tokens."),
        "context": Lazy("scheduler.cli.commands.context:context", "Choose server, organisation and project."),
        "config": Lazy("scheduler.cli.commands.context:config", "Show the settings and where they come from."),
    },
    "Administration": {
        "policy": Lazy("scheduler.cli.commands.policy:policy", "Check, apply and show the fair-share policy."),
        "org": Lazy("scheduler.cli.commands.registry:org", "Register and list organisations."),
        "project": Lazy("scheduler.cli.commands.registry:project", "Create and list projects."),
        "member": Lazy("scheduler.cli.commands.registry:member", "Grant, take away and list roles."),
    },
    "Money": {
        "period": Lazy("scheduler.cli.commands.money:period", "List and close billing periods."),
        "invoice": Lazy("scheduler.cli.commands.invoice:invoice", "List, read, verify and export usage invoices."),
        "credit": Lazy("scheduler.cli.commands.credit:credit", "Propose, approve, read and verify credit notes."),
    },
    "Running Dure": {
        "up": Lazy("scheduler.cli.commands.serve:up", "Run everything on this machine, with logical GPUs."),
        "serve": Lazy("scheduler.cli.commands.serve:serve", "Run the control plane: API, allocator and settler."),
    },
    "Help": {
        "doctor": Lazy("scheduler.cli.commands.doctor:doctor", "Check installation, settings, server and login."),
        "help": Lazy("scheduler.cli.commands.help:help_", "Explain a command, a field of the task file, or a topic."),
        "explain": Lazy("scheduler.cli.commands.explain:explain", "Explain an error code; without one, list them all."),
        "template": Lazy("scheduler.cli.commands.init:template", "List and show the templates of dure init."),
        "skill": Lazy("scheduler.cli.commands.help:skill", "Print a guide for programs and agents that use dure."),
        "completion": Lazy("scheduler.cli.commands.explain:completion", "Print a completion script for your shell."),
        "version": Lazy("scheduler.cli.commands.explain:version", "Print the version."),
    },
}


class Root(LazyGroup):
    """``dure``: runs a command and always ends with an exit code, never with a traceback."""

    def main(  # type: ignore[override]  # one signature instead of click's overloads; it never returns
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **_: Any
    ) -> None:
        """Run and exit; click's own handling of errors is replaced by scheduler.cli.shell."""
        from scheduler.cli.shell import run

        sys.exit(run(self, sys.argv[1:] if args is None else list(args), prog_name or "dure"))


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from scheduler.cli.commands.explain import own_version

        click.echo(f"dure {own_version()}")
        ctx.exit()


def _describe(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from scheduler.cli.reference import describe

        click.echo(describe(cli))
        ctx.exit()


@click.command("dure", cls=Root, lazy=COMMANDS, context_settings=CONTEXT_SETTINGS, no_args_is_help=True)
@option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version.")
@option(
    "--describe",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_describe,
    help="Print the commands as JSON.",
)
@global_options
@click.pass_context
def cli(ctx: click.Context, /, **parameters: Any) -> None:
    """Share GPUs fairly: submit training jobs, see why they wait, and check what they cost."""
    ctx.obj = take_flags(parameters)


cli.examples = EXAMPLES
