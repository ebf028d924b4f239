"""Findings of a task for whoever gave it: at the place they are about, with a fix that fits how it was given."""

from __future__ import annotations

import json
import re

from scheduler.core.errors import Finding

NO_GPUS = "DURE-1106"
BAD_FORM = "DURE-1113"
NO_FOLDER = "DURE-1024"
COMMAND_LINE = "the command line"
_PROJECT = re.compile(r"project must be ORG/PROJECT, not (?P<shown>\".*\")\Z", re.DOTALL)


def mended(finding: Finding, *, of_file: bool) -> Finding:
    """A finding of reading a task; ``of_file`` false: the task was given as options and a command."""
    where, fix = finding.where, finding.fix
    if not of_file and where.startswith(f"{COMMAND_LINE}:"):
        where = COMMAND_LINE
        if finding.code == NO_GPUS:
            fix = "add --gpus h100:1"
    project = _PROJECT.match(finding.message) if finding.code == BAD_FORM else None
    parts = json.loads(project["shown"]).split("/") if project else []
    if any(not re.search(r"[A-Za-z]", part) for part in parts):
        # A name without a letter that names may have has no likely spelling.
        fix = "write ORG/PROJECT with small letters, digits and dashes: dure project list"
    return Finding(where, finding.code, finding.message, fix)


def at_workdir(finding: Finding, place: str) -> Finding:
    """A work directory that is none stands where the task names it."""
    if finding.code != NO_FOLDER or not place:
        return finding
    message = f"{finding.where}: {finding.message}" if finding.where else finding.message
    return Finding(place, finding.code, message, finding.fix)
