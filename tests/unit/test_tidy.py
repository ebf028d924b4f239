"""Tidiness as tests: sizes, docstrings, left-overs, and nothing of one machine in what is committed."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator

import pytest

from tests.support import source
from tests.support.source import ROOT, Module

FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 400
# "path" or "path:function" -> its lines. May only shrink: lower a number when the code shrank, add none.
OVERSIZED: dict[str, int] = {}

CODE = ("scheduler", "operators", "tests", "scripts", "bench", "examples")
LEFT_OVERS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
# Absolute paths of somebody's machine, and hosts that serve packages or images; a lock or a doc must not need one.
MACHINE_PATHS = re.compile(r"(?<![\w.~})/-])/(" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me")) + r")/")
HOSTS = (
    *("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com"),
    *("proxy.go" + "lang.org", "crates" + ".io", "docker" + ".io", "ghcr" + ".io", "quay" + ".io", "gcr" + ".io"),
    *("registry.k8s" + ".io", "nvcr" + ".io"),
)
REGISTRY_HOSTS = re.compile("|".join(re.escape(host) for host in HOSTS))

SUPPRESSION = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:|nosec|pylint:|mypy:|ruff:|fmt:)", re.IGNORECASE)
REASONED = re.compile(
    r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[\w, -]+\]|pragma: no cover)\s*(?:#|-)\s*\w.{9,}"
)

MODULES = source.modules(*CODE)
FILES = source.tracked_files()

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sizes(module: Module) -> Iterator[tuple[str, int, int]]:
    """(key of OVERSIZED, lines, limit) of the module and of each function in it, nested ones too."""
    yield module.path, module.text.count("\n"), MODULE_LINES_MAX
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield f"{module.path}:{node.name}", lines, FUNCTION_LINES_MAX


def oversized(module: Module, allowed: dict[str, int]) -> list[str]:
    """What is longer than its limit, or than its entry in ``allowed``; and entries that could be lowered."""
    errors = []
    for key, lines, limit in sizes(module):
        if lines > allowed.get(key, limit):
            errors.append(f"{key}: {lines} lines, at most {allowed.get(key, limit)}")
        elif key in allowed and lines < allowed[key]:
            errors.append(f"{key}: shrank to {lines} lines; lower or remove its entry in OVERSIZED")
    return errors


def undocumented(module: Module) -> list[str]:
    """Public modules, classes, functions and methods without a docstring."""
    missing = [] if ast.get_docstring(module.tree) else [f"{module.path}: module"]
    return missing + [
        f"{module.path}:{node.lineno}: {node.name}" for node in public_nodes(module.tree) if not ast.get_docstring(node)
    ]


def public_nodes(tree: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    """Public classes and functions of a module, and public methods of those classes, but for special methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_nodes(node)


def unreasoned(module: Module) -> list[str]:
    """Suppressing comments without the exact code and a reason of at least ten characters."""
    comments = (
        token for token in tokenize.generate_tokens(io.StringIO(module.text).readline) if token.type == tokenize.COMMENT
    )
    return [
        f"{module.path}:{token.start[0]}: {token.string}"
        for token in comments
        if SUPPRESSION.search(token.string) and not REASONED.search(token.string)
    ]


def matches(pattern: re.Pattern[str], path: str, text: str) -> list[str]:
    """Each line of a text in which the pattern is found."""
    if not pattern.search(text):
        return []
    return [
        f"{path}:{number}: {line[:100]}" for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)
    ]


def in_tracked_text(pattern: re.Pattern[str]) -> list[str]:
    """Matches in every text file that is committed."""
    texts = ((str(path.relative_to(ROOT)), source.text_of(path)) for path in FILES)
    return [error for path, text in texts if text is not None for error in matches(pattern, path, text)]


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 20
    assert {"pyproject.toml", "Makefile", "requirements.lock"} <= {path.name for path in FILES}


def test_nothing_is_oversized() -> None:
    source.assert_none(error for module in MODULES for error in oversized(module, OVERSIZED))


def test_there_is_no_exception() -> None:
    """There was none once, so there will be none: what is too long is divided."""
    assert OVERSIZED == {}


def test_every_folder_of_code_is_checked() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in FILES if path.suffix == ".py"}
    assert folders == set(CODE)


def test_core_is_documented() -> None:
    core = [module for module in MODULES if module.name.startswith("scheduler.core")]
    source.assert_none(error for module in core for error in undocumented(module))


