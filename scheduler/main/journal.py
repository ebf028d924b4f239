"""Logging for servers: one JSON object a line, control characters escaped, so that no input can forge a line."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from pathlib import Path

from scheduler.schema.times import rfc3339

FILE_BYTES_MAX = 10 * 1024 * 1024
FILES_KEPT = 3
QUIET = ("uvicorn.error", "uvicorn.access", "httpx", "httpcore", "alembic", "asyncio")
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """A record as one line of JSON in ASCII: time, level, logger, message, its extra fields, and a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "at": rfc3339(int(record.created * 1_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and name not in ("message", "asctime", "taskName"):
                line[name] = value if isinstance(value, str | int | bool | None) else str(value)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def set_up(level: str, file: Path | None = None) -> None:
    """Log JSON lines from ``level`` on to standard error; with a file to that, and there warnings only."""
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(JsonLines())
    handlers: list[logging.Handler] = [console]
    if file is not None:
        console.setLevel(logging.WARNING)
        rotating = logging.handlers.RotatingFileHandler(
            file, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8", delay=True
        )
        rotating.setFormatter(JsonLines())
        handlers.append(rotating)
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
