"""Files that the user names on the command line; ``-`` is standard input. Reading is bounded, errors are sentences."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path

from scheduler.cli.errors import Fault
from scheduler.core.errors import Fatal, Finding

UNREADABLE = "DURE-1004"
FILE_BYTES_MAX = 1024 * 1024
STDIN = "-"


def read_file(name: str) -> bytes:
    """The file's bytes; raises Fatal when it cannot be read or is larger than a text that people write."""
    try:
        if name == STDIN:
            content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(descriptor, "rb") as stream:
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    raise IsADirectoryError(21, "it is a folder")
                content = stream.read(FILE_BYTES_MAX + 1) or b""
    except FileNotFoundError as error:
        raise Fatal(UNREADABLE, f"there is no file {name}", _like(name)) from error
    except (OSError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else error
        raise Fatal(UNREADABLE, f"{name} cannot be read: {detail}", "give a file that you may read") from error
    if len(content) > FILE_BYTES_MAX:
        raise Fatal(UNREADABLE, f"{name} is larger than {FILE_BYTES_MAX} bytes", "give a text file")
    return content


def _like(name: str) -> str:
    """A file of nearly this name in the same folder."""
    import difflib

    folder = Path(name).parent
    try:
        names = sorted(entry.name for entry in os.scandir(folder))[:1_000]
    except (OSError, ValueError):
        return "check the path"
    close = difflib.get_close_matches(Path(name).name, names, n=1)
    return f"did you mean {shlex.quote(str(folder / close[0]))}?" if close else "check the path"


def read_text(name: str) -> str:
    """The file's text; raises Fatal, or Fault where it is not UTF-8."""
    content = read_file(name)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        finding = Finding(place, UNREADABLE, "the file is not UTF-8 text", "save it with the encoding UTF-8")
        raise Fault([finding]) from None


class Joined:
    """Several files as one text of YAML documents, and the way back from its lines to theirs."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Read the files; raises Fatal or Fault."""
        self.sources = {name: read_text(name) for name in names}
        self.name = names[0] if len(names) == 1 else "policy"
        parts: list[str] = []
        self._starts: list[tuple[int, str]] = []
        line = 1
        for name, text in self.sources.items():
            if parts:
                parts.append("---\n")
                line += 1
            self._starts.append((line, name))
            whole = text if text.endswith("\n") or not text else f"{text}\n"
            parts.append(whole)
            line += whole.count("\n")
        self.text = "".join(parts)

    def locate(self, finding: Finding) -> Finding:
        """The finding at its place in the file that it came from."""
        file, _, rest = finding.where.partition(":")
        line, _, column = rest.partition(":")
        if file != self.name or not line.isdigit() or not column.isdigit():
            return finding
        start, name = max(item for item in self._starts if item[0] <= max(1, int(line)))
        where = f"{name}:{int(line) - start + 1}:{column}"
        return Finding(where, finding.code, finding.message, finding.fix)
