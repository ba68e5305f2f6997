"""
Dates with times as users write them: ``at``, ``start``, ``end``, ``dtstart``, ``exdates`` and ``rdates``.

``admission`` reads them. With an offset or ``Z`` a text means an instant; without one it is a wall time of the
schedule's zone. Kubernetes users write RFC 3339, calendar users paste the basic form of iCalendar: both are read.
"""

import re
from datetime import UTC, datetime

from ordinaut.errors import FieldError, Invalid
from ordinaut.schedule.seconds import FIRST_YEAR, LAST_YEAR

_OFFSET = r"(?P<offset>Z|[+-]\d\d:\d\d)?"
_EXTENDED = re.compile(rf"(?P<clock>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.0+)?{_OFFSET}", re.ASCII)
_BASIC = re.compile(r"(?P<clock>\d{8}T\d{6})(?P<offset>Z)?", re.ASCII)
_MAX_LENGTH = 40


def parse_moment(text: str, *, field: str) -> datetime:
    """Return an aware datetime in UTC, or a naive one for a wall time; raise ``Invalid`` for ``field``."""
    match = (_EXTENDED.fullmatch(text) or _BASIC.fullmatch(text)) if len(text) <= _MAX_LENGTH else None
    if match is None:
        remedy = "write 2026-12-01T09:00:00 (a wall time), 2026-12-01T09:00:00+02:00 or 2026-12-01T07:00:00Z"
        raise Invalid([FieldError(field, text, "not a date and time in whole seconds", remedy)])
    try:
        moment = datetime.fromisoformat(match["clock"] + (match["offset"] or ""))
    except ValueError as error:
        raise Invalid([FieldError(field, text, f"no such date or time ({error})", "check the calendar")]) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        allowed = f"{FIRST_YEAR}-{LAST_YEAR}"
        message = f"the year {moment.year} is out of range: allowed is {allowed}"
        raise Invalid([FieldError(field, text, message, f"use a year of {allowed}")])
    return moment.astimezone(UTC) if moment.tzinfo else moment
