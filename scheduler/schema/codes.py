"""The catalogue of error codes: what each ``DURE-nnnn`` means, why it is so, and an example of the way out.

``dure explain CODE`` prints an entry, the API uses its title. A code's meaning never changes; one that is
no longer used stays, marked ``reserved``. To add a code, add an entry to the table of its range:

10xx usage, client, settings and requests (``codes_usage``, ``codes_local``); 11xx task file, 12xx policy file and rate
card, 13xx registry (``codes_files``); 20xx refused by policy or quota, 30xx not found, 40xx login and permission, 60xx
conflict (``codes_run``); 80xx server, network and operator, 90xx internal (``codes_server``); of the fairness
report 1340, 3040 and 6090 on (``codes_fairness``). A test checks it by the sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scheduler.schema.codes_entry import Code
from scheduler.schema.codes_fairness import FAIRNESS_CODES
from scheduler.schema.codes_files import FILE_CODES
from scheduler.schema.codes_local import LOCAL_CODES
from scheduler.schema.codes_run import RUN_CODES
from scheduler.schema.codes_server import SERVER_CODES
from scheduler.schema.codes_usage import USAGE_CODES

TABLES = (USAGE_CODES, LOCAL_CODES, FILE_CODES, RUN_CODES, SERVER_CODES, FAIRNESS_CODES)

CODES: Mapping[str, Code] = MappingProxyType(
    dict(sorted((code, entry) for table in TABLES for code, entry in table.items()))
)
"""Every code with its entry, in order."""

__all__ = ["CODES", "Code", "explain"]


def explain(code: str) -> str:
    """The entry of a code as plain text; "" when there is none. ``1104`` and ``dure-1104`` find DURE-1104 too."""
    digits = code.upper().removeprefix("DURE-")
    entry = CODES.get(f"DURE-{digits}")
    if entry is None:
        return ""
    return f"DURE-{digits}: {entry.title}\n\n{entry.explanation}\n\nFor example:\n  {entry.example}\n"
