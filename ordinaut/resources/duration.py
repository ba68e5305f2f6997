"""
How long: the text form of every span of time in a manifest, such as ``30s``, ``15m`` or ``1h30m``.

Manifests, REST and the command line all write durations the way Go and Kubernetes do, with days added. The models keep
the text, so that what a user wrote is what they read back; whoever needs the span calls :func:`parse_duration`. The
pattern is the one that the CRDs carry, so the API server and this module refuse the same input.
"""

import re
from datetime import timedelta
from typing import Final

from ordinaut.errors import FieldError, Invalid

DURATION_PATTERN: Final = "^([0-9]{1,6}d)?([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?([0-9]{1,12}ms)?$"
"""
Whole numbers with their units, largest first, each at most once; RE2 and Python read it alike.

The digits keep the sum below 3,000 years, so that adding it to a date of our time never overflows.
"""

MAX_DURATION_LENGTH: Final = 44
"""Characters: what the pattern needs at most."""

DURATION_MESSAGE: Final = "not a duration"
DURATION_REMEDY: Final = "write whole numbers with units d, h, m, s or ms, largest first, such as 30s, 15m or 1h30m"

_UNITS: Final = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)
_SHAPE: Final = re.compile(DURATION_PATTERN)


def parse_duration(text: str, *, field: str = "") -> timedelta:
    """Return the span that ``text`` names, or raise `Invalid` with a mistake at ``field``."""
    match = _SHAPE.fullmatch(text)
    if match is None or not text:
        raise Invalid([FieldError(field, text, DURATION_MESSAGE, DURATION_REMEDY)])
    return sum(
        (
            int(count.removesuffix(unit)) * size
            for count, (unit, size) in zip(match.groups(), _UNITS, strict=True)
            if count is not None
        ),
        timedelta(),
    )


def format_duration(span: timedelta) -> str:
    """Return the shortest text that :func:`parse_duration` reads back as ``span``, cut to whole milliseconds."""
    if span < timedelta():
        raise ValueError(f"a duration cannot be negative: {span}")
    parts = []
    for unit, size in _UNITS:
        count, span = divmod(span, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
