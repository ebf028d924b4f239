"""Codes 1012 to 1019 and 1060 to 1079: what the command line does by itself, without a server."""

from __future__ import annotations

from scheduler.schema.codes_entry import Code

LOCAL_CODES: dict[str, Code] = {
    "DURE-1012": Code(
        "file is there already",
        "A file that would be written is there. Nothing is ever written over without being told to: no file was"
        " written, and each that stands in the way is named.",
        "dure init my-training --force",
    ),
    "DURE-1013": Code(
        "file not written",
        "A file or its folder could not be written: it may not be, the disk is full, or its place is no folder.",
        "dure init ~/my-training",
    ),
    "DURE-1060": Code(
        "no such help topic",
        "There is no command, field of the task file or topic of this name.",
        "dure help task",
    ),
}
