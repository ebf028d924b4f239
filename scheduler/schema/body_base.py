"""What all bodies share: the base models, constrained texts, lists and problems."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, field_validator

from scheduler.core.errors import Finding

API_VERSION: Final = "dure.dev/v1alpha1"
# Set by Dure for every rank; a task that sets them would lie to its own code about its place in the gang.
RESERVED_ENV = re.compile(r"DURE_\w*|RAY_ADDRESS\Z|RAY_AUTH\w*", re.ASCII)


def _no_nul(text: str) -> str:
    """No operating system passes NUL to a process and PostgreSQL stores none."""
    if "\0" in text:
        raise ValueError("the text holds the character NUL")
    return text


def _not_reserved(name: str) -> str:
    if RESERVED_ENV.match(name):
        raise ValueError(f"{name} is set by Dure")
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$|^[a-z]$", max_length=40)]
"""Names of organisations, projects, users, clusters: DNS-1035 labels of at most 40 characters."""
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._@:-]{0,62}$")]
"""Names of users and machine accounts, such as ``trainer.hanbit-ai`` or ``operator:local``."""
JobId = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{4,12}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ShellText = Annotated[str, StringConstraints(max_length=65_536), AfterValidator(_no_nul)]
EnvName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128), AfterValidator(_not_reserved)
]
EnvValue = Annotated[str, StringConstraints(max_length=32_768), AfterValidator(_no_nul)]
TierName = Literal["guaranteed", "borrow", "scavenge"]
RoleName = Literal["member", "project-admin", "org-admin", "auditor", "operator", "admin"]


class Body(BaseModel):
    """Base of every body."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Sent(Body):
    """Base of every body that a client sends: no text in it holds what a database could not keep."""

    @field_validator("*")
    @classmethod
    def _texts_can_be_kept(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str):
                _no_nul(text)
        return value


class Answer(Body):
    """Base of every answer."""

    apiVersion: Literal["dure.dev/v1alpha1"] = API_VERSION


T = TypeVar("T", bound=Body)


class Listing(Answer, Generic[T]):
    """One page of things; ``next`` is "" on the last page."""

    kind: str = "List"
    items: list[T]
    next: str = ""


class Problem(Body):
    """RFC 9457 problem details with Dure's stable code, the fix, and every finding at its place."""

    type: str
    title: str
    status: int
    detail: str = ""
    code: str
    fix: str = ""
    findings: list[FindingBody] = []


class FindingBody(Body):
    """One mistake at its place."""

    where: str
    code: str
    message: str
    fix: str = ""


def finding_body(finding: Finding) -> FindingBody:
    """A finding on the wire."""
    return FindingBody(where=finding.where, code=finding.code, message=finding.message, fix=finding.fix)
