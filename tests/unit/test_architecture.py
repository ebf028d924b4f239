"""The house's rules as tests: which package may import which, what the core may not touch, how light the CLI is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from tests.support import layers, source
from tests.support.source import ROOT, Module

OURS = ("scheduler", "operators")
# Words that every layer shares: how an error looks, and units.
VOCABULARY = frozenset({"scheduler.core.errors", "scheduler.core.units"})

# Package -> our packages it may import (itself always). A module belongs to the longest name that fits it.
MAY_IMPORT = layers.may_import(layers.PAGE.read_text(encoding="utf-8"))
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
    "typst": frozenset({"scheduler.documents"}),
    "uvicorn": frozenset({"scheduler.main"}),
    "yaml": frozenset({"scheduler.policy", "scheduler.cli", "scheduler.schema"}),
}

# All that the core needs of the standard library; one that is not here reads a clock or a file, or makes floats.
_CORE_MODULES = """
    __future__ abc bisect collections dataclasses enum fractions functools hashlib heapq itertools json math operator
    re types typing
"""
CORE_MODULES = frozenset(_CORE_MODULES.split())
# What steps with time as an argument may not reach for, so that the world can run it: services, and an operator's loop.
_WORLDLY = "asyncio concurrent logging multiprocessing os random secrets socket subprocess threading time uuid"
WORLDLY = frozenset(_WORLDLY.split())
STEPPED = ("scheduler.services", "operators.loop", "operators.ports")
# Packages that may import a module by a name made at run time, and why.
BY_NAME = {
    "scheduler.main": "the composition root joins everything anyway",
    "scheduler.cli.base": "a command's module is imported when the command is called: `dure --help` loads none",
}
DATA_OF_PACKAGES = frozenset({"importlib.metadata", "importlib.resources"})
CORE_BANNED_CALLS = frozenset({"open", "print", "input", "exec", "eval", "hash", "id", "__import__"})
_CORE_BANNED_ATTRIBUTES = """
    now utcnow today fromtimestamp utcfromtimestamp timestamp total_seconds as_integer_ratio truediv itruediv
    __truediv__ __float__
