"""The sharing tree: pool / class / organisation / project / user, of any depth, over flavors.

A tree node is named by its path; its parent is the path without the last part. Entitlements are
milli-GPUs by flavor. An absent guarantee is 0, an absent limit is none (DESIGN section 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scheduler.core.units import PPM_ONE

ROOT = "/"
LEVELS = ("pool", "class", "organisation", "project", "user")


def parent_of(path: str) -> str:
    """Path of the parent; the root's parent is the root."""
    return path.rsplit("/", 1)[0] or ROOT


def lineage(path: str) -> tuple[str, ...]:
    """The path and its ancestors, leaf first, root last: ``/a/b`` -> ``(/a/b, /a, /)``."""
    found = []
    while path != ROOT:
        found.append(path)
        path = parent_of(path)
    return (*found, ROOT)


def class_of(path: str) -> str:
    """Name of the class that a path lies in; "" for the root."""
    return path.split("/")[1]


def level_of(path: str) -> str:
    """``pool``, ``class``, ``organisation``, ``project`` or ``user``; deeper ones are ``user`` too."""
    depth = 0 if path == ROOT else path.count("/")
    return LEVELS[min(depth, len(LEVELS) - 1)]


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One place in the sharing tree. Weight splits what siblings share; 0 is served last."""

    path: str
    weight_ppm: int = PPM_ONE
    guarantee: Mapping[str, int] = field(default_factory=dict)
    borrowing_limit: Mapping[str, int] = field(default_factory=dict)
    lending_limit: Mapping[str, int] = field(default_factory=dict)


class Tree:
    """Tree nodes by path, children sorted by path. Users may be absent: they weigh 1 and have no limits."""

    def __init__(self, nodes: Iterable[TreeNode]) -> None:
        self.nodes: dict[str, TreeNode] = {node.path: node for node in sorted(nodes, key=lambda node: node.path)}
        self.nodes.setdefault(ROOT, TreeNode(ROOT))
        self.children: dict[str, tuple[str, ...]] = {}
        grouped: dict[str, list[str]] = {}
        for path in self.nodes:
            if path != ROOT:
                grouped.setdefault(parent_of(path), []).append(path)
        for path, found in grouped.items():
            self.children[path] = tuple(found)

    def node(self, path: str) -> TreeNode:
        """The tree node at ``path``; an unlisted one has weight 1 and no entitlements of its own."""
        return self.nodes.get(path) or TreeNode(path)

    def __contains__(self, path: str) -> bool:
        return path in self.nodes
