"""The price book: every policy version's factors and every rate card, as stored."""

from __future__ import annotations

import json

from scheduler.core.accounting.rating import PolicyPrices, PriceBook
from scheduler.core.accounting.rounding import Rounding
from scheduler.core.records import PolicyRecord, RateCardRecord
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import Reader, Where

VERSIONS_MAX = 100_000


class PriceBooks:
    """One cache a process: versions and cards never change, so only new ones are read."""

    def __init__(self, policies: EffectivePolicies) -> None:
        self._policies = policies
        self._prices: dict[int, PolicyPrices] = {}
        self._vat_ppm: dict[int, int] = {}
        self._rounding: dict[int, tuple[Rounding, Rounding]] = {}
        self._cards: dict[str, dict[str, int]] = {}

    def book(self, view: Reader) -> PriceBook:
        """Prices of every version and card up to now."""
        known = max(self._prices, default=0)
        for record in view.select(PolicyRecord, Where("version", ">", known), order=("version",), limit=VERSIONS_MAX):
            policy = self._policies.at(view, record, 0, record.applied_at_ms)
            self._prices[record.version] = PolicyPrices.of(policy)
            self._vat_ppm[record.version] = policy.vat_ppm
            self._rounding[record.version] = (policy.line_rounding, policy.vat_rounding)
        for card in view.select(RateCardRecord, order=("name",), limit=VERSIONS_MAX):
            self._cards.setdefault(card.name, json.loads(card.prices_json))
        return PriceBook(dict(self._prices), dict(self._cards))

    def vat_ppm(self, view: Reader, version: int) -> int:
        """Value added tax of a policy version, in ppm; raises KeyError for an unknown version."""
        self.book(view)
        return self._vat_ppm[version]

    def rounding(self, view: Reader, version: int) -> tuple[Rounding, Rounding]:
        """How a policy version rounds lines and value added tax; raises KeyError for an unknown version."""
        self.book(view)
        return self._rounding[version]
