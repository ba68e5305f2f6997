"""
The kinds of text that manifests are written in: names, durations, moments, zones, expressions.

Each is a ``str`` with its bounds and rules attached, so that a field of a model only names what it holds. The bounds
stand on every text: without a ``maxLength`` the API server cannot bound the cost of a CEL rule and refuses the CRD.
"""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from ordinaut.errors import Invalid
from ordinaut.resources import cron, duration, moment
from ordinaut.resources.eventtype import MAX_TYPE, TYPE_WORD
from ordinaut.resources.rules import Rule, cel_string, pattern
from ordinaut.resources.zones import zone_names

MAX_EXPRESSION_LENGTH: Final = 512
"""Characters of a JMESPath expression; its evaluation has a budget, and so has the reader."""

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
NAME_MESSAGE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character"
)
MAX_NAME: Final = 63
"""Characters, so that it also fits a label."""

_NAME_RULE: Final = pattern(NAME_PATTERN, message=NAME_MESSAGE, remedy="write it like morning-briefing")

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), _NAME_RULE]
"""The name of an object of Kubernetes."""


def is_name(value: str) -> bool:
    """Whether a namespace or an object can be called this."""
    return len(value) <= MAX_NAME and _NAME_RULE.holds(value)


MAX_LABEL: Final = 63
LABEL_PATTERN: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

Label = Annotated[
    str,
    Field(min_length=1, max_length=MAX_LABEL),
    pattern(
        LABEL_PATTERN,
        message="a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
        "and end with an alphanumeric character",
        remedy="write it like heavy-work",
    ),
]
"""A name without dots."""

StepId = Annotated[
    str,
    Field(min_length=1, max_length=63),
    pattern(
        "^[A-Za-z_][A-Za-z0-9_-]*$",
        message="not a step id",
        remedy="write letters, digits, _ and -, not starting with a digit",
    ),
]

Identifier = Annotated[
    str,
    Field(min_length=1, max_length=63),
    pattern(
        "^[A-Za-z_][A-Za-z0-9_]*$",
        message="not an identifier",
        remedy="write letters, digits and _, not starting with a digit",
    ),
]
"""A name that JMESPath takes without quotes."""

ToolReference = Annotated[
    str,
    Field(min_length=1, max_length=253),
    pattern(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$",
        message="not the name of a tool",
        remedy="write tool or server.tool, such as weather.forecast",
    ),
]

_TOPIC_WORD: Final = f"({TYPE_WORD}|[*])"

Topic = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TYPE),
    pattern(
        f"^({_TOPIC_WORD}([.]{_TOPIC_WORD})*([.]>)?|>)$",
        message="not a topic",
        remedy="write words with dots between, such as mail.received; * is one word, > at the end the rest",
    ),
    Rule(
        cel="!self.startsWith('io.ordinaut.')",
        holds=lambda text: not text.startswith("io.ordinaut."),
        message="types of Ordinaut's own are written without io.ordinaut.",
        remedy="leave it out, as in run.failed",
    ),
]
"""Types of events: one, or all that a pattern covers."""

Expression = Annotated[
    str,
    Field(min_length=1, max_length=MAX_EXPRESSION_LENGTH),
    Rule(
        cel="!self.contains('${')",
        holds=lambda text: "${" not in text,
        message="a condition is a bare JMESPath expression",
        remedy="leave out ${ and }",
    ),
]

Duration = Annotated[
    str,
    Field(min_length=1, max_length=duration.MAX_DURATION_LENGTH),
    pattern(duration.DURATION_PATTERN, message=duration.DURATION_MESSAGE, remedy=duration.DURATION_REMEDY),
]
"""A span of time that may be zero; `duration.parse_duration` reads it."""

_ZERO: Final = "^(0+(d|h|m|s|ms))+$"

PositiveDuration = Annotated[
    Duration,
    Rule(
        cel=f"!self.matches({cel_string(_ZERO)})",
        holds=lambda text: re.match(_ZERO, text) is None,
        message="must be longer than zero",
        remedy="write a duration such as 30s",
    ),
]

Interval = Annotated[
    PositiveDuration,
    Rule(
        cel="!self.endsWith('ms')",
        holds=lambda text: not text.endswith("ms"),
        message="must be whole seconds",
        remedy="write a duration without ms",
    ),
]

