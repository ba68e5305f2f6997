"""
The RRULE grammar: from the text of one RFC 5545 recurrence rule to its parts, or to errors that name the part.

``rrule`` expands the parts. The combinations that the RFC's table in 3.3.10 marks N/A, or forbids in words, are refused
here rather than given a meaning that the next program would not share.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum

from ordinaut.errors import shown
from ordinaut.schedule.grammar import GrammarError, blamed_on, check_characters
from ordinaut.schedule.seconds import DAY, FIRST_YEAR, HOUR, MINUTE

MAX_LENGTH = 1024
"""Characters of a rule."""

MAX_ENTRIES = 366
"""Entries of one BY-list."""

MAX_DIGITS = 20
"""Digits of one number."""


class Freq(IntEnum):
    """The base period of a rule; the order is the RFC's, so that ``freq >= Freq.HOURLY`` means faster than daily."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


_HORIZON_YEARS = 50
LONGEST_INTERVAL = {
    Freq.YEARLY: _HORIZON_YEARS,
    Freq.MONTHLY: _HORIZON_YEARS * 12,
    Freq.WEEKLY: _HORIZON_YEARS * 52,
    Freq.DAILY: _HORIZON_YEARS * 365,
    Freq.HOURLY: _HORIZON_YEARS * 365 * DAY // HOUR,
    Freq.MINUTELY: _HORIZON_YEARS * 365 * DAY // MINUTE,
    Freq.SECONDLY: _HORIZON_YEARS * 365 * DAY,
}
"""A rule that steps further than the search horizon of 50 years would never be seen to fire again."""

WEEKS = 53
"""Weeks of the longest year, and weekdays of one name in a leap year that begins with it."""

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True)
class Weekday:
    """One entry of BYDAY: a weekday (0 is Monday), and which one of the month or year; 0 means every one."""

    weekday: int
    nth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """The parts of a rule. An empty tuple means that the part is absent; ``until`` is aware, or a local day."""

    freq: Freq
    interval: int = 1
    count: int | None = None
    until: datetime | date | None = None
    by_second: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_hour: tuple[int, ...] = ()
    by_day: tuple[Weekday, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_week_no: tuple[int, ...] = ()
    by_month: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()
    week_start: int = 0

    def positions_in(self, size: int) -> Sequence[int]:
        """Return the indexes, sorted, that BYSETPOS leaves of the ``size`` times of one period; all without it."""
        if not self.by_set_pos:
            return range(size)
        indexes = {position - 1 if position > 0 else size + position for position in self.by_set_pos}
        return sorted(index for index in indexes if 0 <= index < size)


def read_rrule(text: str) -> Recurrence:
    """Return the parts of the rule ``text``, or raise ``Invalid`` for the field ``rrule``."""
    with blamed_on("rrule", text):
        recurrence = _read(text)
        _check_combination(recurrence)
        return recurrence


def _read(text: str) -> Recurrence:
    check_characters(text, longest=MAX_LENGTH)
    body = text.strip().upper().removeprefix("RRULE:")
    if ":" in body:
        raise GrammarError(
            "holds another property", "write one RRULE; DTSTART, EXDATE and RDATE have fields of their own"
        )
    parts: dict[str, object] = {}
    for piece in body.removesuffix(";").split(";"):
        name, equals, value = piece.partition("=")
        if not equals or name not in _READERS:
            raise GrammarError(f"unknown part {shown(piece)}", f"use NAME=value with {', '.join(_READERS)}")
        attribute, read = _READERS[name]
        if attribute in parts:
            raise GrammarError(f"{name} is given twice", "give each part once")
        parts[attribute] = read(name, value)
    if "freq" not in parts:
        raise GrammarError("FREQ is missing", f"begin with FREQ={'|'.join(Freq.__members__)}")
    return Recurrence(**parts)  # type: ignore[arg-type]  # each reader returns what its attribute holds


def _freq(name: str, value: str) -> Freq:
    if value not in Freq.__members__:
        raise GrammarError(f"{name} {shown(value)} is unknown", f"use one of {', '.join(Freq.__members__)}")
    return Freq[value]


def _positive(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]+", value) or len(value) > MAX_DIGITS or int(value) < 1:
        raise GrammarError(f"{name} {shown(value)} is not a whole number of at least 1", f"use {name}=1 or more")
    return int(value)


def _until(name: str, value: str) -> datetime | date:
    until: datetime | date | None = None
    if re.fullmatch(r"[0-9]{8}(T[0-9]{6}Z)?", value):
        with suppress(ValueError):
            until = datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)
    if until is None:
        remedy = "write UTC as 20271231T235959Z, or a day as 20271231"
        raise GrammarError(f"{name} {shown(value)} is neither a UTC time nor a day", remedy)
    if until.year < FIRST_YEAR:
        raise GrammarError(f"{name} {shown(value)} is before the year {FIRST_YEAR}", "use a day to come")
    return until


