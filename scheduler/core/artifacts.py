"""Which files a job may hand over: names that are safe on every system, and how many of them. Pure.

Asked three times, for none of the three trusts the others: by the operator that collects, by the server that keeps,
and by the client that writes them to somebody's disk.
"""

from __future__ import annotations

import re

FILES_MAX = 1_000
"""Files of one attempt."""
PATH_BYTES_MAX = 512
NAME_BYTES_MAX = 200
DEPTH_MAX = 20
LEFT_OUT_MAX = 100
"""Of what is left out so many are named; the others are counted."""
LEFT_OUT_BYTES_MAX = 200
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_WINDOWS_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?\Z", re.IGNORECASE)


def path_fault(path: str) -> str:
    """Why a path cannot be that of an artifact, in a few words; "" when it can be.

    A path is relative, with ``/`` between its names. Names are those that Linux, macOS and Windows alike take.
    """
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    if not path:
        return "it has no name"
    if length > PATH_BYTES_MAX:
        return f"its path has more than {PATH_BYTES_MAX} bytes"
    names = path.split("/")
    if len(names) > DEPTH_MAX:
        return f"it lies more than {DEPTH_MAX} folders deep"
    return next((fault for name in names if (fault := _name_fault(name))), "")


def _name_fault(name: str) -> str:
    if name in ("", ".", ".."):
        return "its path leaves its folder"
    if len(name.encode()) > NAME_BYTES_MAX:
        return f"a name in its path has more than {NAME_BYTES_MAX} bytes"
    if _NOT_IN_NAMES.search(name):
        return "a name in its path has a character that not every system takes"
    if name[-1] in ". " or name[0] == " ":
        return "a name in its path begins or ends with a space, or ends with a dot"
    if _WINDOWS_DEVICES.match(name):
        return "a name in its path is that of a device on Windows"
    return ""


def clashing(paths: list[str]) -> set[str]:
    """Those of the paths that a system which does not tell cases apart would take for an earlier one, or its folder."""
    taken: set[str] = set()
    folders: set[str] = set()
    found: set[str] = set()
    for path in paths:
        name = path.casefold()
        parents = {name[:at] for at, letter in enumerate(name) if letter == "/"}
        if name in taken or name in folders or parents & taken:
            found.add(path)
            continue
        taken.add(name)
        folders |= parents
    return found
