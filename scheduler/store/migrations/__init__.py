"""Alembic's folder: ``env.py`` and one module a version, run by ``scheduler.store.migrate``."""
