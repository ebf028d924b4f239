"""Templates of a first job: the files that ``dure init`` writes, filled in, and written only where nothing is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from scheduler.cli.errors import Fault
from scheduler.core.errors import Fatal, Finding
from scheduler.schema.task import TASK, slug

EXISTS = "DURE-1012"
NOT_WRITTEN = "DURE-1013"
TASK_FILE = "task.yaml"
NO_PROJECT = "# project: ORG/PROJECT      (dure project list; without it, the context's)"


class Template(NamedTuple):
    """A name, what it is for, and the fields of the task file that it needs."""

    name: str
    summary: str
    needs: tuple[str, ...] = ()


ALL = (
    Template("script", "One Python program on every node, with checkpoints. Needs nothing but Python."),
    Template("torchrun", "PyTorch on every GPU of the gang, started by torchrun."),
    Template("ray-train", "A Ray driver with a worker on every GPU: Ray Train with PyTorch, Ray actors without."),
    Template("array", "The same program once for each index, such as a sweep.", needs=("array",)),
)
FILES = {TASK_FILE: "{template}/task.yaml.in", "train.py": "{template}/train.py.in", ".dureignore": "dureignore.in"}
"""What is written -> where its text lies."""


def offered() -> tuple[Template, ...]:
    """The templates whose every field this version's task file has."""
    known = {field.name for field in TASK.fields}
    return tuple(template for template in ALL if known.issuperset(template.needs))


NAMES = tuple(template.name for template in offered())


def texts(template: str, *, name: str, project: str, gpus: str) -> dict[str, str]:
    """File -> text of a template, filled in. ``project`` "" leaves a comment in its place."""
    folder = resources.files("scheduler.cli") / "templates"
    filled = {"@NAME@": name, "@PROJECT@": f"project: {project}" if project else NO_PROJECT, "@GPUS@": gpus}
    found = {}
    for file, place in FILES.items():
        text = folder.joinpath(*place.format(template=template).split("/")).read_text(encoding="utf-8")
        for mark, value in filled.items():
            text = text.replace(mark, value)
        found[file] = text
    return found


def name_for(folder: Path) -> str:
    """A job's name from the folder's."""
    return slug(folder.absolute().name, "train")


def write_all(folder: Path, files: Mapping[str, str], *, force: bool) -> Sequence[Path]:
    """Write the files into the folder, which is made; returns their paths.

    Raises Fault with every file that is there already, and writes nothing then; with ``force`` files are replaced.
    Raises Fatal where the folder cannot be written.
    """
    paths = {folder / name: text for name, text in files.items()}
    there = [path for path in paths if os.path.lexists(path)]
    if there and not force:
        fix = "choose another folder, or replace what is there: --force"
        raise Fault(
            [Finding(str(path), EXISTS, "this file is there already; nothing was written", fix) for path in there]
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            if force and path.is_symlink():
                path.unlink()  # what it leads to is not ours
            # Without force the file must be new: "x" refuses one that came in between.
            with path.open("w" if force else "x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        where = error.filename or folder
        raise Fatal(NOT_WRITTEN, f"{where} cannot be written: {error.strerror}", "choose another folder") from error
    return list(paths)
