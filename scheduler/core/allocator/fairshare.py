"""What everybody's fair share is now, and where each tree node stands: for display, decides nothing.

The fair share of a tree node is what it would get if the pool were divided anew among all who run
or wait: guarantees first, the rest by weight, nobody more than it asks for or its cap allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.core.allocator.layout import Layout, listed
from scheduler.core.allocator.limits import NO_LIMIT
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.allocator.stock import Stock, stocks
from scheduler.core.model import Tier


@dataclass(frozen=True, slots=True)
class Standing:
    """Entitlement and use of one tree node and flavor, in milli-GPUs; an absent limit is None."""

    tree_node: str
    flavor: str
    weight_ppm: int
    guarantee: int
    effective_guarantee: int
    borrowing_limit: int | None
    lending_limit: int | None
    held_guaranteed: int
    held_borrow: int
    held_scavenge: int
    pending: int
    fair_share: int


class Claim(NamedTuple):
    """A part in a division: at least ``least``, at most ``most``, between them by weight."""

    least: int
    most: int
    weight_ppm: int


def fair_share(snapshot: Snapshot) -> dict[str, dict[str, int]]:
    """Flavor -> path -> milli-GPUs of every tree node that is listed, runs or waits."""
    layout, by_flavor = _picture(snapshot)
    demand = _pending(snapshot, layout)
    return {
        flavor: dict(zip(layout.paths, _divide(layout, stock, demand.get(flavor)), strict=True))
        for flavor, stock in by_flavor.items()
    }


def standings(snapshot: Snapshot) -> list[Standing]:
    """Where every tree node stands in every flavor, sorted by path and flavor."""
    layout, by_flavor = _picture(snapshot)
    pending = _pending(snapshot, layout)
    found = []
    for flavor, stock in by_flavor.items():
        shares = _divide(layout, stock, pending.get(flavor))
        waiting = _summed(layout, pending.get(flavor) or {})
        held = {tier: _summed(layout, _held(snapshot, layout, flavor, tier)) for tier in Tier}
        borrowing, lending = dict(layout.of(flavor).borrowing), dict(layout.of(flavor).lending)
        found += [
            Standing(
                path,
                flavor,
                layout.weight_ppm[node],
                stock.book.configured[node],
                stock.book.guarantee[node],
                borrowing.get(node),
                lending.get(node),
                held[Tier.GUARANTEED][node],
                held[Tier.BORROW][node],
                held[Tier.SCAVENGE][node],
                waiting[node],
                shares[node],
            )
            for node, path in enumerate(layout.paths)
        ]
    return sorted(found, key=lambda standing: (standing.tree_node, standing.flavor))


def split(total: int, claims: Sequence[Claim]) -> list[int]:
    """Divide ``total``: each claim gets level x weight, but at least its least and at most its most.

    The level is the one at which everything is given (or every claim has its most). Weight 0 gets its
    least first and more only when all others have their most. What rounding leaves goes by order.
    """
    shares = [claim.least for claim in claims]
    heavy = [number for number, claim in enumerate(claims) if claim.weight_ppm]
    light = [number for number, claim in enumerate(claims) if not claim.weight_ppm]
    for group in (heavy, light):
        rest = total - sum(shares)
        if rest > 0 and group:
            _fill(rest + sum(shares[number] for number in group), claims, group, shares)
    return shares


def _fill(total: int, claims: Sequence[Claim], group: list[int], shares: list[int]) -> None:
    """Fill one group to a common level: settle those that the level of a round puts past their bounds, and repeat."""
    active, rest = list(group), total
    while active:
        weight = {number: claims[number].weight_ppm or 1 for number in active}
        whole = sum(weight.values())
        # At the level rest / whole a claim is rest x weight / whole; compared times whole, nothing is rounded.
        low = [number for number in active if rest * weight[number] < claims[number].least * whole]
        high = [number for number in active if rest * weight[number] >= claims[number].most * whole]
        if not low and not high:
            for number in active:
                shares[number] = rest * weight[number] // whole
            break
        missing = sum(claims[number].least * whole - rest * weight[number] for number in low)
        spare = sum(rest * weight[number] - claims[number].most * whole for number in high)
        # Raising some to their least lowers the level for the others, holding some at their most raises it:
        # the stronger side is settled for good; where both are equal the level is the right one.
        settled = {number: claims[number].least for number in low} if missing >= spare else {}
        settled |= {number: claims[number].most for number in high} if spare >= missing else {}
        for number, share in settled.items():
            shares[number] = share
            rest -= share
        active = [number for number in active if number not in settled]
    rest = total - sum(shares[number] for number in group)
    for number in (*active, *group):
        more = min(1, rest, claims[number].most - shares[number])
        if more > 0:
            shares[number] += more
            rest -= more


def _picture(snapshot: Snapshot) -> tuple[Layout, dict[str, Stock]]:
    layout = listed(snapshot.tree).extended(snapshot.leaves)
    return layout, stocks(snapshot, layout)


def _pending(snapshot: Snapshot, layout: Layout) -> dict[str, dict[int, int]]:
    """Flavor -> leaf -> milli-GPUs that wait."""
    found: dict[str, dict[int, int]] = {}
    for job in snapshot.pending:
        leaves = found.setdefault(job.request.flavor, {})
        leaf = layout.numbers[job.leaf]
        leaves[leaf] = leaves.get(leaf, 0) + job.request.milli_gpus
    return found


def _held(snapshot: Snapshot, layout: Layout, flavor: str, tier: Tier) -> dict[int, int]:
    """Leaf -> milli-GPUs that it holds in a tier."""
    found: dict[int, int] = {}
    for attempt in snapshot.live:
        if attempt.request.flavor == flavor and attempt.tier is tier:
            leaf = layout.numbers[attempt.leaf]
            found[leaf] = found.get(leaf, 0) + attempt.request.milli_gpus
    return found


def _summed(layout: Layout, leaves: dict[int, int]) -> list[int]:
    """Amounts of leaves summed up the tree."""
    amounts = [0] * len(layout.paths)
    for leaf, milli_gpus in leaves.items():
        amounts[leaf] += milli_gpus
    for node in range(len(amounts) - 1, 0, -1):
        amounts[layout.parent[node]] += amounts[node]
    return amounts


def _divide(layout: Layout, stock: Stock, pending: dict[int, int] | None) -> list[int]:
    """Milli-GPUs per tree node when all of the flavor is divided from the root down."""
    size, parent, book = len(layout.paths), layout.parent, stock.book
    children: list[list[int]] = [[] for _ in range(size)]
    most = [0] * size
    for node in range(1, size):
        children[parent[node]].append(node)
    for node in range(size - 1, -1, -1):
        asked = book.used[node] if not children[node] else 0
        most[node] += asked + (pending or {}).get(node, 0)
        if book.cap[node] != NO_LIMIT:
            most[node] = min(most[node], book.cap[node])
        if node:
            most[parent[node]] += most[node]
    shares = [0] * size
    shares[0] = min(most[0], book.capacity)
    for node in range(size):
        if children[node]:
            claims = [Claim(min(most[c], book.guarantee[c]), most[c], layout.weight_ppm[c]) for c in children[node]]
            for child, share in zip(children[node], split(shares[node], claims), strict=True):
                shares[child] = share
    return shares
