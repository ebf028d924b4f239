"""The effective policy: a pure function of policy version and registry sequence, as the core reads it.

``scheduler.policy.effective`` makes it; the allocator, the settler and the API only read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.core.accounting.rounding import DOWN_TO_ONE_WON, Rounding
from scheduler.core.model import Flavor, Tier
from scheduler.core.tree import Tree

LEAVE_MARGIN_MS = 120_000
"""What ending, proving and reporting may take beyond the grace (decision 0009)."""
GRACE_DEFAULT_MS = 30_000
"""Grace of a tier that names none, and the most that a cancelled attempt has."""


@dataclass(frozen=True, slots=True)
class TierRule:
    """What a tier means: its factor on the list price, and the grace of an eviction notice."""

    price_ppm: int
    grace_ms: int


@dataclass(frozen=True, slots=True)
class ClassPrice:
    """A class's price: the tenant pays ``of_list_ppm`` of the product list x tier.

    The rest is paid by ``funder``; with no funder ("") it is a discount. in_supply_value: the
    funder's part belongs to the VAT base.
    """

    of_list_ppm: int
    funder: str = ""
    in_supply_value: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a submission may ask for."""

    max_gpus_per_job: int
    default_time_ms: int
    max_time_ms: int
    max_pending_per_project: int
    checkpoint_interval_max_ms: int
    max_losses: int


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """Everything that decides shares, limits and prices at one policy version and registry sequence."""

    policy_version: int
    registry_seq: int
    policy_name: str
    timezone: str
    flavors: Mapping[str, Flavor]
    tiers: Mapping[Tier, TierRule]
    half_life_ms: int
    limits: Limits
    tree: Tree
    class_prices: Mapping[str, ClassPrice]
    rate_card: str
    calendar: str
    """``month`` (Asia/Seoul) or ``manual``."""
    vat_ppm: int
    line_rounding: Rounding = DOWN_TO_ONE_WON
    vat_rounding: Rounding = DOWN_TO_ONE_WON
    until_ms: int = 0
    """When the next override ends and this value must be made again; 0: never."""

    @property
    def leave_ms(self) -> dict[Tier, int]:
        """By tier, how long after it was asked to stop an attempt may be expected to be gone: its grace, some more."""
        return {tier: (rule.grace_ms or GRACE_DEFAULT_MS) + LEAVE_MARGIN_MS for tier, rule in self.tiers.items()}
