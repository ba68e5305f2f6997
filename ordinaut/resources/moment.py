"""
When: the text form of a point in time in a manifest, such as ``2026-03-01T09:00:00Z`` or ``2026-03-01T09:00:00``.

With ``Z`` or an offset (RFC 3339) it is an instant. Without, it is what the wall clock of the schedule's ``timeZone``
shows, which only ``ordinaut.schedule`` can turn into an instant. Whole seconds, as all of Ordinaut's times.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from ordinaut.errors import FieldError, Invalid

_DATE: Final = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_OFFSET: Final = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"

MOMENT_PATTERN: Final = f"^{_DATE}T{_TIME}{_OFFSET}?$"
INSTANT_PATTERN: Final = f"^{_DATE}T{_TIME}{_OFFSET}$"

MAX_MOMENT_LENGTH: Final = 25
"""Characters of ``2026-03-01T09:00:00+02:00``."""

MOMENT_MESSAGE: Final = "not a date and time"
MOMENT_REMEDY: Final = "write it as 2026-03-01T09:00:00Z, or without the Z for the wall clock of timeZone"

_SHAPE: Final = re.compile(MOMENT_PATTERN)


def parse_moment(text: str, *, field: str = "") -> datetime:
    """Return the time that ``text`` names, aware if it has an offset, else naive; raise `Invalid` if it names none."""
    try:
        if _SHAPE.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass  # a shape that is right and a day that does not exist, such as February 30
    raise Invalid([FieldError(field, text, MOMENT_MESSAGE, MOMENT_REMEDY)])


@lru_cache(maxsize=256)
def format_instant(moment: datetime) -> str:
    """Return an instant as RFC 3339 writes it for UTC, with ``Z``; fractions of a second only where there are some."""
    # Equal instants share an entry of the cache, whatever their offsets are.
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return utc.isoformat().replace("+00:00", "Z")