def _week_start(name: str, value: str) -> int:
    if value not in WEEKDAYS:
        raise GrammarError(f"{name} {shown(value)} is not a weekday", f"use one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


def _entries(name: str, value: str) -> list[str]:
    entries = value.split(",")
    if len(entries) > MAX_ENTRIES:
        raise GrammarError(f"{name} has {len(entries)} entries, more than {MAX_ENTRIES}", "list fewer")
    return entries


def _numbers(low: int, high: int) -> Callable[[str, str], tuple[int, ...]]:
    signed, allowed = low < 0, f"{low}-{high}" if low >= 0 else f"1-{high} or -{high} to -1"
    pattern = re.compile(r"[+-]?[0-9]{1,3}" if signed else r"[0-9]{1,3}")

    def read(name: str, value: str) -> tuple[int, ...]:
        found = set()
        for entry in _entries(name, value):
            in_range = pattern.fullmatch(entry) and low <= int(entry) <= high and not (signed and int(entry) == 0)
            if not in_range:
                leap = "; leap seconds never fire" if (name, entry) == ("BYSECOND", "60") else ""
                raise GrammarError(
                    f"{name} {shown(entry)} is out of range: allowed is {allowed}{leap}", f"use {allowed}"
                )
            found.add(int(entry))
        return tuple(sorted(found))

    return read


def _by_day(name: str, value: str) -> tuple[Weekday, ...]:
    found: dict[Weekday, None] = {}
    for entry in _entries(name, value):
        match = re.fullmatch(rf"([+-]?[0-9]{{1,2}})?({'|'.join(WEEKDAYS)})", entry)
        nth = int(match[1] or 0) if match else 0
        if match is None or (match[1] and not 1 <= abs(nth) <= WEEKS):
            allowed = f"{', '.join(WEEKDAYS)}, each alone or after 1-53 or -53 to -1"
            raise GrammarError(f"{name} {shown(entry)} is not a weekday: allowed is {allowed}", "write MO, 2TU or -1FR")
        found[Weekday(WEEKDAYS.index(match[2]), nth)] = None
    return tuple(found)


_READERS: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "FREQ": ("freq", _freq),
    "INTERVAL": ("interval", _positive),
    "COUNT": ("count", _positive),
    "UNTIL": ("until", _until),
    "BYSECOND": ("by_second", _numbers(0, 59)),
    "BYMINUTE": ("by_minute", _numbers(0, 59)),
    "BYHOUR": ("by_hour", _numbers(0, 23)),
    "BYDAY": ("by_day", _by_day),
    "BYMONTHDAY": ("by_month_day", _numbers(-31, 31)),
    "BYYEARDAY": ("by_year_day", _numbers(-366, 366)),
    "BYWEEKNO": ("by_week_no", _numbers(-WEEKS, WEEKS)),
    "BYMONTH": ("by_month", _numbers(1, 12)),
    "BYSETPOS": ("by_set_pos", _numbers(-366, 366)),
    "WKST": ("week_start", _week_start),
}


def _check_combination(rule: Recurrence) -> None:
    for wrong, message, remedy in _forbidden(rule):
        if wrong:
            raise GrammarError(message, remedy)


def _forbidden(rule: Recurrence) -> list[tuple[bool, str, str]]:
    freq, limit = rule.freq.name, LONGEST_INTERVAL[rule.freq]
    numbered = any(entry.nth for entry in rule.by_day)
    by_parts = (
        *(rule.by_second, rule.by_minute, rule.by_hour, rule.by_day),
        *(rule.by_month_day, rule.by_year_day, rule.by_week_no, rule.by_month),
    )
    return [
        (
            rule.interval > limit,
            f"INTERVAL {rule.interval} is out of range: allowed is 1-{limit} with FREQ={freq}",
            "use a shorter interval, of at most 50 years",
        ),
        (rule.count is not None and rule.until is not None, "COUNT and UNTIL exclude each other", "keep one of them"),
        (
            bool(rule.by_week_no) and rule.freq != Freq.YEARLY,
            f"BYWEEKNO is not allowed with FREQ={freq}",
            "use FREQ=YEARLY",
        ),
        (
            bool(rule.by_year_day) and rule.freq in {Freq.MONTHLY, Freq.WEEKLY, Freq.DAILY},
            f"BYYEARDAY is not allowed with FREQ={freq}",
            "use FREQ=YEARLY",
        ),
        (
            bool(rule.by_month_day) and rule.freq == Freq.WEEKLY,
            "BYMONTHDAY is not allowed with FREQ=WEEKLY",
            "use FREQ=MONTHLY",
        ),
        (
            numbered and (rule.freq > Freq.MONTHLY or bool(rule.by_week_no)),
            "a numbered weekday in BYDAY needs FREQ=MONTHLY, or FREQ=YEARLY without BYWEEKNO",
            "drop the number or change FREQ",
        ),
        (
            bool(rule.by_set_pos) and not any(by_parts),
            "BYSETPOS needs another BY part to choose from",
            "add BYDAY or another BY part",
        ),
    ]
