"""Metrics: exporter, Prometheus client and reconciliation with the ledger."""
