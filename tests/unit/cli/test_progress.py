"""Bars on standard error: only on a terminal, only for what takes a while, never wider than it, gone at the end."""

from __future__ import annotations

import io

import pytest

from scheduler.cli.clean import width
from scheduler.cli.progress import CLEAR, DRAWN_EVERY_SECONDS, FIRST_SECONDS, Bar, line

MIB = 1024 * 1024
# Label, done and whole in bytes, columns -> the line.
LINES = {
    "nothing yet": ("sending", 0, 8 * MIB, 80, f"sending  {'▁' * 24}    0%  of 8.0 MiB"),
    "half of it": ("sending", 4 * MIB, 8 * MIB, 80, f"sending  {'▇' * 12}{'▁' * 12}   50%  of 8.0 MiB"),
    "all of it": ("sending", 8 * MIB, 8 * MIB, 80, f"sending  {'▇' * 24}  100%  of 8.0 MiB"),
    "of unknown length": ("fetching", 3 * MIB, 0, 80, "fetching  3.0 MiB"),
    "narrow: without the bar": ("sending", 4 * MIB, 8 * MIB, 30, "sending   50%  of 8.0 MiB"),
    "very narrow: the label": ("sending", 4 * MIB, 8 * MIB, 12, "sending"),
    "cut": ("sending", 4 * MIB, 8 * MIB, 5, "send"),
}


@pytest.mark.parametrize(("label", "done", "whole", "columns", "wanted"), LINES.values(), ids=LINES.keys())
def test_the_line(label: str, done: int, whole: int, columns: int, wanted: str) -> None:
    assert line(label, done, whole, "▇▁", columns) == wanted


@pytest.mark.parametrize("columns", range(1, 120, 7))
def test_hangul_is_two_columns_wide(columns: int) -> None:
    assert width(line("작업 폴더를 보내는 중", 5, 9, "▇▁", columns)) < max(columns, 2)


def test_a_bar_is_drawn_when_it_takes_a_while_and_not_more_often_than_one_sees(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    drawn = Bar("sending", io.StringIO(), monotonic=lambda: now[0])
    for hundredth in range(int(FIRST_SECONDS * 100)):
        now[0] = hundredth / 100
        drawn.moved(hundredth, 1_000)
    assert capsys.readouterr().err == ""
    for hundredth in range(100):
        now[0] = FIRST_SECONDS + hundredth / 100
        drawn.moved(hundredth, 100)
    shown = capsys.readouterr().err
    assert 5 <= shown.count(CLEAR) <= 1 / DRAWN_EVERY_SECONDS
    drawn.clear()
    assert capsys.readouterr().err == CLEAR


def test_no_bar_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    Bar("sending", io.StringIO()).clear()
    assert capsys.readouterr().err == ""
