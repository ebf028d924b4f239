"""Write docs/openapi.json, the committed description of the API; a test holds it against the code.

Usage: openapi.py [FILE]; "-" prints it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scheduler.api.app import create_app
from scheduler.api.deps import Deps
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.effective import EffectivePolicies
from scheduler.store.artifacts import MemoryArtifactStore
from scheduler.store.files import MemoryLogStore, MemoryPackageStore
from scheduler.store.ids import RandomIds
from scheduler.store.memory import MemoryStore
from scheduler.web import fairness_page

FILE = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def document() -> str:
    """The document as it is committed: two spaces, one line end at the end."""
    deps = Deps(
        store=MemoryStore(),
        policies=EffectivePolicies(),
        packages=MemoryPackageStore(),
        logs=MemoryLogStore(),
        artifacts=MemoryArtifactStore(),
        ids=RandomIds(),
        secret=lambda: "",
        attempt_tokens=AttemptTokens(""),
        clock=lambda: 0,
        version="",
        metrics=lambda: b"",
        unready=list,
    )
    return json.dumps(create_app(deps, pages=(fairness_page.router,)).openapi(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the document; returns the exit status."""
    target = arguments[0] if arguments else str(FILE)
    if target == "-":
        sys.stdout.write(document())
    else:
        Path(target).write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
