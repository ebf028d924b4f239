"""The house's rules as tests: which package may import which, what the core may not touch, how light the CLI is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from tests.support import source
from tests.support.source import ROOT, Module

OURS = ("scheduler", "operators")
# Words that every layer shares: how an error looks, and units.
VOCABULARY = frozenset({"scheduler.core.errors", "scheduler.core.units"})

# Package -> our packages it may import (itself always). A module belongs to the longest name that fits it.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "scheduler": frozenset(),
    "scheduler.core": frozenset(),
    "scheduler.config": frozenset({"scheduler.core"}),
    "scheduler.schema": frozenset({"scheduler.core"}),
    "scheduler.policy": frozenset({"scheduler.core", "scheduler.schema"}),
    "scheduler.store": frozenset({"scheduler.core", "scheduler.store.memory"}),
    "scheduler.store.memory": frozenset({"scheduler.core"}),
    "scheduler.meter": frozenset({"scheduler.core"}),
    "scheduler.services": frozenset({"scheduler.core", "scheduler.policy", "scheduler.schema"}),
    "scheduler.api": frozenset({"scheduler.services", "scheduler.schema"}),
    "scheduler.web": frozenset({"scheduler.services", "scheduler.schema"}),
    "scheduler.client": frozenset({"scheduler.schema"}),
    "scheduler.client.job": frozenset(),
    "scheduler.cli": frozenset({"scheduler.client", "scheduler.schema", "scheduler.main"}),
    "scheduler.sim": frozenset({"scheduler.services", "scheduler.policy", "scheduler.store.memory", "scheduler.core"}),
    "operators": frozenset(),
    "operators.ports": frozenset({"scheduler.core", "scheduler.client", "scheduler.schema"}),
    "operators.loop": frozenset({"operators.ports", "scheduler.core", "scheduler.client", "scheduler.schema"}),
    "operators.http": frozenset({"operators.ports", "scheduler.core", "scheduler.client", "scheduler.schema"}),
    "operators.metrics": frozenset({"operators.ports", "scheduler.core"}),
    "operators.local": frozenset(
        {"operators.ports", "operators.loop", "scheduler.core", "scheduler.client", "scheduler.schema"}
    ),
    "operators.kubernetes": frozenset(
        {"operators.ports", "operators.loop", "scheduler.core", "scheduler.client", "scheduler.schema"}
    ),
}
# The two composition roots: the world joins all but what people see, main joins everything.
MAY_IMPORT["scheduler.sim.world"] = frozenset(MAY_IMPORT) - {"scheduler.cli", "scheduler.web"}
MAY_IMPORT["scheduler.main"] = frozenset(MAY_IMPORT)
LAZY_ONLY = {"scheduler.main"}  # `dure serve` pays for the server; `dure --help` must not

# Third party -> where it may be imported. One that is not here is new: give it a row in docs/dependencies.md and here.
THIRD_PARTY: dict[str, frozenset[str]] = {
    "aiohttp": frozenset({"operators.kubernetes"}),
    "alembic": frozenset({"scheduler.store"}),
    "click": frozenset({"scheduler.cli", "scheduler.main"}),
    "fastapi": frozenset({"scheduler.api", "scheduler.web", "scheduler.main"}),
    "httpx": frozenset({"scheduler.client", "scheduler.meter", "operators.local"}),
    "jinja2": frozenset({"scheduler.web"}),
    "kubernetes": frozenset({"operators.kubernetes"}),
    "pathspec": frozenset({"scheduler.client"}),
    "prometheus_client": frozenset({"scheduler.meter", "scheduler.main", "operators.metrics"}),
    "psutil": frozenset({"operators.local"}),
    "psycopg": frozenset({"scheduler.store"}),
    "pydantic": frozenset(
        {"scheduler.schema", "scheduler.policy", "scheduler.api", "scheduler.web", "scheduler.config"}
    ),
    "pynvml": frozenset({"operators.local"}),
    "ray": frozenset({"operators.local"}),
    "rich": frozenset({"scheduler.cli", "scheduler.main"}),
    "sqlalchemy": frozenset({"scheduler.store"}),
    "sqlmodel": frozenset({"scheduler.store"}),
    "starlette": frozenset({"scheduler.api", "scheduler.web", "scheduler.main"}),
    "uvicorn": frozenset({"scheduler.main"}),
    "yaml": frozenset({"scheduler.policy", "scheduler.cli", "scheduler.schema"}),
}

_BANNED = """
    asyncio concurrent contextvars glob http io locale logging multiprocessing os pathlib pickle platform queue
    random sched secrets select selectors shutil signal socket sqlite3 ssl subprocess sys tempfile threading time
    urllib uuid warnings zoneinfo
