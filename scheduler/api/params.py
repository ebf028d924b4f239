"""Parameters that routes share, and opaque cursors: base64url of where the page ended."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from fastapi import Path, Query

from scheduler.api.problems import BAD_CURSOR, NOT_VALID
from scheduler.schema.bodies import Body, Listing
from scheduler.schema.times import parse_rfc3339
from scheduler.services.submit import Invalid

LISTED_MAX = 500
SEQUENCE_MAX = 2**63 - 1
NUMBER_MAX = 2**31 - 1
OFFSET_MAX = 2**50
# Without NUL and spaces: nothing that a database, a log line or a file name would stumble over.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}$"
OPTIONAL_NAME = r"^([A-Za-z0-9][A-Za-z0-9._@:/-]{0,127})?$"

PathName = Annotated[str, Path(pattern=NAME, max_length=128)]
PathNumber = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
Filter = Annotated[str, Query(pattern=OPTIONAL_NAME, max_length=128)]
Limit = Annotated[int, Query(ge=1, le=LISTED_MAX)]
Cursor = Annotated[str, Query(max_length=400, description="`next` of the page before; empty for the first page")]
Instant = Annotated[str, Query(max_length=40, description="RFC 3339 with an offset; empty for the default")]
StateName = Literal["", "Queued", "Held", "Active", "Succeeded", "Failed", "Cancelled"]

B = TypeVar("B", bound=Body)


def to_cursor(place: str) -> str:
    """The opaque text of a place; "" (no more pages) stays ""."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> str:
    """The place of a cursor; raises Invalid for what is none."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise Invalid(BAD_CURSOR, "the cursor is not one of this list", "begin again without a cursor") from error
    if not place.isprintable() or to_cursor(place) != cursor:
        raise Invalid(BAD_CURSOR, "the cursor is not one of this list", "begin again without a cursor")
    return place


def from_number_cursor(cursor: str) -> int:
    """The sequence of a cursor, 0 for the first page; raises Invalid."""
    place = from_cursor(cursor)
    if not place:
        return 0
    if not (place.isascii() and place.isdigit()) or not 0 < int(place) <= SEQUENCE_MAX:
        raise Invalid(BAD_CURSOR, "the cursor is not one of this list", "begin again without a cursor")
    return int(place)


def page(model: type[Listing[B]], kind: str, items: Sequence[B], limit: int, place: Callable[[B], str]) -> Listing[B]:
    """The first ``limit`` of items that were asked for one beyond it, and where the next page begins."""
    shown = list(items[:limit])
    more = len(items) > limit and bool(shown)
    return model(kind=kind, items=shown, next=to_cursor(place(shown[-1])) if more else "")


def instant_ms(name: str, text: str, default_ms: int) -> int:
    """Milliseconds of an RFC 3339 parameter, the default for ""; raises Invalid."""
    if not text:
        return default_ms
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        fix = "write it as 2026-12-01T00:00:00+09:00"
        raise Invalid(NOT_VALID, f"{name} is no instant with an offset from UTC", fix) from error
