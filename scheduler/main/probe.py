"""Whether the database answers, for everybody who asks; why it does not, for the log alone."""

from __future__ import annotations

import logging

from scheduler.core.errors import DureError
from scheduler.services.effective import newest_policy
from scheduler.services.ports import Store

LOG = logging.getLogger("dure.database")
NO_ANSWER = "the database does not answer"


class DatabaseProbe:
    """Looks into the database; a fault is logged once a kind, and again after it was gone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failing = ""

    def fault(self) -> str:
        """One sentence without a word of the database's own when it cannot be read, else ""."""
        try:
            with self._store.read() as view:
                newest_policy(view)
        except Exception as error:
            kind = error.code if isinstance(error, DureError) else type(error).__name__
            if kind != self._failing:
                LOG.error("the database cannot be read", exc_info=error, extra={"kind": kind})
            self._failing = kind
            return NO_ANSWER
        self._failing = ""
        return ""
