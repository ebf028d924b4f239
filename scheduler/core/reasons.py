"""Why a job waits: one closed list, used by the core, the API, the CLI and the metrics alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The closed list of DESIGN section 4."""

    SHARE_BUSY = "ShareBusy"
    ORG_CAP_REACHED = "OrgCapReached"
    PROJECT_CAP_REACHED = "ProjectCapReached"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    NO_CAPACITY = "NoCapacity"
    NO_GANG_FIT = "NoGangFit"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    BEHIND_HIGHER_PRIORITY = "BehindHigherPriority"
    HELD_BY_USER = "HeldByUser"
    HELD_BY_ADMIN = "HeldByAdmin"
    WAITING_DEPENDENCY = "WaitingDependency"
    RESERVED_FOR_OTHER = "ReservedForOther"
    MAINTENANCE_WINDOW = "MaintenanceWindow"
    IMAGE_OR_QUOTA_INVALID = "ImageOrQuotaInvalid"
    BACKOFF_AFTER_FAILURE = "BackoffAfterFailure"
    CLUSTER_STARTING = "ClusterStarting"


class Actor(StrEnum):
    """Who can do something about a reason."""

    YOU = "you"
    ORG_ADMIN = "org-admin"
    ADMIN = "admin"
    PLATFORM = "platform"
    TIME = "time"


@dataclass(frozen=True, slots=True, order=True)
class Blocker:
    """One reason with its numbers, for a (queue, flavor, size, tier).

    tree_node: path of the tree node whose rule blocks, or "" for machines.
    need, have, limit: in milli-GPUs, except NoGangFit (workers) and BackoffAfterFailure (milliseconds:
    ``limit`` is the instant it ends); decision 0001, rule 7, says what they are for each reason.
    tier: the tier this reason closes, or "" when it closes every tier.
    left: milli-GPUs of the largest gang of such workers that this reason alone would let start now, always less than
    the gang has; below 0 where more is in use than there is.
    over: milli-GPUs that are claimed above the guarantee; what is freed fills that before more is left.
    """

    reason: Reason
    tree_node: str
    flavor: str
    need: int
    have: int
    limit: int
    actor: Actor
    tier: str = ""
    left: int = 0
    over: int = 0
