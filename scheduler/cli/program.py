"""How this program was called, so that a proposed command can be typed as it is shown."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

NAME = "dure"


def program(called: str, folder: str, found: str | None) -> str:
    """The word that calls the program again: ``dure``, or its path where the shell would not find it by that name.

    called: argv[0]. folder: the present folder. found: what the shell finds as ``dure``.
    """
    if os.path.basename(called) != NAME or not os.path.dirname(called):
        return NAME
    path = os.path.abspath(os.path.join(folder, called))
    if found and os.path.realpath(found) == os.path.realpath(path):
        return NAME
    inside = os.path.relpath(path, folder)
    if inside.startswith(os.pardir):
        return shlex.quote(path)
    return shlex.quote(inside if os.sep in inside else os.path.join(os.curdir, inside))


def as_called(command: str) -> str:
    """A command that begins with ``dure``, as the user can type it here."""
    word, space, rest = command.partition(" ")
    if word != NAME:
        return command
    try:
        return program(sys.argv[0], os.getcwd(), shutil.which(NAME)) + space + rest
    except OSError:
        return command


def typable(line: str) -> str:
    """A line of talk; where it is a proposed command, which is indented, as the user can type it here."""
    command = line.lstrip(" ")
    return line if command == line else line[: len(line) - len(command)] + as_called(command)
