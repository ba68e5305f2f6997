"""
The rules of schedules a second time, as slow and simple as they can be written, to hold the engine against.

Written from the rules alone: expressions are read here anew, and time is walked step by step while ``zoneinfo`` is
asked what the clock on the wall shows, so that it shares neither an idea nor a line with ``ordinaut.schedule``. The
property tests of schedules, and the tests that move the whole clock through years, take from here what must fire.
"""

import re
import zoneinfo
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import count, groupby, pairwise
from zoneinfo import ZoneInfo

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)

LONGEST_FOLD = timedelta(hours=4)
"""No clock of 2007 to 2037 was or will be set back by more; the most are three hours (Antarctica/Casey)."""

FIRST_YEAR, LAST_YEAR = 2007, 2037

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
BYDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def wall(zone: str, instant: datetime) -> datetime:
    """Return what the clock on the wall shows at an instant, as a naive time."""
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@lru_cache(maxsize=64)
def walk(zone: str, first: datetime, last: datetime, step: timedelta) -> tuple[tuple[datetime, datetime], ...]:
    """Return (instant, wall time) of each step."""
    here, seconds = ZoneInfo(zone), int(step.total_seconds())
    walked = range(int(first.timestamp()), int(last.timestamp()) + 1, seconds)
    return tuple(
        (datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(at, here).replace(tzinfo=None)) for at in walked
    )


# ---------------------------------------------------------------- changes of the clocks


@cache
def zones() -> tuple[str, ...]:
    """Return the names of all zones, one for each that are the same under several names."""
    found: dict[tuple[int, ...], str] = {}
    for name in sorted(zoneinfo.available_timezones() - {"Factory", "localtime"}):
        here = ZoneInfo(name)
        found.setdefault(tuple(_offset(here, at) for at in _probes(days=13)), name)
    return tuple(found.values())


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Return the instants from 2007 to 2037 at which the clocks of a zone are changed."""
    here = ZoneInfo(zone)
    found = []
    for low, high in pairwise(_probes(days=3)):
        if _offset(here, low) != _offset(here, high):
            minutes = range(low, high + 1, 60)
            before = _offset(here, low)
            index = bisect_left(minutes, True, key=lambda at: _offset(here, at) != before)
            found.append(datetime.fromtimestamp(minutes[index], UTC))
    return tuple(found)


def _probes(*, days: int) -> range:
    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (FIRST_YEAR, LAST_YEAR + 1))
    return range(first, last, days * 86_400)


def _offset(here: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, here).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


# ---------------------------------------------------------------- cron


@dataclass(frozen=True)
class Field:
    """A field of an expression: its plain numbers, its special terms, and whether it begins with a star."""

    numbers: frozenset[int]
    special: frozenset[str]
    star: bool


@dataclass(frozen=True)
class Expression:
    """What a cron expression says."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    def follows_the_clock(self) -> bool:
        """Whether it is one that begins with a star in minute, hour or seconds."""
        return self.second.star or self.minute.star or self.hour.star

    def matches(self, at: datetime) -> bool:
        """Whether a wall time is one of those that it names."""
        return (
            at.second in self.second.numbers
            and at.minute in self.minute.numbers
            and at.hour in self.hour.numbers
            and at.month in self.month.numbers
            and self._day_matches(at)
        )

    def _day_matches(self, at: datetime) -> bool:
        by_day, by_weekday = day_of_month_matches(self.day, at), day_of_week_matches(self.weekday, at)
        if self.day.star or self.weekday.star:
            return by_day and by_weekday
        return by_day or by_weekday


def day_of_month_matches(field: Field, at: datetime) -> bool:
    last = _last_day(at)
    last_working_day = max(day for day in range(1, last + 1) if at.replace(day=day).isoweekday() <= 5)
    return (
        at.day in field.numbers
        or ("l" in field.special and at.day == last)
        or ("lw" in field.special and at.day == last_working_day)
    )


def day_of_week_matches(field: Field, at: datetime) -> bool:
    number = at.isoweekday() % 7
    same = [day for day in range(1, _last_day(at) + 1) if at.replace(day=day).isoweekday() % 7 == number]
    return (
        number in field.numbers
        or f"{number}#{same.index(at.day) + 1}" in field.special
        or (f"{number}l" in field.special and at.day == same[-1])
    )


def _last_day(at: datetime) -> int:
    return ((at.replace(day=28) + 4 * DAY).replace(day=1) - DAY).day


