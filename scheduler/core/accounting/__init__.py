"""Usage, rating, ledger and invoice in whole numbers."""
