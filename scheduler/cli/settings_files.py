"""What config.yaml and dure.yaml may hold, as tables of fields."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.cli.errors import Fault
from scheduler.client.config import CONFIG_WRONG, Context, Contexts
from scheduler.core.errors import Fatal
from scheduler.schema.kinds import Text
from scheduler.schema.report import FileCodes, Report
from scheduler.schema.validate import Field, ListOf, Objects, Unsupported, Values
from scheduler.schema.yamlpos import read_yaml

CODES = FileCodes(*[CONFIG_WRONG] * len(FileCodes.__slots__))
CONTEXTS_MAX = 100
NAME = Text("a name of letters, digits, dots and dashes", 63, 1, r"[A-Za-z0-9][A-Za-z0-9._-]*")
ADDRESS = Text("a server's address", 2_048, 1, r"https?://\S+")
PROJECT = Text("PROJECT or ORG/PROJECT", 81, 1, r"[a-z0-9-]+(?:/[a-z0-9-]+)?")
SERVER_FIELD: Field[str] = Field("server", ADDRESS, "Address of the server.", example="https://dure.example.org")
ORG_FIELD: Field[str] = Field("org", NAME, "Organisation one works in.")
PROJECT_FIELD: Field[str] = Field("project", PROJECT, "Project that jobs go to.")
NAME_FIELD: Field[str] = Field("name", NAME, "Name of the context.", required=True)
CONTEXT_FIELD: Field[str] = Field("context", NAME, "Context to use in this folder.")
PLACES = (SERVER_FIELD, ORG_FIELD, PROJECT_FIELD)
CONTEXTS_FIELD: Field[list[Values]] = Field(
    "contexts",
    ListOf(Objects((NAME_FIELD, *PLACES), wanted="a mapping with name and server"), "a list of contexts", CONTEXTS_MAX),
    "The servers one uses.",
)
CURRENT_FIELD: Field[str] = Field("current", Text("a context's name", 63, 0, r"[A-Za-z0-9._-]*"), "The context in use.")
CONFIG = Objects((CURRENT_FIELD, CONTEXTS_FIELD), wanted="a mapping with current and contexts")
PROJECT_FILE = Objects(
    (CONTEXT_FIELD, *PLACES),
    unsupported=dict.fromkeys(
        ("run", "resources"),
        Unsupported("dure.yaml holds a folder's defaults and is no task file", "give the task file another name"),
    ),
    wanted="a mapping with context, server, org or project",
)


def _read(table: Objects, content: bytes, file: str) -> Values:
    report = Report(file, CODES)
    roots = read_yaml(content, report)
    values = table.read(roots[0], "", report) if roots else None
    if values is None or not report.clean:
        raise Fault(report.findings(), {file: content.decode("utf-8", "replace")})
    return values


def read_contexts(content: bytes, file: str) -> Contexts:
    """The contexts of config.yaml; raises Fault with every mistake."""
    values = _read(CONFIG, content, file)
    items = []
    for entry in values.get_or(CONTEXTS_FIELD, []):
        items.append(Context(entry.get_or(NAME_FIELD, ""), *(entry.get_or(field, "") for field in PLACES)))
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Fatal(CONFIG_WRONG, f"{file} has two contexts named {twice[0]}", "remove one of them")
    return Contexts(values.get_or(CURRENT_FIELD, ""), tuple(items))


def read_project_file(content: bytes, file: str) -> Mapping[str, str]:
    """The defaults of a project's dure.yaml; raises Fault with every mistake."""
    values = _read(PROJECT_FILE, content, file)
    return {field.name: text for field in (CONTEXT_FIELD, *PLACES) if (text := values.get(field))}