@cache
def read(expression: str) -> Expression:
    """Read an expression that is right."""
    texts = MACROS.get(expression, expression).split()
    if len(texts) == 5:
        texts = ["0", *texts]
    second, minute, hour, day, month, weekday = texts
    return Expression(
        _field(second, 0, 59),
        _field(minute, 0, 59),
        _field(hour, 0, 23),
        _field(day, 1, 31),
        _field(month, 1, 12, names=MONTHS, first_name=1),
        _field(weekday, 0, 7, names=DAYS, first_name=0),
    )


def _field(text: str, low: int, high: int, *, names: Sequence[str] = (), first_name: int = 0) -> Field:
    numbers: set[int] = set()
    special: set[str] = set()
    for term in text.lower().split(","):
        for number, name in enumerate(names, first_name):
            term = re.sub(rf"\b{name}", str(number), term)  # noqa: PLW2901 - the term with numbers for names
        if term.endswith("l") or "#" in term or term == "lw":
            special.add(re.sub("^7", "0", term))
            continue
        span, _, step = term.partition("/")
        begin, _, end = span.partition("-")
        first, last = (low, high) if span == "*" else (int(begin), int(end or begin))
        numbers |= set(range(first, last + 1, int(step or 1)))
    if high == 7:
        numbers = {number % 7 for number in numbers}
    return Field(frozenset(numbers), frozenset(special), text.startswith("*"))


def cron(
    expression: str, zone: str, first: datetime, last: datetime, *, skip: bool = False, step: timedelta | None = None
) -> list[datetime]:
    """
    Return the instants of an expression from ``first`` to ``last``, both included.

    ``step`` is how time is walked: a minute by default, or a second where the expression has seconds. It may be longer
    where neither the expression nor the changes of the clocks need as much.
    """
    wanted = read(expression)
    if step is None:
        step = SECOND if len(expression.split()) == 6 else MINUTE
    steps = walk(zone, first - LONGEST_FOLD, last, step)
    if wanted.follows_the_clock():
        return [instant for instant, shown in steps if instant >= first and wanted.matches(shown)]
    found, seen = set(), {steps[0][1]}
    for (_, before), (instant, shown) in pairwise(steps):
        if not skip:
            missing = before + step
            while missing < shown:  # no clock showed these
                if wanted.matches(missing):
                    found.add(instant)
                missing += step
        if shown not in seen and wanted.matches(shown):
            found.add(instant)
        seen.add(shown)
    return sorted(instant for instant in found if instant >= first)


# ---------------------------------------------------------------- recurrence rules


