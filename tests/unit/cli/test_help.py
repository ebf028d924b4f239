"""Every command has a complete help page, the pages are committed, and the reference page is made from them."""

from __future__ import annotations

import json
import re

import click
import pytest

from scheduler.cli import exits
from scheduler.cli.base import ENVIRONMENT, GLOBAL_NAMES, LazyGroup, Option, Pages
from scheduler.cli.main import COMMANDS, cli
from scheduler.cli.reference import help_page, reference, walk
from tests.support.golden import assert_golden
from tests.support.source import ROOT
from tests.unit.cli.conftest import Dure
from tests.unit.cli.running import golden

ALL = {" ".join(path): (path, command) for path, command in walk(cli)}
LEAVES = {name: item for name, item in ALL.items() if not isinstance(item[1], click.Group)}
WANTED = """
init check submit queue why logs cancel quota usage gpus login logout whoami doctor explain version serve up completion
help skill job:wait,get,events,artifacts,hold,release template:list,show
token:create,list,revoke context:list,use,add,rm config:show policy:lint,diff,apply,history,rollback,show
org:create,list,show project:create,list member:add,remove,list period:list,close invoice:list,get,verify,export
credit:propose,approve,list,get,verify fairness:report
"""


def test_the_commands_are_those_that_were_promised() -> None:
    wanted = {"dure"}
    for word in WANTED.split():
        noun, _, verbs = word.partition(":")
        wanted |= {f"dure {noun}", *(f"dure {noun} {verb}" for verb in verbs.split(",") if verb)}
    assert set(ALL) == wanted


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_help_page_is_the_committed_one(name: str) -> None:
    path, command = ALL[name]
    assert_golden(golden(f"help/{'-'.join(path)}.txt"), help_page(command, path))


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_page_fits_a_terminal_and_has_what_a_page_needs(name: str) -> None:
    path, command = ALL[name]
    page = help_page(command, path)
    assert max(len(line) for line in page.splitlines()) <= 100
    assert isinstance(command, Pages)
    assert command.help
    assert command.help.splitlines()[0].endswith(".")
    assert command.examples
    assert all(example.startswith(("dure ", "DURE_TOKEN=")) for example in command.examples)


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_option_says_what_it_does_and_every_exit_code_means_something(name: str) -> None:
    _, command = LEAVES[name]
    assert isinstance(command, Pages)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert all(isinstance(option, Option) and option.help and option.help.endswith(".") for option in options)
    assert {option.name for option in options} >= set(GLOBAL_NAMES)
    assert set(command.exit_codes) <= set(exits.MEANING)
    assert {0, 1, 2} <= set(command.exit_codes)
    assert list(command.exit_codes) == sorted(command.exit_codes)


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_see_also_and_examples_name_commands_that_exist(name: str) -> None:
    _, command = LEAVES[name]
    assert isinstance(command, Pages)
    assert [other for other in command.see_also if f"dure {other}" not in ALL] == []


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_page_names_the_variables_that_the_command_reads(name: str) -> None:
    path, command = LEAVES[name]
    assert isinstance(command, Pages)
    page = help_page(command, path)
    section = page[page.index("\nEnvironment:\n") : page.index("\nExit codes:\n")]
    assert ("DURE_SERVER" in section) == (exits.UNREACHABLE in command.exit_codes)
    assert "DURE_CONFIG_DIR" in section
    assert set(command.environment) <= set(re.findall(r"[A-Z_]{3,}", section))


def test_same_option_same_meaning() -> None:
    """One name has one help text everywhere, but where it names a different thing on purpose."""
    differs = {"--org", "--project", "--name", "--user", "-o", "--title", "--scope", "--data", "--reason"}
    meanings: dict[str, set[str]] = {}
    for _, command in LEAVES.values():
        for option in command.params:
            if isinstance(option, click.Option) and option.opts[0] not in differs:
                meanings.setdefault(option.opts[0], set()).add(option.help or "")
    several = {name: texts for name, texts in meanings.items() if len(texts) > 1}
    assert set(several) <= {
        "--attempt",
        "--file",
        "--gpus",
        "--policy",
        "--context",
        "--idempotency-key",
        "--period",
        "--class",
    }


def test_summaries_of_lazy_commands_are_their_own() -> None:
    assert isinstance(cli, LazyGroup)
    context = click.Context(cli, info_name="dure", **cli.context_settings)
    for section in COMMANDS.values():
        for name, entry in section.items():
            command = cli.get_command(context, name)
            assert command is not None
            assert command.help
            assert command.help.splitlines()[0] == entry.summary, name


def test_the_reference_page_is_up_to_date() -> None:
    assert_golden(ROOT / "docs" / "reference" / "cli.md", reference(cli))


def test_every_command_is_in_the_reference_page() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in ALL if f"\n## {name}\n" not in page] == []


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["job", "--help"], ["job", "get", "-h"], ["submit", "--help"]])
def test_help_goes_to_standard_output(dure: Dure, args: list[str]) -> None:
    result = dure(*args).succeeds()
    assert result.out.startswith("Usage: dure ")
    assert result.err == ""


@pytest.mark.parametrize("args", [[], ["job"], ["token"]])
def test_nothing_to_do_shows_the_help_as_a_mistake(dure: Dure, args: list[str]) -> None:
    result = dure(*args).fails(2, "Usage: dure ")
    assert result.out == ""


def test_the_commands_as_json(dure: Dure) -> None:
    described = json.loads(dure("--describe").succeeds().out)
    assert {item["command"] for item in described["items"]} == set(ALL)
    assert set(described["exit_codes"]) == {str(code) for code in exits.MEANING}
    assert set(described["environment"]) == set(ENVIRONMENT)
    submit = next(item for item in described["items"] if item["command"] == "dure submit")
    assert submit["exit_codes"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 101, 102, 103, 130]
    assert any(parameter["names"] == ["--gpus"] for parameter in submit["parameters"])


def test_version(dure: Dure) -> None:
    assert dure("version").succeeds().out == dure("--version").succeeds().out
    assert set(dure("version", "-o", "json").json) == {"apiVersion", "kind", "version", "python", "platform"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts(dure: Dure, shell: str) -> None:
    result = dure("completion", shell).succeeds()
    assert "_DURE_COMPLETE" in result.out


def test_completion_offers_commands_and_options(dure: Dure) -> None:
    def offered(words: str, number: int) -> list[str]:
        env = {"_DURE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        return [line.partition(",")[2] for line in dure(env=env).out.splitlines()]

    assert offered("dure su", 1) == ["submit"]
    assert offered("dure job ", 2) == ["wait", "get", "events", "artifacts", "hold", "release"]
    assert "--state" in offered("dure queue --s", 2)
    assert offered("dure queue --state Qu", 3) == ["queued"]
