"""The part of a policy for who does not read everything: no comments, and no other organisation's name."""

from __future__ import annotations

from collections.abc import Collection

import yaml

from scheduler.policy import fields

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
OVERRIDES = "overrides"
NAMES_NOBODY = frozenset(
    {
        *("apiVersion", "kind", "metadata", "timezone", "flavors", "tiers", "half_life", "limits", "classes"),
        *("rate_card", "billing", "valid_from", "won_per_gpu_hour"),
    }
)
"""Fields that name no organisation. One that is not here is left out, until somebody has decided that it names none."""


def excerpt(text: str, orgs: Collection[str]) -> str:
    """A valid policy text rendered anew: its documents without comments, and only overrides of ``orgs``.

    Values keep their text; what is left out is the overrides of other organisations and of their projects.
    """
    roots = yaml.compose_all(text.removeprefix("\ufeff"), _LOADER)
    documents = [_of_document(root, orgs) for root in roots if isinstance(root, yaml.MappingNode)]
    rendered: str = yaml.serialize_all(documents, Dumper=_DUMPER, width=120, explicit_start=True, allow_unicode=True)
    return rendered


def _of_document(document: yaml.MappingNode, orgs: Collection[str]) -> yaml.MappingNode:
    kept = []
    for key, value in document.value:
        if key.value == OVERRIDES and isinstance(value, yaml.SequenceNode):
            value.value = [item for item in value.value if _org_of(item) in orgs]
            kept += [(key, value)] if value.value else []
        elif key.value in NAMES_NOBODY:
            kept.append((key, value))
    document.value = kept
    _unfold(document)
    return document


def _unfold(node: yaml.Node) -> bool:
    """Write in lines of its own what between braces would need quotes, such as instants; True when there is any."""
    if isinstance(node, yaml.ScalarNode):
        return not node.style and ":" in node.value  # without quotes
    inner = [child for pair in node.value for child in (pair if isinstance(pair, tuple) else (pair,))]
    found = any([_unfold(child) for child in inner])  # noqa: C419 - each has to be unfolded, not only up to the first
    if found and isinstance(node, yaml.CollectionNode):
        node.flow_style = False
    return found


def _org_of(override: yaml.Node) -> str:
    """The organisation that an override is for, by itself or by its project; "" for what is none."""
    assert isinstance(override, yaml.MappingNode)
    named = {key.value: str(value.value) for key, value in override.value}
    org = named.get(fields.ORG.name, "")
    return org or named.get(fields.PROJECT.name, "").partition("/")[0]
