"""Read our own source as syntax trees: modules, their imports, and the lines they take."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file: dotted name (a package's __init__ has the package's name), path from the root, and its tree."""

    name: str
    path: str
    text: str
    tree: ast.Module


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, where, and whether only inside a function (lazily)."""

    target: str
    line: int
    lazy: bool


def parse(name: str, text: str, path: str = "synthetic.py") -> Module:
    """A module from source text."""
    return Module(name, path, text, ast.parse(text))


def modules(*folders: str) -> list[Module]:
    """Every module under the folders, in the order of their paths."""
    found = []
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT)
            parts = path.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(parse(name, file.read_text(encoding="utf-8"), str(path)))
    return found


def imports(module: Module, known: frozenset[str] = frozenset()) -> list[Import]:
    """All imports; ``from a import b`` is ``a.b`` when that is a module in ``known``, else ``a``."""
    return list(_imports(module, module.tree, known, lazy=False))


def _imports(module: Module, tree: ast.AST, known: frozenset[str], *, lazy: bool) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(full if full in known else base, node.lineno, lazy)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(module, node, known, lazy=lazy or inside)


def _base(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = module.name.split(".")
    keep = len(package) - node.level + (1 if module.path.endswith("__init__.py") else 0)
    return ".".join([*package[:keep], *([node.module] if node.module else [])])


def owner(name: str, packages: frozenset[str]) -> str | None:
    """The longest of ``packages`` that is ``name`` or one of its parents."""
    parts = name.split(".")
    parents = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((parent for parent in parents if parent in packages), None)


def assert_none(errors: Iterable[str]) -> None:
    """Fail with every error on a line of its own."""
    found = list(errors)
    if found:
        raise AssertionError("\n".join([f"{len(found)} found:", *found]))


def tracked_files() -> list[Path]:
    """Every file that is or will be committed: what git tracks and what it neither tracks nor ignores."""
    # The home of a test has no settings: a checkout that somebody else owns is one all the same.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30)
    paths = sorted({ROOT / name for name in done.stdout.decode().split("\0") if name})
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def text_of(path: Path) -> str | None:
    """A file's text, or None for binary files."""
    data = path.read_bytes()
    if b"\0" in data[:8_192]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
