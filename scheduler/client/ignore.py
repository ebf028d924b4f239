"""What never travels with a work directory, and what its .gitignore and .dureignore leave out."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".dureignore")
"""In this order: in one folder .dureignore has the last word."""
IGNORE_BYTES_MAX = 1024 * 1024
PARENTS_MAX = 64

# Folders of tools: never part of a job, often large. A virtual environment of any name is found by its pyvenv.cfg.
TOOL_FOLDERS = frozenset(
    {".git", ".hg", ".svn", ".venv", "__pycache__", ".tox", ".nox", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    | {".hypothesis", ".ipynb_checkpoints", ".idea", ".vscode", ".dure"}
)
# What `dure up` keeps, tokens included, under whatever name; any one of its files tells it.
DATA_FILES = ("dure.lock", "dure.db", "operator.lock")
SECRET_FOLDERS = frozenset({".aws", ".azure", ".docker", ".env", ".gcloud", ".gnupg", ".huggingface", ".kube", ".ssh"})
SECRET_FILES = (
    # environment files and tool logins
    ".env*",
    "*.env",
    "*.token",
    "secrets.toml",
    "kaggle.json",
    "application_default_credentials.json",
    ".s3cfg",
    "rclone.conf",
    "*.tfstate",
    "*.tfstate.backup",
    ".netrc",
    "_netrc",
    ".pypirc",
    ".npmrc",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".git-credentials",
    ".vault-token",
    "kubeconfig",
    "credentials.json",
    "client_secret*.json",
    "service-account*.json",
    "service_account*.json",
    # private keys
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "id_ed25519_sk",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.ppk",
    "*.jks",
    "*.keystore",
    "*.kdbx",
)
PRIVATE_KEY_MARK = b"PRIVATE KEY"
# A line that begins as PEM does, or the field of a service account's JSON; not a program that names the mark.
PRIVATE_KEY = re.compile(
    rb'(?:^(?:\xef\xbb\xbf)?[ \t]*|"private_key"[ \t]{0,8}:[ \t]{0,8}")'
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    re.MULTILINE,
)


def is_tool_folder(path: Path) -> bool:
    """Whether a folder belongs to a tool and is never sent."""
    return path.name in TOOL_FOLDERS or (path / "pyvenv.cfg").is_file() or is_data_folder(path)


def is_data_folder(path: Path) -> bool:
    """Whether a folder is the data of a ``dure up``, which holds the administrator's token."""
    return any((path / name).is_file() for name in DATA_FILES)


def is_secret_name(name: str, *, folder: bool) -> bool:
    """Whether a name promises secrets, whatever its case."""
    lower = name.lower()
    if folder:
        return lower in SECRET_FOLDERS
    return any(fnmatchcase(lower, pattern) for pattern in SECRET_FILES)


def holds_private_key(content: bytes) -> bool:
    """Whether a file of any name has a private key in PEM form anywhere: alone, behind a certificate, or in JSON."""
    return PRIVATE_KEY_MARK in content and PRIVATE_KEY.search(content) is not None


class IgnoreRules:
    """The ignore files from the repository's root down to the folders that were entered; the innermost decides."""

    def __init__(self, root: Path) -> None:
        """Read the rules above ``root`` up to the folder that holds ``.git``; ``enter`` reads those below."""
        self._root = root
        self._rules: dict[Path, list[GitIgnoreSpec]] = {}
        for folder in reversed(_repository_parents(root)):
            self._rules[folder] = _read_rules(folder)

    def enter(self, folder: Path) -> None:
        """Read the folder's own ignore files."""
        self._rules[folder] = _read_rules(folder)

    def leave_out(self, path: Path, *, folder: bool) -> bool:
        """Whether the rules of the path's own folder, or else of one further out, leave it out."""
        for parent in path.parents:
            for rules in reversed(self._rules.get(parent, [])):
                relative = path.relative_to(parent).as_posix()
                verdict = rules.check_file(f"{relative}/" if folder else relative).include
                if verdict is not None:
                    return verdict
        return False


def _repository_parents(root: Path) -> list[Path]:
    """Folders above ``root`` up to the one that holds ``.git``, innermost first; none outside a repository."""
    if (root / ".git").exists():
        return []
    found = []
    for parent in root.parents[:PARENTS_MAX]:
        found.append(parent)
        if (parent / ".git").exists():
            return found
    return []


def _read_rules(folder: Path) -> list[GitIgnoreSpec]:
    rules = []
    for name in IGNORE_FILES:
        file = folder / name
        if file.is_file():
            with file.open("rb") as stream:
                text = stream.read(IGNORE_BYTES_MAX).decode("utf-8", "replace")
            rules.append(GitIgnoreSpec.from_lines(text.splitlines()))
    return rules
