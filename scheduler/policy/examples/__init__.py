"""Example policies that ship with Dure: the one ``dure up`` begins with, and real programmes."""

from __future__ import annotations

from importlib import resources

DEFAULT = "default"


def names() -> list[str]:
    """Names of the examples, in order."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def text(name: str) -> str:
    """The YAML text of an example; raises KeyError for an unknown name."""
    if name not in names():
        raise KeyError(name)
    return resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
