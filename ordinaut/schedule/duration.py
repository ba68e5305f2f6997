"""
Durations as Kubernetes, Argo and Go write them: ``90s``, ``1h30m``, ``500ms``, ``2d``.

Every spec field that is a length of time is read here (``interval``, ``timeout``, ``jitter``, back-offs), and shown
again with ``format_duration``. ISO 8601's ``PT15M`` is refused: one way to write a thing is enough.
"""

import re
from datetime import timedelta
from decimal import Decimal

from ordinaut.errors import FieldError, Invalid

LONGEST = timedelta(days=50 * 366)
"""No duration is longer than the search horizon of schedules."""

_MILLISECOND = timedelta(milliseconds=1)
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_DURATION = re.compile("".join(f"(?:(?P<{unit}>{_NUMBER}){unit}(?![a-z]))?" for unit in _MILLISECONDS))
_REMEDY = "write a number with d, h, m, s or ms, larger units first, such as 90s, 1h30m or 500ms"


def parse_duration(
    text: str, *, field: str, minimum: timedelta = timedelta(0), maximum: timedelta = LONGEST
) -> timedelta:
    """Return the duration that ``text`` means, in whole milliseconds, or raise ``Invalid`` for ``field``."""
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        raise Invalid([FieldError(field, text, "not a duration", _REMEDY)])
    milliseconds = sum(Decimal(number) * _MILLISECONDS[unit] for unit, number in match.groupdict("0").items())
    if milliseconds % 1:
        raise Invalid([FieldError(field, text, "finer than a millisecond", "round it to whole milliseconds")])
    if not minimum // _MILLISECOND <= milliseconds <= maximum // _MILLISECOND:
        allowed = f"{format_duration(minimum)} to {format_duration(maximum)}"
        raise Invalid([FieldError(field, text, f"out of range: allowed is {allowed}", f"use {allowed}")])
    return int(milliseconds) * _MILLISECOND


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that ``parse_duration`` reads as ``duration``, in whole milliseconds."""
    rest = duration // _MILLISECOND
    pieces = []
    for unit, size in _MILLISECONDS.items():
        number, rest = divmod(rest, size)
        if number:
            pieces.append(f"{number}{unit}")
    return "".join(pieces) or "0s"
