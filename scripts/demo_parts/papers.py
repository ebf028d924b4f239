"""What the demo leaves to read: invoices as files, fairness reports, and what is checked of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from scripts.demo_parts.cast import ORGS, POLICY
from scripts.demo_parts.cli import Cli, DemoFailed

INVOICES = {"ko": Path("invoices"), "en": Path("invoices") / "en"}
"""Folder of the PDFs in each language; the JSON and CSV beside them are the same."""
SHAPES = ("html", "csv", "json")
VIEWS: Mapping[str, tuple[str, ...]] = {"fairness": (), "fairness-public": ("--public",)}
MS_PER_HOUR = 3_600_000


def invoices(admin: Cli, out: Path, say: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, bool]]:
    """Close the period, write every invoice in both languages, verify each; the period, and number -> verified."""
    period = admin.json("period", "close", "--yes", "--wait-timeout", "60s")
    if period["state"] != "closed":
        raise DemoFailed(f"the period is {period['state']}, not closed: {period['waiting_for']}")
    say(admin.run("invoice", "list").rstrip())
    for lang, folder in INVOICES.items():
        admin.run("invoice", "export", "--period", period["id"], "--to", str(out / folder), "--lang", lang)
    numbers = sorted(invoice["number"] for invoice in admin.items("invoice", "list"))
    verified = {number: admin.call("invoice", "verify", number).returncode == 0 for number in numbers}
    shapes = f"JSON, CSV, and PDF in {len(INVOICES)} languages"
    say(f"  {len(verified)} invoices as {shapes}; {sum(verified.values())} of them verified")
    return period, verified


def fairness(admin: Cli, period: str, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Write the whole and the public fairness report in every shape; returns the whole one's line for the pool."""
    for name, view in VIEWS.items():
        for shape in SHAPES:
            place = ("-o", shape, "--file", str(out / f"{name}.{shape}"))
            admin.run("fairness", "report", "--period", period, *view, *place)
    whole = json.loads((out / "fairness.json").read_text(encoding="utf-8"))
    pool: dict[str, Any] = next(line for line in whole["shares"] if line["tree_node"] == "/")
    parts = (f"Jain {pool['jain_ppm'] / 1e6:.3f}", f"Gini {pool['gini_ppm'] / 1e6:.3f}")
    say(f"  {pool['organisations']} organisations, {', '.join(parts)}, {pool['evictions']} evictions")
    return pool


def sums_broken(out: Path) -> tuple[int, int]:
    """How many exported files SHA256SUMS names, and how many are not what it says; a PDF must also be one."""
    checked = broken = 0
    for folder in INVOICES.values():
        for line in (out / folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
            digest, name = line.split("  ", 1)
            content = (out / folder / name).read_bytes()
            checked += 1
            is_pdf = content.startswith(b"%PDF-") or not name.endswith(".pdf")
            broken += hashlib.sha256(content).hexdigest() != digest or not is_pdf
    return checked, broken


def lines_broken(out: Path, records: dict[str, Any]) -> tuple[int, int]:
    """How many invoice lines there are, and how many cost otherwise than the supervisors' time at the policy's price.

    GPU-ms x list price x the tier's factor, within the won to which a line is rounded; a line that is missing counts.
    """
    policy, card = yaml.safe_load_all(POLICY)
    cost = {}
    for row in records["totals"]:
        factor = Fraction(str(policy["tiers"][row["tier"]].get("price", 1)))
        list_won = Fraction(row["billed_gpu_ms"] * card["won_per_gpu_hour"][row["flavor"]], MS_PER_HOUR)
        cost[row["org"], row["project"], row["flavor"], row["tier"]] = list_won * factor
    expected = {key: won for key, won in cost.items() if won}
    seen = {}
    for path in sorted((out / INVOICES["ko"]).glob("*.csv")):
        for line in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
            if line["row"] == "line":
                key = (line["organisation"], line["project"], line["flavor"], line["tier"])
                seen[key] = int(line["product_won"])
    keys = expected.keys() | seen.keys()
    wrong = [key for key in keys if key not in seen or abs(seen[key] - expected.get(key, Fraction(0))) > 1]
    return len(keys), len(wrong)


def names_in_public(out: Path) -> int:
    """How often an organisation is named in the public fairness report."""
    texts = [(out / f"fairness-public.{shape}").read_text(encoding="utf-8") for shape in SHAPES]
    return sum(name in text for text in texts for org in ORGS for name in (org.name, org.title))


def rows(out: Path, records: dict[str, Any], pool: dict[str, Any], evicted: int) -> list[dict[str, Any]]:
    """The promises about these papers, as report.invariants has its own."""
    files, files_broken = sums_broken(out)
    lines, lines_wrong = lines_broken(out, records)
    pdfs = [len(list((out / folder).glob("*.pdf"))) for folder in INVOICES.values()]
    return [
        {
            "name": "every organisation has its invoice as PDF in both languages",
            "checked": len(ORGS) * len(INVOICES),
            "broken": sum(abs(count - len(ORGS)) for count in pdfs),
        },
        {"name": "every exported file has the sum that SHA256SUMS names", "checked": files, "broken": files_broken},
        {
            "name": "an invoice line: supervisors' GPU-time x list price x the tier's factor, within a won",
            "checked": lines,
            "broken": lines_wrong,
        },
        {
            "name": "the fairness report counts every organisation, and every eviction that supervisors know of",
            "checked": 2,
            "broken": (pool["organisations"] != len(ORGS)) + (pool["evictions"] < evicted),
        },
        {
            "name": "the public fairness report names no organisation",
            "checked": len(ORGS),
            "broken": names_in_public(out),
        },
    ]
