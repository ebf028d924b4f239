"""What would change, or did: a text against a version, or two versions; as far as the asker may read either."""

from __future__ import annotations

import json

from scheduler.core.allocator.fairshare import standings
from scheduler.core.records import PolicyRecord, RateCardRecord
from scheduler.core.units import MILLI_PER_GPU
from scheduler.policy.diff import Priced, changes, guarantee_sums, price_changes
from scheduler.policy.effective import effective
from scheduler.policy.loader import LoadedPolicy, load
from scheduler.policy.model import Policy, RateCard
from scheduler.schema.bodies import (
    GuaranteeSumBody,
    PolicyChangeBody,
    PolicyDiffBody,
    PolicyDiffRequest,
    PolicyPriceBody,
    PolicyShrinkBody,
    finding_body,
)
from scheduler.services.actors import Actor
from scheduler.services.effective import EffectivePolicies, newest_policy, registry_of
from scheduler.services.pictures import picture
from scheduler.services.policies import FileRefused, fits, known_cards, policy_record
from scheduler.services.ports import Reader, Where
from scheduler.services.registry import capacity


def diff_text(
    view: Reader, policies: EffectivePolicies, actor: Actor, request: PolicyDiffRequest, now_ms: int
) -> PolicyDiffBody:
    """A text against the version that the request names, or the one in force; everything is new where there is none.

    Raises FileRefused with every mistake of the text, NotFound for a version that there is not. Administrators are also
    told why it could not be applied; who reads everything, who holds more than it would guarantee.
    """
    cards = known_cards(view)
    loaded = load(request.text, request.file, known_rate_cards=frozenset(cards))
    if isinstance(loaded, list):
        raise FileRefused(loaded)
    against = policy_record(view, request.against) if request.against else newest_policy(view)
    body = _diff(view, actor, _stored(view, policies, against) if against else None, _given(loaded, cards))
    refusals = fits(view, loaded, now_ms) if actor.is_admin else []
    return body.model_copy(
        update={
            "old_version": against.version if against else 0,
            "refusals": [finding_body(item) for item in refusals],
            "shrinks": _shrinks(view, policies, loaded.policy, now_ms) if actor.reads_all else [],
        }
    )


def diff_versions(view: Reader, policies: EffectivePolicies, actor: Actor, old: int, new: int) -> PolicyDiffBody:
    """Two versions; ``new`` 0 is the one in force, ``old`` 0 the one before ``new``. Raises NotFound."""
    later = policy_record(view, new)
    if old:
        earlier: PolicyRecord | None = policy_record(view, old)
    else:
        found = view.select(PolicyRecord, Where("version", "<", later.version), order=("-version",), limit=1)
        earlier = found[0] if found else None
    before = _stored(view, policies, earlier) if earlier else None
    body = _diff(view, actor, before, _stored(view, policies, later))
    return body.model_copy(
        update={"old_version": earlier.version if earlier else 0, "new_version": later.version},
    )


def _stored(view: Reader, policies: EffectivePolicies, record: PolicyRecord) -> Priced:
    card = view.get(RateCardRecord, record.rate_card)
    if card is None:
        raise ValueError(f"rate card {record.rate_card} of policy version {record.version} is not stored")
    return Priced(policies.parsed(record).policy, _card(card))


def _given(loaded: LoadedPolicy, cards: dict[str, RateCardRecord]) -> Priced:
    name = loaded.policy.rate_card
    beside = {card.name: card for card in loaded.rate_cards}
    return Priced(loaded.policy, beside[name] if name in beside else _card(cards[name]))


def _card(record: RateCardRecord) -> RateCard:
    return RateCard(record.name, record.valid_from_ms, json.loads(record.prices_json))


def _diff(view: Reader, actor: Actor, old: Priced | None, new: Priced) -> PolicyDiffBody:
    registered = capacity(view)
    return PolicyDiffBody(
        old_version=0,
        new_version=0,
        changes=[
            PolicyChangeBody.model_validate(
                {"path": item.path, "who": item.who, "change": item.change, "old": item.old, "new": item.new}
            )
            for item in changes(old, new)
            if not item.org or actor.sees_org(item.org)
        ],
        guarantees=[
            GuaranteeSumBody(
                flavor=item.flavor,
                before=item.before,
                after=item.after,
                registered=registered.get(item.flavor, 0) * MILLI_PER_GPU if registered else None,
            )
            for item in guarantee_sums(old, new)
        ],
        prices=[
            PolicyPriceBody(
                class_name=item.class_name,
                tier=item.tier.value,
                flavor=item.flavor,
                before_microwon=item.before_microwon,
                after_microwon=item.after_microwon,
            )
            for item in price_changes(old, new)
        ],
        refusals=[],
        shrinks=[],
        whole=actor.reads_all,
    )


def _shrinks(view: Reader, policies: EffectivePolicies, new: Policy, now_ms: int) -> list[PolicyShrinkBody]:
    """Tree nodes whose guarantee would fall below the guaranteed GPUs that they hold now."""
    current = policies.current(view, now_ms)
    if current is None:
        return []
    planned = effective(new, 0, registry_of(view), 0, now_ms).tree.nodes
    found = []
    for item in standings(picture(view, current, now_ms)):
        node = planned.get(item.tree_node)
        after = node.guarantee.get(item.flavor, 0) if node else 0
        if item.tree_node != "/" and after < item.guarantee and after < item.held_guaranteed:
            found.append(
                PolicyShrinkBody(
                    tree_node=item.tree_node,
                    flavor=item.flavor,
                    held=item.held_guaranteed,
                    before=item.guarantee,
                    after=after,
                )
            )
    return found