@dataclass(frozen=True)
class Rule:
    """What a recurrence rule says; the BY parts that are empty are not there."""

    freq: str
    interval: int = 1
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    days: tuple[str, ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    count: int | None = None
    until: datetime | None = None

    def text(self) -> str:
        """Return it as RFC 5545 writes it."""
        parts = {
            "FREQ": self.freq,
            "INTERVAL": str(self.interval),
            "BYMONTH": _joined(self.months),
            "BYMONTHDAY": _joined(self.month_days),
            "BYDAY": _joined(self.days),
            "BYHOUR": _joined(self.hours),
            "BYMINUTE": _joined(self.minutes),
            "COUNT": "" if self.count is None else str(self.count),
            "UNTIL": f"{self.until:%Y%m%dT%H%M%SZ}" if self.until else "",
        }
        return ";".join(f"{name}={value}" for name, value in parts.items() if value)


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def rrule(
    rule: Rule,
    dtstart: datetime,
    zone: str,
    last: datetime,
    *,
    skip: bool = False,
    exdates: Iterable[datetime] = (),
    rdates: Iterable[datetime] = (),
) -> list[datetime]:
    """Return all instants of a rule and its dates up to ``last``, from the naive ``dtstart`` on."""
    if rule.freq in {"HOURLY", "MINUTELY"}:
        found = _elapsed(rule, dtstart, zone, last)
    else:
        found = _daily(rule, dtstart, zone, last, skip=skip)
    instances = []
    for number, instant in enumerate(found):
        if number == rule.count or (rule.until is not None and instant > rule.until):
            break
        instances.append(instant)
    added = {resolved.instant for one in rdates if not ((resolved := resolve(zone, one)).missing and skip)}
    gone = {resolve(zone, one).instant for one in exdates}
    return sorted(instant for instant in ({*instances} | added) - gone if instant <= last)


@dataclass(frozen=True)
class Resolved:
    """The instant that a wall time stands for, and whether no clock shows it."""

    instant: datetime
    missing: bool


def resolve(zone: str, shown: datetime) -> Resolved:
    """Return the earlier instant of a time that is shown twice; one that is missing by the offset before the gap."""
    here = ZoneInfo(zone)
    guesses = (shown.replace(tzinfo=UTC) - timedelta(minutes=15 * quarter) for quarter in range(15 * 4, -15 * 4, -1))
    for instant in guesses:  # from the offset furthest ahead on, which is the earliest instant
        if instant.astimezone(here).replace(tzinfo=None) == shown:
            return Resolved(instant, missing=False)
    before = (shown.replace(tzinfo=UTC) - 2 * DAY).astimezone(here).utcoffset()
    assert before is not None
    return Resolved(shown.replace(tzinfo=UTC) - before, missing=True)


def _daily(rule: Rule, dtstart: datetime, zone: str, last: datetime, *, skip: bool) -> list[datetime]:
    """Return the instants of a rule of DAILY or slower: all times of each day that it names."""
    day, found = dtstart.replace(hour=0, minute=0), []
    while resolve(zone, day).instant <= last:
        if _is_named(rule, day, dtstart):
            for hour in rule.hours or (dtstart.hour,):
                for minute in rule.minutes or (dtstart.minute,):
                    shown = day.replace(hour=hour, minute=minute)
                    resolved = resolve(zone, shown)
                    if shown >= dtstart and not (resolved.missing and skip):
                        found.append(resolved.instant)
        day += DAY
    # What a missing time is read as may lie behind times of the next day.
    return sorted(instant for instant in found if instant <= last)


def _is_named(rule: Rule, day: datetime, dtstart: datetime) -> bool:
    begin = dtstart.replace(hour=0, minute=0)
    weekday = BYDAYS[day.weekday()]
    same = [one for one in range(1, _last_day(day) + 1) if (day.replace(day=one)).weekday() == day.weekday()]
    first, last = same.index(day.day) + 1, same.index(day.day) - len(same)
    on_day = {weekday, f"{first}{weekday}", f"{last}{weekday}"} & {*rule.days}
    on_month_day = {day.day, day.day - _last_day(day) - 1} & {*rule.month_days}
    is_month = not rule.months or day.month in rule.months
    if not is_month or (rule.month_days and not on_month_day) or (rule.days and not on_day):
        return False
    by_day = bool(rule.days or rule.month_days)
    match rule.freq:
        case "DAILY":
            return (day - begin).days % rule.interval == 0
        case "WEEKLY":
            weeks = (_monday(day) - _monday(begin)).days // 7
            return weeks % rule.interval == 0 and (by_day or day.weekday() == begin.weekday())
        case "MONTHLY":
            months = (day.year - begin.year) * 12 + day.month - begin.month
            return months % rule.interval == 0 and (by_day or day.day == begin.day)
        case "YEARLY":
            is_month = bool(rule.months) or by_day or day.month == begin.month
            return (day.year - begin.year) % rule.interval == 0 and is_month and (by_day or day.day == begin.day)
    raise AssertionError(rule.freq)


def _monday(day: datetime) -> datetime:
    return day - day.weekday() * DAY


def _elapsed(rule: Rule, dtstart: datetime, zone: str, last: datetime) -> Iterator[datetime]:
    """Yield DTSTART and every so many hours or minutes after it, where what the wall shows passes all filters."""
    step = rule.interval * (timedelta(hours=1) if rule.freq == "HOURLY" else MINUTE)
    begin = resolve(zone, dtstart).instant
    for number in count():
        instant = begin + number * step
        if instant > last:
            return
        shown = wall(zone, instant)
        if (
            (not rule.months or shown.month in rule.months)
            and (not rule.month_days or {shown.day, shown.day - _last_day(shown) - 1} & {*rule.month_days})
            and (not rule.days or BYDAYS[shown.weekday()] in rule.days)
            and (not rule.hours or shown.hour in rule.hours)
            and (not rule.minutes or shown.minute in rule.minutes)
        ):
            yield instant


# ---------------------------------------------------------------- everything else


def interval(every: timedelta, anchor: datetime, first: datetime, last: datetime) -> list[datetime]:
    """Return the anchor and every so much elapsed time after it, from ``first`` to ``last``, both included."""
    found, at = [], anchor
    while at <= last:
        if at >= first:
            found.append(at)
        at += every
    return found


def merged(several: Iterable[Iterable[datetime]]) -> list[datetime]:
    """Return the instants of several schedules, each once."""
    return [instant for instant, _ in groupby(sorted(instant for one in several for instant in one))]
