"""The log: one line of JSON a record, whatever somebody puts into it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.main import journal
from scheduler.main.journal import JsonLines


@pytest.fixture
def own_logging() -> Iterator[None]:
    """The root logger as it was, after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level


def line(message: str, *arguments: object, **extra: object) -> str:
    """A record's line."""
    record = logging.LogRecord("dure.x", logging.INFO, __file__, 1, message, arguments, None)
    record.created = 1_800_000_000.25
    record.__dict__.update(extra)
    return JsonLines().format(record)


def test_a_record_is_one_object() -> None:
    assert json.loads(line("moved %d of %s", 3, "nlp", job="aaaa", count=2, error=ValueError("x"))) == {
        "at": "2027-01-15T08:00:00.250Z",
        "level": "info",
        "logger": "dure.x",
        "message": "moved 3 of nlp",
        "job": "aaaa",
        "count": 2,
        "error": "x",
    }


@pytest.mark.parametrize("text", ['a\nb {"level": "error"}', "\x1b[31m", "\x00\x85\u2028", "한글", "\ud800"])
def test_no_text_forges_a_line_or_moves_the_cursor(text: str) -> None:
    made = line("%s", text, path=text)
    assert made.isascii()
    assert all(character.isprintable() for character in made)
    assert json.loads(made)["message"] == json.loads(made)["path"] == text


def test_tracebacks_are_inside_the_line() -> None:
    try:
        raise ValueError("wrong")
    except ValueError:
        record = logging.LogRecord("dure.x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    made = JsonLines().format(record)
    assert "\n" not in made
    assert "ValueError: wrong" in json.loads(made)["traceback"]


@pytest.mark.usefixtures("own_logging")
def test_with_a_file_standard_error_gets_warnings_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal.set_up("info", tmp_path / "log")
    logging.getLogger("dure.x").info("quiet")
    logging.getLogger("dure.x").warning("loud")
    logging.getLogger("httpx").info("chatter")
    told = [json.loads(text)["message"] for text in capsys.readouterr().err.splitlines()]
    kept = [json.loads(text)["message"] for text in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert (told, kept) == (["loud"], ["quiet", "loud"])
