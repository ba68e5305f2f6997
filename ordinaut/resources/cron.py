"""
What a cron expression may look like: one rule for its shape and one for each of its fields.

These are the rules that the API server can check too. What needs arithmetic (descending ranges, dates that never
come) is left to ``ordinaut.schedule``, which refuses it with words of the same kind. The grammar is Debian's, with a
field for seconds in front if wanted, ``L`` and ``LW`` for days of the month, ``nL`` and ``n#k`` for days of the week.
"""

import re
from typing import Final

from ordinaut.resources.rules import Rule, cel_string, pattern

MAX_CRON_LENGTH: Final = 255
"""Characters."""

MACROS: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")

_WORD: Final = "[!-<>-~]+"
"""Anything but what sets a time zone, `TZ=…`, which is not a field at all."""
_FIELDS: Final = f" *{_WORD}( +{_WORD}){{4,5}} *"
_SIX: Final = f" *{_WORD}( +{_WORD}){{5}} *"

_SIXTY: Final = "[0-5]?[0-9]"
_HOUR: Final = "([01]?[0-9]|2[0-3])"
_DAY: Final = "(0?[1-9]|[12][0-9]|3[01])"
_MONTH: Final = "(0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_WEEKDAY: Final = "(0?[0-7]|sun|mon|tue|wed|thu|fri|sat)"


def _field(value: str, *, special: str = "") -> str:
    """Return the regex of one field: a comma list of ``*``, values and ranges, with steps above 0, or special items."""
    item = rf"((\*|{value}(-{value})?)(/0*[1-9][0-9]*)?{special})"
    return f"(?i:{item}(,{item})*)"


def _rule(*, fields: str, position: str, field: str, name: str, takes: str) -> Rule:
    """Return the rule that, in an expression shaped like ``fields``, the field found by ``position`` is right."""
    shape, right = f"^{fields}$", f"^{position.format(field)}$"
    shaped, found = re.compile(shape), re.compile(right)
    return Rule(
        cel=f"!self.matches({cel_string(shape)}) || self.matches({cel_string(right)})",
        holds=lambda text: not shaped.fullmatch(text) or found.fullmatch(text) is not None,
        message=f"the {name} field of a cron expression takes {takes}",
        remedy="write * or a list of values or ranges, with a step if wanted, such as 1,5 or 1-5 or */2",
    )


def _nth(position: int) -> str:
    """Return the regex around the field at ``position``, 0 being the minute, in 5 fields or in 6 with seconds."""
    return f" *({_WORD} +)?({_WORD} +){{{{{position}}}}}{{}}( +{_WORD}){{{{{4 - position}}}}} *"


RULES: Final = (
    pattern(
        f"^({'|'.join(MACROS)}|{_FIELDS})$",
        message="not a cron expression",
        remedy="write five fields (minute, hour, day of month, month, day of week) or six with seconds first, "
        "such as 30 8 * * 1-5, or one of "
        + ", ".join(MACROS)
        + "; a time zone goes into timeZone, and @every 5m is interval: 5m",
    ),
    _rule(fields=_SIX, position=f" *{{}}( +{_WORD}){{{{5}}}} *", field=_field(_SIXTY), name="second", takes="0-59"),
    _rule(fields=_FIELDS, position=_nth(0), field=_field(_SIXTY), name="minute", takes="0-59"),
    _rule(fields=_FIELDS, position=_nth(1), field=_field(_HOUR), name="hour", takes="0-23"),
    _rule(
        fields=_FIELDS,
        position=_nth(2),
        field=_field(_DAY, special="|LW?"),
        name="day-of-month",
        takes="1-31, L and LW",
    ),
    _rule(fields=_FIELDS, position=_nth(3), field=_field(_MONTH), name="month", takes="1-12 and JAN-DEC"),
    _rule(
        fields=_FIELDS,
        position=_nth(4),
        field=_field(_WEEKDAY, special=f"|{_WEEKDAY}(L|#[1-5])"),
        name="day-of-week",
        takes="0-7 (0 and 7 are Sunday), SUN-SAT, nL and n#k",
    ),
)
"""The rules of a cron expression, for the model and the CRD."""
