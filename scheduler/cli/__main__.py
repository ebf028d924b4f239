"""``python -m scheduler.cli`` is ``dure``."""

from __future__ import annotations

from scheduler.cli.main import cli

if __name__ == "__main__":
    cli()
