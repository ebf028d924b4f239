"""Codes of the fairness report: 1340 to 1349, 3040 to 3049 and 6090 to 6099."""

from __future__ import annotations

from scheduler.schema.codes_entry import Code

FAIRNESS_CODES: dict[str, Code] = {
    "DURE-1340": Code(
        "bad time of a fairness report",
        "A report is of one billing period or Korean month, or from one instant to a later one of at most 366 days, and"
        " it ends no later than now. A public report is of a closed billing period: over times that anybody chooses,"
        " two reports and a subtraction would tell what no report may.",
        "dure fairness report --period 2026-11",
    ),
    "DURE-1341": Code(
        "too much for one report",
        "The time has more slices, jobs, attempts or changes of shares than one report reads. A report over a part of"
        " them would be a wrong one.",
        "dure fairness report --since 2026-11-01 --until 2026-11-08",
    ),
    "DURE-1342": Code(
        "report not written",
        "The file that --file names cannot be written: its folder is not there, or may not be written to.",
        "dure fairness report --public -o html --file fairness.html",
    ),
    "DURE-3040": Code(
        "no period to publish",
        "Public figures are of closed billing periods, and none is closed yet.",
        "dure period list",
    ),
    "DURE-6090": Code(
        "period not closed",
        "A public report is made of a period that is closed, so that everybody reads the same figures.",
        "dure period list",
    ),
}
