"""Paths of the sharing tree, and how nodes and children are found."""

from __future__ import annotations

import pytest

from scheduler.core.tree import ROOT, Tree, TreeNode, level_of, lineage, parent_of
from scheduler.core.units import PPM_ONE

PATHS = {  # path: (parent, level, lineage)
    "/": ("/", "pool", ("/",)),
    "/sme": ("/", "class", ("/sme", "/")),
    "/sme/a": ("/sme", "organisation", ("/sme/a", "/sme", "/")),
    "/sme/a/p": ("/sme/a", "project", ("/sme/a/p", "/sme/a", "/sme", "/")),
    "/sme/a/p/kim": ("/sme/a/p", "user", ("/sme/a/p/kim", "/sme/a/p", "/sme/a", "/sme", "/")),
    "/sme/a/p/kim/x": ("/sme/a/p/kim", "user", ("/sme/a/p/kim/x", "/sme/a/p/kim", "/sme/a/p", "/sme/a", "/sme", "/")),
}


@pytest.mark.parametrize(("path", "facts"), PATHS.items())
def test_paths(path: str, facts: tuple[str, str, tuple[str, ...]]) -> None:
    assert (parent_of(path), level_of(path), lineage(path)) == facts


def test_children_are_sorted_and_the_root_is_always_there() -> None:
    tree = Tree([TreeNode("/b"), TreeNode("/a/z"), TreeNode("/a"), TreeNode("/a/y")])
    assert tree.children == {"/": ("/a", "/b"), "/a": ("/a/y", "/a/z")}
    assert ROOT in tree and "/a/y" in tree and "/c" not in tree


def test_an_unlisted_tree_node_has_weight_one_and_nothing_of_its_own() -> None:
    assert Tree([]).node("/sme/a/p/kim") == TreeNode("/sme/a/p/kim", PPM_ONE, {}, {}, {})


def test_a_listed_tree_node_is_found() -> None:
    node = TreeNode("/sme", 35_000_000, {"h100": 80_000}, {"h100": 128_000}, {"h100": 48_000})
    assert Tree([node]).node("/sme") is node
    assert Tree([TreeNode("/", guarantee={"h100": 5})]).nodes["/"].guarantee == {"h100": 5}
