"""The validated policy and rate card as frozen values, and what an override changes at an instant.

GPU amounts are milli-GPUs by flavor, weights and price factors parts per million, instants and durations
milliseconds. What a named override gives replaces the whole field of the default: an override with
``guarantee: {h100-80g: 4}`` leaves no guarantee of another flavor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scheduler.core.accounting.rounding import DOWN_TO_ONE_WON, Rounding
from scheduler.core.effective import ClassPrice, Limits, TierRule
from scheduler.core.model import Flavor, Tier
from scheduler.core.units import PPM_ONE

Amounts = Mapping[str, int]
"""Milli-GPUs by flavor."""


@dataclass(frozen=True, slots=True)
class Share:
    """Entitlements of one tree node; an absent guarantee is 0, an absent limit none."""

    weight_ppm: int = PPM_ONE
    guarantee: Amounts = field(default_factory=dict)
    borrowing_limit: Amounts = field(default_factory=dict)
    lending_limit: Amounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassRule:
    """A class: its own share, the share of an organisation that nothing is said about, and its price."""

    name: str
    share: Share
    org_default: Share
    price: ClassPrice
    isolation: str = "shared"


@dataclass(frozen=True, slots=True)
class Override:
    """What is different for one organisation, or for one of its projects; None leaves a field as it is.

    until_ms: exclusive end of a lease, 0 for none. path: where it stands in the document, for findings.
    """

    org: str
    project: str = ""
    weight_ppm: int | None = None
    guarantee: Amounts | None = None
    borrowing_limit: Amounts | None = None
    lending_limit: Amounts | None = None
    until_ms: int = 0
    reason: str = ""
    path: str = ""

    @property
    def target(self) -> str:
        """``org:NAME`` or ``project:ORG/NAME``."""
        return f"project:{self.org}/{self.project}" if self.project else f"org:{self.org}"

    def over(self, share: Share) -> Share:
        """The share with this override's fields in place of its own."""
        return Share(
            share.weight_ppm if self.weight_ppm is None else self.weight_ppm,
            share.guarantee if self.guarantee is None else self.guarantee,
            share.borrowing_limit if self.borrowing_limit is None else self.borrowing_limit,
            share.lending_limit if self.lending_limit is None else self.lending_limit,
        )


@dataclass(frozen=True, slots=True)
class RateCard:
    """List prices: whole won per GPU-hour by flavor. A name is used once and never changes.

    where: ``file:line:column`` of its name, "" where it comes from no file.
    """

    name: str
    valid_from_ms: int
    prices: Mapping[str, int]
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy document. ``places`` has ``file:line:column`` by path, for findings that need the registry too."""

    name: str
    timezone: str
    flavors: Mapping[str, Flavor]
    tiers: Mapping[Tier, TierRule]
    half_life_ms: int
    limits: Limits
    classes: Mapping[str, ClassRule]
    overrides: tuple[Override, ...]
    rate_card: str
    calendar: str
    vat_ppm: int
    line_rounding: Rounding = DOWN_TO_ONE_WON
    vat_rounding: Rounding = DOWN_TO_ONE_WON
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def where(self, path: str) -> str:
        """``file:line:column`` of a path or of its nearest ancestor; the policy's name when there is none."""
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.places.get(path, self.name)

    def changes_after(self, at_ms: int) -> tuple[int, ...]:
        """Instants after ``at_ms`` at which a lease ends and shares change, in order."""
        return tuple(sorted({item.until_ms for item in self.overrides if item.until_ms > at_ms}))


class OverrideIndex:
    """Overrides by target: the share of one target at any instant without reading all of them."""

    def __init__(self, overrides: Iterable[Override]) -> None:
        """Lasting overrides come first, so that a lease lies on top of one until it ends."""
        self._by_target: dict[str, list[Override]] = {}
        for item in sorted(overrides, key=lambda item: item.until_ms != 0):
            self._by_target.setdefault(item.target, []).append(item)

    def __contains__(self, target: str) -> bool:
        return target in self._by_target

    def share(self, target: str, default: Share, at_ms: int) -> Share:
        """The default under the target's overrides that hold at ``at_ms``."""
        for item in self._by_target.get(target, ()):
            if not item.until_ms or at_ms < item.until_ms:
                default = item.over(default)
        return default

    def ends_after(self, target: str, at_ms: int) -> list[int]:
        """Ends of the target's leases after ``at_ms``."""
        return [item.until_ms for item in self._by_target.get(target, ()) if item.until_ms > at_ms]
