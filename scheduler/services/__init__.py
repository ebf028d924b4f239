"""Use cases, one a file, over the ports they need."""
