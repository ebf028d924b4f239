"""The fairness report: what each part of the tree was entitled to, received and waited (docs/decisions/0012)."""
