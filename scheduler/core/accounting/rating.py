"""Rating: prices times usage, in whole numbers, with one division for each amount.

list = usage x list price; product = list price x tier factor; the tenant pays ``of_list`` of the
product and the rest, by subtraction, is the funder's part or a discount. docs/decisions/0002 has
the rules and worked numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.core.accounting.rounding import Rounding
from scheduler.core.effective import ClassPrice, EffectivePolicy
from scheduler.core.errors import Fatal, invariant
from scheduler.core.model import Tier
from scheduler.core.records import SliceRecord
from scheduler.core.units import MICRO_PER_WON, MILLI_GPU_MS_PER_GPU_HOUR, PPM_ONE

NO_PRICE = "DURE-9044"
_PER_LIST = MILLI_GPU_MS_PER_GPU_HOUR
_PER_PRODUCT = _PER_LIST * PPM_ONE
_PER_TENANT = _PER_PRODUCT * PPM_ONE


@dataclass(frozen=True, slots=True)
class Price:
    """All that prices one slice: list price in won per GPU-hour, the tier's factor, the class's part of the product."""

    list_won_per_gpu_hour: int
    tier_ppm: int
    class_price: ClassPrice

    def __post_init__(self) -> None:
        invariant(self.list_won_per_gpu_hour >= 0, "a list price is zero or more")
        invariant(self.tier_ppm >= 0, "a tier's price factor is zero or more")
        invariant(0 <= self.class_price.of_list_ppm <= PPM_ONE, "a tenant's part of the product is 0 to 1")


@dataclass(frozen=True, slots=True)
class Rated:
    """Amounts in micro-won: product = tenant + funder + discount, and funder or discount is 0."""

    list_microwon: int
    product_microwon: int
    tenant_microwon: int
    funder_microwon: int
    discount_microwon: int


@dataclass(frozen=True, slots=True)
class RatedWon:
    """The same parts in whole won, for an invoice line; product = tenant + funder + discount."""

    list_won: int
    product_won: int
    tenant_won: int
    funder_won: int
    discount_won: int


@dataclass(frozen=True, slots=True)
class PolicyPrices:
    """What one policy version says about prices: factors of tiers, and of classes."""

    tiers: Mapping[Tier, int]
    classes: Mapping[str, ClassPrice]

    @classmethod
    def of(cls, policy: EffectivePolicy) -> PolicyPrices:
        """The prices of an effective policy; they depend on its version only, not on the registry."""
        return cls({tier: rule.price_ppm for tier, rule in policy.tiers.items()}, dict(policy.class_prices))


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Prices by policy version, and list prices (won per GPU-hour) by rate card and flavor."""

    policies: Mapping[int, PolicyPrices]
    rate_cards: Mapping[str, Mapping[str, int]]

    def price_of(self, usage: SliceRecord) -> Price:
        """The price of a slice by the policy version and rate card it carries; raises Fatal when there is none."""
        policy = self.policies.get(usage.policy_version)
        if policy is None:
            raise _no_price(usage, f"policy version {usage.policy_version} is not known")
        list_won = self.rate_cards.get(usage.rate_card, {}).get(usage.flavor)
        if list_won is None:
            raise _no_price(usage, f"rate card {usage.rate_card!r} has no price for flavor {usage.flavor!r}")
        if usage.tier not in policy.tiers or usage.class_name not in policy.classes:
            known = f"policy version {usage.policy_version}"
            raise _no_price(usage, f"{known} has no price for tier {usage.tier} and class {usage.class_name!r}")
        return Price(list_won, policy.tiers[usage.tier], policy.classes[usage.class_name])


def rate(billed_milli_gpu_ms: int, price: Price) -> Rated:
    """Amounts of a slice's billed usage in micro-won, each cut off to a whole one by one division.

    milli-GPU-ms x won per GPU-hour / 3.6e9 is won; the factors are parts per million.
    """
    invariant(billed_milli_gpu_ms >= 0, "usage is zero or more")
    weighted = billed_milli_gpu_ms * price.list_won_per_gpu_hour * MICRO_PER_WON
    product = weighted * price.tier_ppm // _PER_PRODUCT
    tenant = weighted * price.tier_ppm * price.class_price.of_list_ppm // _PER_TENANT
    funder, discount = _rest(product - tenant, price)
    return Rated(weighted // _PER_LIST, product, tenant, funder, discount)


def rate_won(billed_milli_gpu_ms: int, price: Price, rounding: Rounding) -> RatedWon:
    """Amounts of an invoice line in whole won: each rounded once, straight from the line's whole quantity.

    Not from the micro-won of its slices: their cut-off parts would turn an exact 2,320 won into 2,319.
    """
    weighted = billed_milli_gpu_ms * price.list_won_per_gpu_hour
    product = rounding.won(weighted * price.tier_ppm, _PER_PRODUCT)
    tenant = rounding.won(weighted * price.tier_ppm * price.class_price.of_list_ppm, _PER_TENANT)
    funder, discount = _rest(product - tenant, price)
    return RatedWon(rounding.won(weighted, _PER_LIST), product, tenant, funder, discount)


def _rest(rest: int, price: Price) -> tuple[int, int]:
    return (rest, 0) if price.class_price.funder else (0, rest)


def _no_price(usage: SliceRecord, message: str) -> Fatal:
    where = f"slice {usage.id} of job {usage.job} cannot be rated: {message}"
    return Fatal(NO_PRICE, where, "restore the policy version and rate card it was admitted under")
