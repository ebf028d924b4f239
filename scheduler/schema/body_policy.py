"""Bodies about the policy: its text, its versions, and what differs between two of them."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from scheduler.schema.body_base import Answer, Body, FindingBody, Sent, TierName

VERSION_MAX = 2**31 - 1
_UNPRINTED = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})


def _one_line(text: str) -> str:
    """No control characters, line ends or marks that reorder what is shown."""
    for char in text:
        if unicodedata.category(char) in _UNPRINTED:
            raise ValueError(f"the text holds a character that is not printed (U+{ord(char):04X})")
    return text


Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(_one_line)
]
"""Why something was done, for the audit: one line of printable characters."""
Version = Annotated[int, Field(ge=1, le=VERSION_MAX)]
VersionOrNone = Annotated[int, Field(ge=0, le=VERSION_MAX)]


class PolicyText(Sent):
    """A policy's text, several YAML documents allowed."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=262_144)]
    file: Annotated[str, StringConstraints(max_length=200)] = "policy.yaml"
    """Name used in findings."""


class PolicyRequest(PolicyText):
    """A policy to apply, and why."""

    reason: Reason
    against: VersionOrNone = 0
    """The version that was in force when this was decided on: where it no longer is, the policy is refused. 0: any."""


class PolicyDiffRequest(PolicyText):
    """A text to compare with a version."""

    against: VersionOrNone = 0
    """The version to compare with; 0: the one in force."""


class RollbackRequest(Sent):
    """A version to apply again as a new one, and why."""

    version: Version
    reason: Reason
    against: VersionOrNone = 0
    """The version that was in force when this was decided on: where it no longer is, it is refused. 0: any."""


class PolicyBody(Answer):
    """A policy version as applied."""

    kind: Literal["Policy"] = "Policy"
    version: int
    name: str
    sha256: str
    rate_card: str
    applied_at: str
    applied_by: str
    reason: str
    text: str
    whole: bool = True
    """False for who does not read everything: the text is without comments and other organisations' overrides, reason
    and applied_by are empty. The sha256 is always that of the text as it was applied."""


class PolicyVersionBody(Body):
    """A policy version without its text; reason and applied_by are empty for who does not read everything."""

    version: int
    name: str
    sha256: str
    rate_card: str
    applied_at: str
    applied_by: str
    reason: str
    in_force: bool


class PolicyChangeBody(Body):
    """A field that differs; old and new as a policy file says them, "" where there is none."""

    path: str
    """Such as ``classes.startup.guarantee.h100-80g``; overrides by target, ``overrides.org:hanbit-ai.lease.weight``."""
    who: str
    """Whom it is about: everyone, or a class, an organisation, a project, a flavor or a tier by name."""
    change: Literal["added", "removed", "changed"]
    old: str
    new: str


class GuaranteeSumBody(Body):
    """What the classes together guarantee of a flavor, in milli-GPUs."""

    flavor: str
    before: int
    after: int
    registered: int | None
    """Milli-GPUs that are registered; null while no node is."""


class PolicyPriceBody(Body):
    """What an organisation of a class pays for a GPU-hour in a tier, in micro-won before tax; null: not offered."""

    class_name: str
    tier: TierName
    flavor: str
    before_microwon: int | None
    after_microwon: int | None


class PolicyShrinkBody(Body):
    """A tree node that holds more guaranteed GPUs than the new policy guarantees it, in milli-GPUs.

    What runs keeps running; nothing new of it is guaranteed until it holds less.
    """

    tree_node: str
    flavor: str
    held: int
    before: int
    after: int


class PolicyDiffBody(Answer):
    """What differs between two policies, and what that means."""

    kind: Literal["PolicyDiff"] = "PolicyDiff"
    old_version: int
    """0 where none is in force."""
    new_version: int
    """0 for a text that is no version."""
    changes: list[PolicyChangeBody]
    """In the order of a policy file; empty when there is no difference."""
    guarantees: list[GuaranteeSumBody]
    prices: list[PolicyPriceBody]
    """Those that differ."""
    refusals: list[FindingBody]
    """Why the text could not be applied as it stands; told to administrators."""
    shrinks: list[PolicyShrinkBody]
    """Who holds more than the text would guarantee; told to who reads everything."""
    whole: bool = True
    """False for who does not read everything: changes of other organisations' overrides are left out."""