"""
CORE_BANNED_MODULES = frozenset(_BANNED.split())
CORE_BANNED_CALLS = frozenset({"open", "print", "input", "exec", "eval", "hash", "id", "__import__"})
CORE_BANNED_ATTRIBUTES = frozenset({"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "as_integer_ratio"})
MATH_ALLOWED = frozenset({"ceil", "comb", "floor", "gcd", "isqrt", "lcm", "perm", "prod", "trunc"})

PACKAGES = frozenset(MAY_IMPORT)
HEAVY = ("alembic", "fastapi", "kubernetes", "numpy", "psycopg", "ray", "sklearn", "sqlalchemy", "sqlmodel", "uvicorn")


def import_errors(module: Module, known: frozenset[str]) -> list[str]:
    """Our imports that go against MAY_IMPORT, and eager ones of what must be lazy."""
    home = source.owner(module.name, PACKAGES)
    errors = []
    if home == "scheduler" and module.name != home:
        errors.append(f"{module.path}: {module.name} is in no package of MAY_IMPORT; give it a place")
    for item in source.imports(module, known):
        target = source.owner(item.target, PACKAGES)
        if target is None or target == home or item.target in VOCABULARY:
            continue
        if home is None or target not in MAY_IMPORT[home]:
            errors.append(f"{module.path}:{item.line}: {home} may not import {item.target}")
        elif target in LAZY_ONLY and not item.lazy:
            errors.append(f"{module.path}:{item.line}: import {item.target} inside the function that needs it")
    return errors


def third_party_errors(module: Module) -> list[str]:
    """Third parties that are imported outside their place, or are in no place at all."""
    home = source.owner(module.name, PACKAGES) or module.name
    errors = []
    for item in source.imports(module):
        top = item.target.split(".")[0]
        if top in sys.stdlib_module_names or top in OURS:
            continue
        # memory and the in-job helper are their own packages and hence get nothing from their parents
        if home not in THIRD_PARTY.get(top, frozenset()):
            errors.append(f"{module.path}:{item.line}: {home} may not import {item.target}")
    return errors


def purity_errors(module: Module) -> list[str]:
    """What the core may not contain: clocks, randomness, I/O, floats, and anything beyond the standard library."""
    errors = []
    for item in source.imports(module):
        top = item.target.split(".")[0]
        if top in CORE_BANNED_MODULES or (top not in sys.stdlib_module_names and top != "scheduler"):
            errors.append(f"{module.path}:{item.line}: core may not import {item.target}")
    for node in ast.walk(module.tree):
        fault = impurity(node)
        if fault:
            errors.append(f"{module.path}:{getattr(node, 'lineno', 0)}: {fault}")
    return errors


def impurity(node: ast.AST) -> str:
    """Why a node may not stand in the core; empty when it may."""
    match node:
        case ast.Constant(value=float() | complex()):
            return f"float literal {node.value!r}"
        case ast.Name(id="float" | "complex"):
            return f"{node.id} in core"
        case ast.Call(func=ast.Name(id=name)) if name in CORE_BANNED_CALLS:
            return f"{name}() in core"
        case ast.Attribute(attr=name) if name in CORE_BANNED_ATTRIBUTES:
            return f".{name} in core"
        case ast.Attribute(value=ast.Name(id="math"), attr=name) if name not in MATH_ALLOWED:
            return f"math.{name} makes floats"
        case ast.ImportFrom(module="math") if {alias.name for alias in node.names} - MATH_ALLOWED:
            return "a function of math that makes floats"
    return ""


ALL = source.modules(*OURS)
KNOWN = frozenset(module.name for module in ALL)


def test_there_is_something_to_check() -> None:
    assert {"scheduler.core", "operators"} <= KNOWN


def test_imports_go_one_way() -> None:
    source.assert_none(error for module in ALL for error in import_errors(module, KNOWN))


def test_third_parties_stay_in_their_place() -> None:
    source.assert_none(error for module in ALL for error in third_party_errors(module))


def test_core_is_pure() -> None:
    core = [module for module in ALL if module.name.split(".")[:2] == ["scheduler", "core"]]
    source.assert_none(error for module in core for error in purity_errors(module))


def test_every_third_party_is_documented() -> None:
    documented = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    names = {"prometheus_client": "prometheus-client", "pynvml": "nvidia-ml-py", "yaml": "pyyaml"}
    source.assert_none(name for name in THIRD_PARTY if f"| {names.get(name, name)}" not in documented)


def loaded_after(modules: Sequence[str], unwanted: tuple[str, ...]) -> list[str]:
    """Which of ``unwanted`` a fresh interpreter has loaded after importing ``modules``."""
    code = f"import sys, {', '.join(modules)}; print(*sorted(set({unwanted!r}) & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_the_command_line_starts_light() -> None:
    commands = [module.name for module in ALL if module.name.startswith("scheduler.cli")]
    assert loaded_after(commands, HEAVY) == []


def test_the_in_job_helper_needs_nothing_but_python() -> None:
    helper = [name for name in ("scheduler.client", "scheduler.client.job") if name in KNOWN]
    assert loaded_after(helper, ("click", "httpx", "pydantic", "rich", "yaml", *HEAVY)) == []


def test_a_heavy_import_would_be_seen() -> None:
    assert loaded_after(["sqlmodel"], HEAVY) == ["sqlalchemy", "sqlmodel"]


Check = Callable[[Module], list[str]]


def check_imports(module: Module) -> list[str]:
    """import_errors with the real table of modules."""
    return import_errors(module, KNOWN | {"scheduler.store.memory", "scheduler.main", "operators.loop"})


BAD: dict[str, tuple[Check, str, str]] = {
    "core imports policy": (check_imports, "scheduler.core.tree", "from scheduler.policy import load"),
    "core imports a sibling of core": (check_imports, "scheduler.core.x", "from scheduler import policy"),
    "relative": (check_imports, "scheduler.core.tree", "from ..store import tables"),
    "api imports the store": (check_imports, "scheduler.api.routes", "import scheduler.store.tables"),
    "api decides": (check_imports, "scheduler.api.routes", "from scheduler.core.allocator import cycle"),
    "services import an adapter": (check_imports, "scheduler.services.submit", "from scheduler.meter import promql"),
    "cli imports main eagerly": (check_imports, "scheduler.cli.up", "from scheduler.main import up"),
    "cli imports core": (check_imports, "scheduler.cli.up", "def f():\n    from scheduler.core import tree"),
    "simulation imports a real store": (check_imports, "scheduler.sim.replay", "from scheduler.store import tables"),
    "world imports main": (check_imports, "scheduler.sim.world.run", "def f():\n    from scheduler.main import up"),
    "world imports the web": (check_imports, "scheduler.sim.world.run", "import scheduler.web.pages"),
    "operators import services": (check_imports, "operators.loop", "from scheduler.services import ports"),
    "one operator imports another": (check_imports, "operators.local.ray", "import operators.kubernetes.manifest"),
    "scheduler imports operators": (check_imports, "scheduler.services.submit", "from operators import loop"),
    "main is imported": (check_imports, "scheduler.services.submit", "def f():\n    import scheduler.main"),
    "a module without a place": (check_imports, "scheduler.helpers", ""),
    "only for types": (check_imports, "scheduler.core.x", "if TYPE_CHECKING:\n    from scheduler.store import tables"),
    "ray in the scheduler": (third_party_errors, "scheduler.services.submit", "import ray"),
    "kubernetes in the local operator": (third_party_errors, "operators.local.ray", "from kubernetes import client"),
    "sqlmodel in a service": (third_party_errors, "scheduler.services.submit", "def f():\n    import sqlmodel"),
    "sqlalchemy in the memory store": (third_party_errors, "scheduler.store.memory", "import sqlalchemy.orm"),
    "rich in the client": (third_party_errors, "scheduler.client.http", "from rich import print"),
    "httpx in the in-job helper": (third_party_errors, "scheduler.client.job", "import httpx"),
    "unknown third party": (third_party_errors, "scheduler.cli.main", "import pandas"),
    "clock": (purity_errors, "scheduler.core.x", "from time import monotonic"),
    "submodule of a banned one": (purity_errors, "scheduler.core.x", "import os.path"),
    "third party": (purity_errors, "scheduler.core.x", "import yaml"),
    "now": (purity_errors, "scheduler.core.x", "at = datetime.now(UTC)"),
    "today": (purity_errors, "scheduler.core.x", "at = date.today()"),
    "float literal": (purity_errors, "scheduler.core.x", "half = 0.5"),
    "exponent": (purity_errors, "scheduler.core.x", "million = 1e6"),
    "float call": (purity_errors, "scheduler.core.x", "ratio = float(3)"),
    "float type": (purity_errors, "scheduler.core.x", "def f(x: float) -> None: ..."),
    "square root": (purity_errors, "scheduler.core.x", "import math\nroot = math.sqrt(2)"),
    "logarithm": (purity_errors, "scheduler.core.x", "from math import log2"),
    "print": (purity_errors, "scheduler.core.x", "print('here')"),
    "hash differs between processes": (purity_errors, "scheduler.core.x", "key = hash('a')"),
    "file": (purity_errors, "scheduler.core.x", "text = open('x').read()"),
}
GOOD: dict[str, tuple[Check, str, str]] = {
    "services import core": (check_imports, "scheduler.services.submit", "from scheduler.core import tree"),
    "api raises our errors": (check_imports, "scheduler.api.routes", "from scheduler.core.errors import Fatal"),
    "cli imports main lazily": (check_imports, "scheduler.cli.up", "def f():\n    from scheduler.main import up"),
    "simulation uses the memory store": (check_imports, "scheduler.sim.replay", "from scheduler.store import memory"),
    "world joins": (check_imports, "scheduler.sim.world.run", "import operators.loop"),
    "main joins": (check_imports, "scheduler.main", "import operators.local.ray, scheduler.api.app"),
    "ray in its operator": (third_party_errors, "operators.local.ray", "import ray"),
    "fractions": (purity_errors, "scheduler.core.x", "from fractions import Fraction\nhalf = Fraction(1, 2)"),
    "whole-number mathematics": (purity_errors, "scheduler.core.x", "import math\nroot = math.isqrt(2)"),
}


@pytest.mark.parametrize(("check", "name", "text"), BAD.values(), ids=BAD.keys())
def test_a_broken_rule_is_found(check: Check, name: str, text: str) -> None:
    assert check(source.parse(name, text, name.replace(".", "/") + ".py")) != []


@pytest.mark.parametrize(("check", "name", "text"), GOOD.values(), ids=GOOD.keys())
def test_a_kept_rule_is_not_reported(check: Check, name: str, text: str) -> None:
    assert check(source.parse(name, text)) == []
