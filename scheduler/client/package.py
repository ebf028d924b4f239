"""A work directory as one zip whose bytes depend on its files alone.

Entries are sorted by name; times, owners and modes are fixed (0644, or 0755 where the owner may execute); the deflate
level is fixed. The same files give the same bytes in every run and on every machine with the same zlib, so a package
is named by its SHA-256 and sent once. Left out: what .gitignore and .dureignore say, tools' folders, and secrets.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.client.ignore import IgnoreRules, holds_private_key, is_data_folder, is_secret_name, is_tool_folder
from scheduler.core.errors import Finding

ZIP_BYTES_MAX = 64 * 1024 * 1024
FILES_MAX = 20_000
CONTENT_BYTES_MAX = 4 * ZIP_BYTES_MAX
"""Sum of the files' sizes: keeps unpacking as bounded as sending."""
VISITS_MAX = 200_000
NAME_BYTES_MAX = 1_023
RATIO_MAX = 100
"""An operator unpacks nothing that grows more than this, from RATIO_FROM_BYTES on: that is a bomb, not a program."""
RATIO_FROM_BYTES = 1024 * 1024
DEFLATE_LEVEL = 6
EPOCH = (1980, 1, 1, 0, 0, 0)
OFFENDERS_SHOWN = 3

TOO_LARGE = "DURE-1020"
LINK_OUTSIDE = "DURE-1021"
UNREADABLE = "DURE-1022"
BAD_NAME = "DURE-1023"
NOT_A_FOLDER = "DURE-1024"
NOTHING_TO_SEND = "DURE-1025"
BAD_NAME_MESSAGE = "the name holds a colon, a backslash or what cannot be printed, or is too long"
IGNORE_FIX = "list it in .dureignore, or put a copy of it into the folder"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a package may hold; the defaults are the server's."""

    zip_bytes: int = ZIP_BYTES_MAX
    files: int = FILES_MAX
    content_bytes: int = CONTENT_BYTES_MAX
    visits: int = VISITS_MAX