_OF_A_DAY: Final = "^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$"
"""A duration that CEL reads, too: it has no days."""

_NO_INTERVAL: Final = f"!self.matches({cel_string(duration.DURATION_PATTERN)}) || self.endsWith('ms')"


def _is_at_most(span: timedelta, text: str) -> bool:
    """Whether ``text``, without days, is no longer than ``span``; what is no interval is for other rules to say."""
    if re.match(duration.DURATION_PATTERN, text) is None or text.endswith("ms"):
        return True
    return "d" not in text and duration.parse_duration(text) <= span


IntervalWithinDay = Annotated[
    Interval,
    Rule(
        cel=f"self == '1d' || {_NO_INTERVAL} || "
        f"(self.matches({cel_string(_OF_A_DAY)}) && duration(self) <= duration('24h'))",
        holds=lambda text: text == "1d" or _is_at_most(timedelta(days=1), text),
        message="must be at most a day",
        remedy="write 1d, or hours, minutes and seconds such as 2h30m",
    ),
]

IntervalWithinHour = Annotated[
    Interval,
    Rule(
        cel=f"{_NO_INTERVAL} || (self.matches({cel_string(_OF_A_DAY)}) && duration(self) <= duration('1h'))",
        holds=lambda text: _is_at_most(timedelta(hours=1), text),
        message="must be at most an hour",
        remedy="write minutes and seconds such as 30s or 5m",
    ),
]


def _is_real(text: str) -> bool:
    """Whether ``text`` is a moment of the calendar."""
    try:
        moment.parse_moment(text)
    except Invalid:
        return False
    return True


# RE2 has no way to compute, so the days that do not exist are spelled out: the 30th and 31st of short months, and
# February 29 of years that are not leap years.
_SHORT_MONTH: Final = "-(02-30|(02|04|06|09|11)-31)T"
_LEAP_DAY: Final = "-02-29T"
_LEAP_YEAR: Final = "^([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-"
_REAL_DATE: Final = (
    f"!self.matches({cel_string(_SHORT_MONTH)}) && "
    f"(!self.contains({cel_string(_LEAP_DAY)}) || self.matches({cel_string(_LEAP_YEAR)})) && !self.startsWith('0000')"
)


_shape = pattern(moment.MOMENT_PATTERN, message=moment.MOMENT_MESSAGE, remedy=moment.MOMENT_REMEDY)

Moment = Annotated[
    str,
    Field(max_length=moment.MAX_MOMENT_LENGTH),
    Rule(
        cel=f"{_shape.cel} && {_REAL_DATE}",
        holds=lambda text: _shape.holds(text) and _is_real(text),
        message=moment.MOMENT_MESSAGE,
        remedy=moment.MOMENT_REMEDY,
    ),
]
"""An instant, or a wall time of the schedule's zone; `moment.parse_moment` reads it."""

TimeZone = Annotated[
    str,
    Field(max_length=64),
    Rule(
        cel=f"self in [{', '.join(cel_string(name) for name in sorted(zone_names()))}]",
        holds=lambda name: name in zone_names(),
        message="unknown time zone",
        remedy="write a name of the IANA database in its exact spelling, such as Europe/Chisinau or UTC",
    ),
]

Cron = Annotated[str, Field(min_length=1, max_length=cron.MAX_CRON_LENGTH), *cron.RULES]

_RULE_PART: Final = "[A-Za-z]+=[A-Za-z0-9,:+-]+"

RecurrenceRule = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    pattern(
        f"^((?i:RRULE):)?({_RULE_PART};)*(?i:FREQ)=[A-Za-z]+(;{_RULE_PART})*;?$",
        message="not a recurrence rule",
        remedy="write one line of RFC 5545 such as FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=8;BYMINUTE=30",
    ),
    Rule(
        cel="!(self.upperAscii().contains('COUNT=') && self.upperAscii().contains('UNTIL='))",
        holds=lambda text: not ("COUNT=" in text.upper() and "UNTIL=" in text.upper()),
        message="COUNT and UNTIL exclude each other",
        remedy="keep one of them",
    ),
]
"""A rule of RFC 5545 3.3.10; what its parts mean is for ``ordinaut.schedule`` to check."""
