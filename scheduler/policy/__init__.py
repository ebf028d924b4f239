"""Policy documents: load, validate, compare."""
