"""The dure command line."""