def test_suppressions_carry_reasons() -> None:
    source.assert_none(error for module in MODULES for error in unreasoned(module))


def test_nothing_is_left_for_later() -> None:
    source.assert_none(in_tracked_text(LEFT_OVERS))


def test_no_path_of_a_machine_is_committed() -> None:
    source.assert_none(in_tracked_text(MACHINE_PATHS))


def test_no_registry_is_named() -> None:
    source.assert_none(in_tracked_text(REGISTRY_HOSTS))


def test_locks_name_no_host_and_hash_everything() -> None:
    for lock in sorted(ROOT.glob("*.lock")):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, lock.name
        pinned = re.findall(r"^[a-z0-9].*?==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        assert len(pinned) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 0, lock.name


def check_size(text: str) -> list[str]:
    """oversized on a synthetic module without exceptions."""
    return oversized(source.parse("x", text), {})


def check_docs(text: str) -> list[str]:
    """undocumented on a synthetic module."""
    return undocumented(source.parse("x", text))


def check_suppressions(text: str) -> list[str]:
    """unreasoned on a synthetic module."""
    return unreasoned(source.parse("x", text))


def check_left_overs(text: str) -> list[str]:
    """Words that promise work."""
    return matches(LEFT_OVERS, "x", text)


def check_paths(text: str) -> list[str]:
    """Absolute paths of a machine."""
    return matches(MACHINE_PATHS, "x", text)


def check_hosts(text: str) -> list[str]:
    """Hosts of registries."""
    return matches(REGISTRY_HOSTS, "x", text)


DOC = '"""A module."""\n'
NO_QA = "# no" + "qa"
IGNORE = "# type: " + "ignore"
BODY_49 = "    pass\n" * 49
Check = Callable[[str], list[str]]
CASES: dict[str, tuple[Check, str, int]] = {
    "function of 50 lines": (check_size, f"def f():\n{BODY_49}", 0),
    "function of 51 lines": (check_size, f"def f():\n{BODY_49}    pass\n", 1),
    "method of 51 lines": (check_size, "class C:\n    def f(self):\n" + "        pass\n" * 50, 1),
    "module of 400 lines": (check_size, "x = 1\n" * 400, 0),
    "module of 401 lines": (check_size, "x = 1\n" * 401, 1),
    "module without docstring": (check_docs, "x = 1\n", 1),
    "function without docstring": (check_docs, f"{DOC}def f(): ...\n", 1),
    "class and method without docstring": (check_docs, f"{DOC}class C:\n    def f(self): ...\n", 2),
    "private and special names need none": (check_docs, f"{DOC}class _C:\n    def __init__(self): ...\n", 0),
    "bare noqa": (check_suppressions, f"x = 1  {NO_QA}\n", 1),
    "noqa without reason": (check_suppressions, f"x = 1  {NO_QA}: E501\n", 1),
    "noqa with reason": (check_suppressions, f"x = 1  {NO_QA}: E501 - a table that is easier to read wide\n", 0),
    "bare ignore": (check_suppressions, f"x = 1  {IGNORE}\n", 1),
    "ignore without reason": (check_suppressions, f"x = 1  {IGNORE}[attr-defined]\n", 1),
    "ignore with reason": (check_suppressions, f"x = 1  {IGNORE}[misc]  # the library has no types\n", 0),
    "left for later": (check_left_overs, "# TO" + "DO: finish\n", 1),
    "machine path": (check_paths, "data = '/wo" + "rk/main/x'\n", 1),
    "home of a user": (check_paths, "/ho" + "me/someone/.config\n", 1),
    "relative path": (check_paths, "examples/wo" + "rk/x and ~/ho" + "me/x\n", 0),
    "registry host": (check_hosts, "index = https://py" + "pi.org/simple\n", 1),
    "another host": (check_hosts, "https://example.org\n", 0),
}


@pytest.mark.parametrize(("check", "text", "errors"), CASES.values(), ids=CASES.keys())
def test_the_checks_themselves(check: Check, text: str, errors: int) -> None:
    assert len(check(text)) == errors


def test_an_exception_may_only_shrink() -> None:
    module = source.parse("x", "x = 1\n" * 450, "big.py")
    assert oversized(module, {"big.py": 450}) == []
    assert len(oversized(module, {"big.py": 449})) == 1
    assert len(oversized(module, {"big.py": 451})) == 1
