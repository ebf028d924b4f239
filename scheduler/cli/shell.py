"""Around every command: errors become one sentence and an exit code; no traceback reaches the user."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import click

from scheduler.cli import exits
from scheduler.cli.streams import DONE, OutputError, flush, give_up, output_lost, prepare_streams, tell, writing

if TYPE_CHECKING:  # loaded only when there is an error to show
    from scheduler.core.errors import DureError

USAGE = "DURE-1001"
NO_COMMAND = "DURE-1002"
NO_OPTION = "DURE-1003"
INTERNAL = "DURE-9001"
WORD_MAX = 200
LONG_WORD = re.compile(rf"\S{{{WORD_MAX + 1},}}")
COMPLETE_VARIABLE = "_DURE_COMPLETE"


def run(root: click.Group, args: list[str], name: str) -> int:
    """Run the command line and return its exit code; standard output is flushed."""
    prepare_streams()
    notes: dict[str, object] = {}
    try:
        code = _guarded(root, args, name, notes)
        flush()
    except BrokenPipeError:
        give_up(sys.stdout)
        return exits.BROKEN_PIPE
    except OutputError as error:
        give_up(sys.stdout)
        return _show(output_lost(error, str(notes.get(DONE, ""))))
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return code


def _guarded(root: click.Group, args: list[str], name: str, notes: dict[str, object]) -> int:
    """Run it; what its context noted stays in ``notes``. Raises OutputError when its output cannot be written."""
    debug = "--debug" in args  # click empties the list
    try:
        if COMPLETE_VARIABLE in os.environ:
            from click.shell_completion import shell_complete

            with writing():
                return shell_complete(root, {}, name, COMPLETE_VARIABLE, os.environ[COMPLETE_VARIABLE])
        with root.make_context(name, args) as context:
            try:
                result = root.invoke(context)
            finally:
                notes.update(context.meta)
            return result if isinstance(result, int) else exits.OK
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        tell(error.format_message() + "\n")
        return exits.USAGE
    except click.ClickException as error:
        return _show(usage_error(error))
    except (KeyboardInterrupt, click.Abort):
        tell("\n")
        return exits.INTERRUPTED
    except (BrokenPipeError, OutputError):
        raise
    except Exception as error:  # the last net
        from scheduler.core.errors import DureError

        return _show(error) if isinstance(error, DureError) else _unexpected(error, debug=debug)


def _show(error: DureError) -> int:
    from scheduler.cli.errors import show_error

    try:
        flush()
    finally:
        show_error(error)
    return exits.exit_code(error)


def _unexpected(error: Exception, *, debug: bool) -> int:
    from scheduler.core.errors import DureError

    if debug:
        import traceback

        traceback.print_exception(error)
    kind = type(error).__name__
    fix = "" if debug else "run it again with --debug and report what it prints"
    return _show(DureError(INTERNAL, f"an unexpected error in dure itself: {kind}: {error}", fix))


def usage_error(error: click.ClickException) -> DureError:
    """Click's complaint in our form: its sentence, and what was probably meant or where the help is."""
    from scheduler.core.errors import DureError

    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "dure"
    fix = f"{path} --help"
    if isinstance(error, click.NoSuchCommand):
        message = f'there is no command "{path} {_capped(error.command_name)}"'
        elsewhere = getattr(context.command, "elsewhere", {}).get(error.command_name) if context else None
        guess = f"did you mean {elsewhere}?" if elsewhere else _guess(error.possibilities, f"{path} ")
        return DureError(NO_COMMAND, message, guess or fix)
    if isinstance(error, click.NoSuchOption):
        message = f'"{path}" has no option {_capped(error.option_name)}'
        return DureError(NO_OPTION, message, _guess(error.possibilities, "") or fix)
    message = _capped(error.format_message().strip().rstrip("."))
    return DureError(USAGE, message[:1].lower() + message[1:], fix)


def _capped(text: str) -> str:
    """A text with every long word in it shortened: what the user wrote is shown, but not a whole file of it."""
    return LONG_WORD.sub(lambda found: f"{found[0][:WORD_MAX]}…", text)


def _guess(possibilities: list[str] | None, prefix: str) -> str:
    return f"did you mean {prefix}{possibilities[0]}?" if possibilities else ""
