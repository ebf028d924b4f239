"""Tests; one folder is one suite with a time budget (scripts/run_suites.py)."""