@dataclass(frozen=True, slots=True)
class Package:
    """The zip's bytes and name, how many files it holds, and the secrets that stayed at home."""

    content: bytes
    sha256: str
    files: int
    content_bytes: int
    secrets_left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class _Walk:
    """What was seen so far: files by name in the zip, with their sizes."""

    root: Path
    limits: Limits
    rules: IgnoreRules
    files: dict[str, tuple[Path, int]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    visits: int = 0

    def too_much(self) -> bool:
        return self.visits > self.limits.visits or len(self.files) > self.limits.files


def pack(folder: Path, limits: Limits | None = None) -> tuple[Package | None, list[Finding]]:
    """Pack a work directory: the package, or None and everything that is wrong with the folder."""
    limits = limits or Limits()
    root = Path(os.path.abspath(folder))
    finding = _unfit(root)
    if finding:
        return None, [finding]
    root = root.resolve()
    walk = _Walk(root, limits, IgnoreRules(root))
    _visit(walk, root, "", (root,))
    findings = [*walk.findings, *_size_findings(walk)]
    if findings:
        return None, findings
    package, findings = _zip(walk)
    if package and not package.files:
        return None, [_nothing(walk)]
    if package and len(package.content) > limits.zip_bytes:
        return None, [
            _too_large(walk, f"is {size_text(len(package.content))} as a zip, at most {size_text(limits.zip_bytes)}")
        ]
    if package and package.content_bytes > max(RATIO_FROM_BYTES, RATIO_MAX * len(package.content)):
        return None, [_too_large(walk, f"holds {size_text(package.content_bytes)} of almost nothing but repetition")]
    return package, findings


def _unfit(root: Path) -> Finding | None:
    if not root.is_dir():
        return Finding(str(root), NOT_A_FOLDER, "the work directory is no folder", "give an existing folder")
    if root.resolve() in (Path(root.anchor), Path.home().resolve()):
        message = "the work directory is your home folder or the whole disk"
        return Finding(str(root), NOT_A_FOLDER, message, "put the job's files into a folder of their own")
    if is_data_folder(root):
        message = "the work directory is the data folder of a dure up, which holds its tokens"
        return Finding(str(root), NOT_A_FOLDER, message, "put the job's files into a folder of their own")
    return None


def _nothing(walk: _Walk) -> Finding:
    """A job without its files would only fail later, on GPUs."""
    if not walk.visits:
        message, fix = "the work directory is empty", "name the folder with the job's files, or leave the option out"
    else:
        message = "everything in the work directory is left out, as ignored, secret or a tool's"
        fix = "let .dureignore in that folder take the files back in, for example with the line !*"
    return Finding(str(walk.root), NOTHING_TO_SEND, message, fix)


def _visit(walk: _Walk, folder: Path, prefix: str, above: tuple[Path, ...]) -> None:
    """Collect the folder's files; ``above`` are the real paths of the folders around it, against loops of links."""
    walk.rules.enter(folder)
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        walk.findings.append(Finding(prefix or ".", UNREADABLE, f"cannot be read: {error.strerror}", IGNORE_FIX))
        return
    for entry in found:
        walk.visits += 1
        if walk.too_much():
            return
        _visit_entry(walk, entry, f"{prefix}{entry.name}", above)


def _visit_entry(walk: _Walk, entry: os.DirEntry[str], name: str, above: tuple[Path, ...]) -> None:
    path = Path(entry.path)
    try:
        is_folder = _leads_to_folder(entry)
        if walk.rules.leave_out(path, folder=is_folder) or (is_folder and is_tool_folder(path)):
            return
        if is_secret_name(entry.name, folder=is_folder):
            walk.secrets.append(name)
            return
        if not _sound_name(name):
            shown = name.encode("utf-8", "backslashreplace").decode()
            walk.findings.append(Finding(shown, BAD_NAME, BAD_NAME_MESSAGE, IGNORE_FIX))
            return
        real = path.resolve() if entry.is_symlink() else path
        if entry.is_symlink() and (fault := _bad_link(real, walk.root, above)):
            walk.findings.append(Finding(name, LINK_OUTSIDE, f"the link {fault}", IGNORE_FIX))
        elif is_folder:
            _visit(walk, path, f"{name}/", (*above, real))
        elif entry.is_file():  # sockets, pipes and devices are no files and stay at home
            walk.files[name] = (path, entry.stat().st_size)
    except (OSError, RuntimeError) as error:
        detail = error.strerror if isinstance(error, OSError) else "links in a circle, or folders too deep"
        walk.findings.append(Finding(name, UNREADABLE, f"cannot be read: {detail}", IGNORE_FIX))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Also for links; one that goes in a circle is no folder, so that an ignore file can still leave it out."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _bad_link(real: Path, root: Path, above: tuple[Path, ...]) -> str:
    if not real.exists():
        return "leads nowhere"
    if not real.is_relative_to(root):
        return "leads out of the work directory"
    if real in above:
        return "leads to a folder around it"
    # A link must not bring in what its target's own name keeps out.
    folders = [root.joinpath(*parts) for parts in _prefixes(real.relative_to(root).parts)]
    if any(is_secret_name(part.name, folder=part.is_dir()) or is_tool_folder(part) for part in folders):
        return "leads to something that is never sent"
    return ""


def _prefixes(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (parts[:length] for length in range(1, len(parts) + 1))


def _sound_name(name: str) -> bool:
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    plain = name.isprintable() and "\\" not in name and ":" not in name.partition("/")[0]
    return plain and len(encoded) <= NAME_BYTES_MAX


def _size_findings(walk: _Walk) -> Iterator[Finding]:
    total = sum(size for _, size in walk.files.values())
    if walk.too_much():
        yield _too_large(walk, f"holds more than {walk.limits.files:,} files")
    elif total > walk.limits.content_bytes:
        yield _too_large(walk, f"holds {size_text(total)}, at most {size_text(walk.limits.content_bytes)}")


def _too_large(walk: _Walk, how: str) -> Finding:
    """One sentence that names the entries of the work directory that weigh most."""
    weight: dict[str, list[int]] = {}
    for name, (_, size) in walk.files.items():
        top, _, below = name.partition("/")
        sums = weight.setdefault(f"{top}/" if below else top, [0, 0])
        sums[0] += size
        sums[1] += 1
    by_count = len(walk.files) > walk.limits.files
    heaviest = sorted(weight.items(), key=lambda item: (-item[1][by_count], item[0]))[:OFFENDERS_SHOWN]
    named = ", ".join(f"{name} ({size_text(size)}, {files_text(count)})" for name, (size, count) in heaviest)
    message = f"the work directory {how}; most of it: {named or 'folders without files'}"
    return Finding(str(walk.root), TOO_LARGE, message, "list what the job does not need in .dureignore")


def files_text(count: int) -> str:
    """``1 file``, ``2 files``."""
    return f"{count:,} file{'' if count == 1 else 's'}"


def size_text(size: int) -> str:
    """A size for people: whole bytes below 1 KiB, else one decimal of KiB or MiB."""
    if size < 1024:
        return f"{size} B"
    unit, name = (1024, "KiB") if size < 1024 * 1024 else (1024 * 1024, "MiB")
    tenths = (size * 10 + unit // 2) // unit
    return f"{tenths // 10}.{tenths % 10} {name}"


def _zip(walk: _Walk) -> tuple[Package | None, list[Finding]]:
    buffer = io.BytesIO()
    findings: list[Finding] = []
    total = files = 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as archive:
        for name in sorted(walk.files, key=str.encode):
            path, size = walk.files[name]
            try:
                content, mode = _read(path, size)
            except OSError as error:
                findings.append(Finding(name, UNREADABLE, f"cannot be read: {error.strerror or error}", IGNORE_FIX))
                continue
            if holds_private_key(content):
                walk.secrets.append(name)
                continue
            archive.writestr(_entry(name, mode), content, zipfile.ZIP_DEFLATED, DEFLATE_LEVEL)
            total += len(content)
            files += 1
    if findings:
        return None, findings
    content = buffer.getvalue()
    secrets = tuple(sorted(walk.secrets))
    return Package(content, hashlib.sha256(content).hexdigest(), files, total, secrets), []


def _read(path: Path, size: int) -> tuple[bytes, int]:
    """The file's bytes and mode; raises OSError when it grew since it was measured or is no file any more."""
    # O_NONBLOCK: a pipe put in the file's place must not stop us.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream:
        mode = os.fstat(descriptor).st_mode
        content = stream.read(size + 1) if stat.S_ISREG(mode) else b""
    if not stat.S_ISREG(mode) or len(content) > size:
        raise OSError(f"{path.name} changed while it was packed")
    return content, mode


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3  # the entry's mode is a Unix one on every machine
    entry.external_attr = (stat.S_IFREG | (0o755 if mode & stat.S_IXUSR else 0o644)) << 16
    return entry
