"""The tiers as plain names, for the hot loop: in Python 3.11 looking up an enum's member costs more than a rule."""

from __future__ import annotations

from scheduler.core.model import Tier

GUARANTEED, BORROW, SCAVENGE = Tier.GUARANTEED, Tier.BORROW, Tier.SCAVENGE

PHASES = (GUARANTEED, BORROW, SCAVENGE)
"""The order in which tiers are served (decision 0001, rule 4)."""