"""
CORE_BANNED_ATTRIBUTES = frozenset(_CORE_BANNED_ATTRIBUTES.split())
MATH_ALLOWED = frozenset({"ceil", "comb", "floor", "gcd", "isqrt", "lcm", "perm", "prod", "trunc"})

PACKAGES = frozenset(MAY_IMPORT)
HEAVY = (
    "alembic",
    "fastapi",
    "kubernetes",
    "numpy",
    "psycopg",
    "ray",
    "sklearn",
    "sqlalchemy",
    "sqlmodel",
    "typst",
    "uvicorn",
)


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
    """What the core may not contain: clocks, randomness, I/O, floats, and anything that is not in CORE_MODULES."""
    errors = []
    for item in source.imports(module):
        top = item.target.split(".")[0]
        if top not in CORE_MODULES and top != "scheduler":
            errors.append(f"{module.path}:{item.line}: core may not import {item.target}")
    for node in ast.walk(module.tree):
        fault = impurity(node)
        if fault:
            errors.append(f"{module.path}:{getattr(node, 'lineno', 0)}: {fault}")
    return errors


def worldly_errors(module: Module) -> list[str]:
    """Clocks, threads, randomness and the like in what the world must be able to run under its own time."""
    return [
        f"{module.path}:{item.line}: {module.name} may not import {item.target}; it is given time, ids and ports"
        for item in source.imports(module)
        if source.owner(module.name, frozenset(STEPPED)) and item.target.split(".")[0] in WORLDLY
    ]


def by_name_errors(module: Module) -> list[str]:
    """Modules imported by a name made at run time: no rule of this file could see which."""
    if source.owner(module.name, frozenset(BY_NAME)):
        return []
    errors = [
        f"{module.path}:{item.line}: no {item.target}"
        for item in source.imports(module, DATA_OF_PACKAGES)
        if item.target.split(".")[0] in ("importlib", "runpy", "pkgutil")
        and source.owner(item.target, DATA_OF_PACKAGES) is None
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id == "__import__":
            errors.append(f"{module.path}:{node.lineno}: no __import__")
    return errors


def impurity(node: ast.AST) -> str:
    """Why a node may not stand in the core; empty when it may."""
    match node:
        case ast.Constant(value=float() | complex()):
            return f"float literal {node.value!r}"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return "true division makes floats; use //"
        case ast.Name(id="float" | "complex"):
            return f"{node.id} in core"
        case ast.Call(func=ast.Name(id=name)) if name in CORE_BANNED_CALLS:
            return f"{name}() in core"
        case ast.Attribute(attr=name) if name in CORE_BANNED_ATTRIBUTES:
            return f".{name} in core"
        case ast.Attribute(value=ast.Name(id="math"), attr=name) if name not in MATH_ALLOWED:
            return f"math.{name} makes floats"
        case ast.ImportFrom(module="operator") if {alias.name for alias in node.names} & CORE_BANNED_ATTRIBUTES:
            return "true division makes floats"
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


def test_what_steps_is_given_time() -> None:
    source.assert_none(error for module in ALL for error in worldly_errors(module))


def test_no_module_is_imported_by_a_name_made_at_run_time() -> None:
    source.assert_none(error for module in ALL for error in by_name_errors(module))


def test_exceptions_are_used() -> None:
    """Who needs no exception has none; main's stands for its place."""
    assert {module.name for module in ALL if "import_module(" in module.text} == BY_NAME.keys() - {"scheduler.main"}


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
    "true division": (purity_errors, "scheduler.core.x", "def f(a, b): return a / b > 1"),
    "true division in place": (purity_errors, "scheduler.core.x", "a /= 2"),
    "true division as a function": (purity_errors, "scheduler.core.x", "from operator import truediv"),
    "true division of the module": (purity_errors, "scheduler.core.x", "import operator\noperator.truediv(1, 2)"),
    "seconds of an instant": (purity_errors, "scheduler.core.x", "late = x.timestamp() > 3"),
    "seconds of a duration": (purity_errors, "scheduler.core.x", "late = x.total_seconds() > 3"),
    "a module that nobody allowed": (purity_errors, "scheduler.core.x", "import statistics"),
    "dates": (purity_errors, "scheduler.core.x", "from datetime import datetime"),
    "the core imports by name": (
        by_name_errors,
        "scheduler.core.x",
        'importlib.import_module("time").time()\nimport importlib',
    ),
    "a service imports by name": (by_name_errors, "scheduler.services.x", "from importlib import import_module"),
    "an operator imports by name": (by_name_errors, "operators.local.x", "import importlib.util"),
    "a command imports by name": (by_name_errors, "scheduler.cli.commands.x", "import importlib"),
    "the built-in function": (by_name_errors, "scheduler.api.x", '__import__("time")'),
    "the built-in function under another name": (by_name_errors, "scheduler.api.x", "load = __import__"),
    "a module is run": (by_name_errors, "scheduler.store.x", "import runpy"),
    "a service reads a clock": (worldly_errors, "scheduler.services.why", "import os, time"),
    "a service draws": (worldly_errors, "scheduler.services.submit", "from secrets import token_hex"),
    "a service writes a log": (worldly_errors, "scheduler.services.x.y", "def f():\n    import logging"),
    "the loop sleeps": (worldly_errors, "operators.loop", "from time import sleep"),
    "the loop starts threads": (worldly_errors, "operators.loop", "import threading"),
    "a port waits": (worldly_errors, "operators.ports", "import asyncio.events"),
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
    "whole division": (purity_errors, "scheduler.core.x", "half = 3 // 2"),
    "json": (purity_errors, "scheduler.core.x", "import json"),
    "data of a package": (by_name_errors, "scheduler.policy.x", "from importlib import resources"),
    "the version": (by_name_errors, "scheduler.api.x", "from importlib.metadata import version"),
    "a command is loaded when it is called": (by_name_errors, "scheduler.cli.base", "import importlib"),
    "a backend has clocks": (worldly_errors, "operators.local.ray", "import time, threading"),
    "a driver has clocks": (worldly_errors, "scheduler.main.drivers", "import time, threading"),
    "a service compares keys": (worldly_errors, "scheduler.services.tokens", "import hmac"),
    "whole-number mathematics": (purity_errors, "scheduler.core.x", "import math\nroot = math.isqrt(2)"),
}


TABLE = f"{layers.HEADER}\n|---|---|---|\n"
ROWS = (
    "| `scheduler/a` | x | nothing |\n| `scheduler/a/b` | x | `scheduler/a` |\n| `operators/c` | x | {} |\n\n| no row |"
)
CELLS: dict[str, set[str]] = {
    "everything": {"scheduler", "operators", "scheduler.a", "scheduler.a.b", "operators.c"},
    "everything but `scheduler/a`": {"scheduler", "operators", "scheduler.a.b", "operators.c"},
    "`scheduler/a`, `scheduler/a/b`": {"scheduler.a", "scheduler.a.b"},
    "nothing": set(),
}


@pytest.mark.parametrize(("cell", "allowed"), CELLS.items(), ids=CELLS.keys())
def test_the_table_is_read(cell: str, allowed: set[str]) -> None:
    table = layers.may_import(TABLE + ROWS.format(cell))
    assert table.pop("operators.c") == allowed
    none = frozenset[str]()
    assert table == {"scheduler": none, "operators": none, "scheduler.a": none, "scheduler.a.b": {"scheduler.a"}}


@pytest.mark.parametrize(
    "cell", ["", "core", "`scheduler/z`", "everything but", "all but `scheduler/a`", "nothing `scheduler/a`"]
)
def test_a_table_that_cannot_be_read_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read|has no row"):
        layers.may_import(TABLE + ROWS.format(cell))


def test_a_page_without_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        layers.may_import("# Architecture\n")


@pytest.mark.parametrize(("check", "name", "text"), BAD.values(), ids=BAD.keys())
def test_a_broken_rule_is_found(check: Check, name: str, text: str) -> None:
    assert check(source.parse(name, text, name.replace(".", "/") + ".py")) != []


@pytest.mark.parametrize(("check", "name", "text"), GOOD.values(), ids=GOOD.keys())
def test_a_kept_rule_is_not_reported(check: Check, name: str, text: str) -> None:
    assert check(source.parse(name, text)) == []
