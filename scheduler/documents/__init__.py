"""Documents for people and their files: an invoice or a credit note as PDF, a rendering of its canonical JSON."""
