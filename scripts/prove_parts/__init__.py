"""Parts of scripts/prove.py."""
