"""What several suites share: servers, seeds, golden files, source parsing."""
