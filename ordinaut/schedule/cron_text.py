"""
The cron grammar: from text to the sets of values of its six fields, or to an error that names the field.

Crontabs in the wild disagree about what a field may hold, and a scheduler that guesses runs a job at the wrong hour
for months. So this accepts what Debian cron and Kubernetes agree on, plus seconds in front and the unmistakable
``L``, ``LW``, ``nL`` and ``n#k``, and refuses the rest with the way to say it here. ``cron`` turns the fields into
days and times.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ordinaut.errors import shown
from ordinaut.schedule.grammar import GrammarError, blamed_on, check_characters

MAX_LENGTH = 255
"""Characters of an expression."""

LAST_DAY = -1
LAST_WEEKDAY = -2
"""Values of the day of month field besides 1-31: ``L`` and ``LW``."""

LAST_OF_MONTH = -1
"""The k of ``nL`` among the (weekday, k) pairs of the day of week field."""

_MACROS = MappingProxyType(
    {
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *",
        "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@hourly": "0 * * * *",
    }
)

_TERM = re.compile(r"(?P<first>\*|[0-9]+|[A-Z]+)(?:-(?P<last>[0-9]+|[A-Z]+))?(?:/(?P<step>[0-9]+))?")
_LAST_WEEKDAY_OF_MONTH = re.compile(r"(?P<weekday>[0-9]+|[A-Z]{3})L")
_NTH_WEEKDAY = re.compile(r"(?P<weekday>[0-9]+|[A-Z]+)#(?P<nth>[0-9]+)")


@dataclass(frozen=True, slots=True)
class _Field:
    title: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        """The allowed range, for messages."""
        names = f" or {'-'.join((*self.names,)[:: len(self.names) - 1])}" if self.names else ""
        return f"{self.low}-{self.high}{names}"


def _named(names: str, *, first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


_SECOND = _Field("second", 0, 59)
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31)
_MONTH = _Field("month", 1, 12, _named("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", first=1))
_WEEKDAY = _Field("day of week", 0, 7, _named("SUN MON TUE WED THU FRI SAT", first=0))
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


@dataclass(frozen=True, slots=True)
class CronFields:
    """
    What an expression says.

    ``days`` may hold ``LAST_DAY`` and ``LAST_WEEKDAY``; ``weekdays`` counts Sunday as 0, and ``nth_weekdays`` holds
    (weekday, k): the k-th of the month, or the last for ``LAST_OF_MONTH``.
    """

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]
    wildcard: bool
    """Whether the second, minute or hour begins with ``*``: then it follows the running clock through a change."""
    either_day: bool
    """Whether day of month and day of week are both restricted: then a day needs to match only one of them (Vixie)."""


def read_cron(expression: str) -> CronFields:
    """Return what ``expression`` says, or raise ``Invalid`` for the field ``cron``."""
    with blamed_on("cron", expression):
        return _read(expression)


def _read(expression: str) -> CronFields:
    second, minute, hour, day, month, weekday = texts = _split(expression)
    weekdays, nth_weekdays = _weekdays(weekday)
    return CronFields(
        seconds=_values(_SECOND, second),
        minutes=_values(_MINUTE, minute),
        hours=_values(_HOUR, hour),
        days=_days(day),
        months=_values(_MONTH, month),
        weekdays=weekdays,
        nth_weekdays=nth_weekdays,
        wildcard=any(text.startswith("*") for text in texts[:3]),
        either_day=not day.startswith("*") and not weekday.startswith("*"),
    )


def _split(expression: str) -> list[str]:
    check_characters(expression, longest=MAX_LENGTH)
    if expression.strip().startswith("@"):
        expression = _macro(expression.strip())
    if expression.lstrip().upper().startswith(("TZ=", "CRON_TZ=")):
        raise GrammarError("a time zone does not belong in the expression", "put it into timeZone")
    texts = expression.upper().split()
    if len(texts) not in {5, 6}:
        remedy = "write minute, hour, day of month, month and day of week; seconds may stand in front; there is no year"
        raise GrammarError(f"has {len(texts)} fields where 5 or 6 are allowed", remedy)
    return ["0", *texts][-6:]


def _macro(name: str) -> str:
    if name in _MACROS:
        return _MACROS[name]
    if name.startswith("@every"):
        raise GrammarError("@every is not supported", "use interval instead of cron")
    if name.startswith("@reboot"):
        raise GrammarError("@reboot is not supported", "use a time, or a trigger on an event")
    raise GrammarError("unknown macro", f"use one of {' '.join(_MACROS)}, in lower case")


def _days(text: str) -> frozenset[int]:
    special = {"L": LAST_DAY, "LW": LAST_WEEKDAY}
    terms = text.split(",")
    numbers = [term for term in terms if term not in special]
    found = {special[term] for term in terms if term in special}
    return frozenset(found | _union(_DAY, numbers))


def _weekdays(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    nth, numbers = set(), []
    for term in text.split(","):
        if last := _LAST_WEEKDAY_OF_MONTH.fullmatch(term):
            nth.add((_number(_WEEKDAY, last["weekday"]) % 7, LAST_OF_MONTH))
        elif match := _NTH_WEEKDAY.fullmatch(term):
            nth.add((_number(_WEEKDAY, match["weekday"]) % 7, _nth(match["nth"])))
        else:
            numbers.append(term)
    return frozenset(number % 7 for number in _union(_WEEKDAY, numbers)), frozenset(nth)


def _nth(text: str) -> int:
    if text not in {"1", "2", "3", "4", "5"}:
        raise GrammarError(
            f"day of week: #{shown(text)} is out of range: allowed is #1-#5", "or write nL for the last one"
        )
    return int(text)


def _values(what: _Field, text: str) -> frozenset[int]:
    return frozenset(_union(what, text.split(",")))


def _union(what: _Field, terms: list[str]) -> set[int]:
    return {value for term in terms for value in _range(what, term)}


def _range(what: _Field, term: str) -> range:
    match = _TERM.fullmatch(term)
    if match is None or (match["first"] == "*" and match["last"]):
        raise GrammarError(f"{what.title}: can't read {shown(term)}: allowed is {what.allowed}", _remedy(what, term))
    step = int(match["step"] or 1)
    if step == 0:
        raise GrammarError(f"{what.title}: the step of {shown(term)} is 0", "use a step of 1 or more")
    if match["first"] == "*":
        return range(what.low, what.high + 1, step)
    low = _number(what, match["first"])
    high = low
    if match["last"]:
        high = _number(what, match["last"])
    elif match["step"]:
        high = what.high
    if high < low:
        remedy = f"write {_around(what, low, high)}"
        raise GrammarError(f"{what.title}: the range {shown(term)} runs backwards: allowed is {what.allowed}", remedy)
    return range(low, high + 1, step)


def _around(what: _Field, low: int, high: int) -> str:
    """Return what ``low`` to ``high`` past the end of the field may be written as."""
    if what is _WEEKDAY and high == 0:
        return f"{low}-7"
    return f"{low}-{what.high},{what.low}-{high}"


def _number(what: _Field, text: str) -> int:
    if text in what.names:
        return what.names[text]
    if not text.isdigit():
        raise GrammarError(f"{what.title}: can't read {shown(text)}: allowed is {what.allowed}", _remedy(what, text))
    if not what.low <= int(text) <= what.high:
        message = f"{what.title}: {shown(int(text))} is out of range: allowed is {what.allowed}"
        raise GrammarError(message, f"use {what.allowed}")
    return int(text)


def _remedy(what: _Field, term: str) -> str:
    if "?" in term:
        return "write * instead of ?"
    if term.startswith("H"):
        return "write a number instead of H; a task's jitter spreads load"
    if what is _DAY and ("L" in term or "W" in term):
        return "with L and W there are only L, the last day, and LW, the last day from Monday to Friday"
    if what is _WEEKDAY and "L" in term:
        return "write 5L or FRIL for the last Friday of the month"
    return f"use *, {what.allowed}, ranges a-b, lists a,b and steps */n"
