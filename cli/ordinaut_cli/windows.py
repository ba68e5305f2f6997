"""
The ends of a window as people type them: ``2026-11-01``, ``2026-11-01T08:00``, ``2026-11-01T08:00:00Z``.

What has no offset is what the wall clock of a zone shows, and a day alone is the whole day. Slow to load: import it in
functions.
"""

import re
from dataclasses import replace
from datetime import datetime
from typing import Final

from ordinaut.errors import FieldError, Invalid
from ordinaut.schedule import parse_at, parse_zone
from ordinaut_cli.errors import WRONG_INPUT, CommandError

_SHAPE: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?(Z|[+-]\d\d:\d\d)?")
_REMEDY: Final = "write it as 2026-11-01, 2026-11-01T08:00 or 2026-11-01T08:00:00Z"


def read(text: str, *, option: str, zone: str, last: bool = False) -> datetime:
    """Return the instant that an option names; of a day alone the first second, or the ``last``."""
    try:
        return parse_at(_in_full(text, option, last=last), time_zone=parse_zone(zone, field="--tz")).instant
    except Invalid as invalid:
        lines = (error if error.field.startswith("--") else _of(option, text, error) for error in invalid.errors)
        raise CommandError(*map(str, lines), exit_code=WRONG_INPUT) from None


def _in_full(text: str, option: str, *, last: bool) -> str:
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise Invalid([FieldError(option, text, "not a day, nor a time of one", _REMEDY)])
    day, clock, seconds, offset = found.groups()
    if clock is None:
        clock, seconds = ("23:59", ":59") if last else ("00:00", ":00")
    return f"{day}T{clock}{seconds or ':00'}{offset or ''}"


def _of(option: str, text: str, error: FieldError) -> FieldError:
    return replace(error, field=option, value=text, remedy=_REMEDY)
