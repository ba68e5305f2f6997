"""
When does a schedule fire next? The one question that the clock, the preview and the status of a task all ask.

``next_fires`` answers with a list, ``iter_fires`` lazily for ``missed``. A task may have several schedules: their
instants are merged, and one instant is one firing, however many schedules or wall times lead to it. Nothing here reads
a clock or a database: the caller says ``after`` what.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from heapq import merge
from itertools import islice

from ordinaut.schedule import cron, interval, rrule
from ordinaut.schedule.seconds import DAY, FIRST_INSTANT, LAST_INSTANT, instant_of, utc
from ordinaut.schedule.spec import At, Bounded, Cron, Interval, RRule, Schedule

HORIZON_YEARS = 50
"""How far a search looks ahead: 29 February on a Monday comes back after 28 or 40 years."""

MAX_LIMIT = 10_000
"""Instants that one call of ``next_fires`` may ask for."""

_HORIZON = HORIZON_YEARS * 366 * DAY
_REMEMBERED_LIMIT = 10


def next_fires(schedules: Schedule | Sequence[Schedule], *, after: datetime, limit: int) -> list[datetime]:
    """
    Return the next ``limit`` instants, in UTC and whole seconds, strictly increasing and strictly later than ``after``.

    Fewer come back if the schedules end, or do not fire within the 50 years after ``after``. Several schedules are
    merged. ``after`` must be aware, and ``limit`` from 1 to ``MAX_LIMIT``: anything else is a ``ValueError``.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit {limit} is out of range: allowed is 1-{MAX_LIMIT}")
    several = schedules if isinstance(schedules, Sequence) else (schedules,)
    if limit > _REMEMBERED_LIMIT or any(map(_has_many_dates, several)):
        return list(islice(iter_fires(several, after=after), limit))
    return [utc(instant) for instant in _remembered(tuple(several), instant_of(after), limit)]


def iter_fires(schedules: Sequence[Schedule], *, after: datetime) -> Iterator[datetime]:
    """Yield what ``next_fires`` lists, as far as it is asked for."""
    return map(utc, _instants(schedules, instant_of(after)))


def _has_many_dates(schedule: Schedule) -> bool:
    rule = schedule.rule if isinstance(schedule, Bounded) else schedule
    return isinstance(rule, RRule) and rule.has_many_dates


@lru_cache(maxsize=16_384)
def _remembered(schedules: tuple[Schedule, ...], after: int, limit: int) -> tuple[int, ...]:
    # Thousands of tasks share "0 9 * * 1-5" and fire in the same transaction: only the first one computes.
    return tuple(islice(_instants(schedules, after), limit))


def _instants(schedules: Sequence[Schedule], after: int) -> Iterator[int]:
    after = min(max(after, FIRST_INSTANT), LAST_INSTANT)
    until = min(after + _HORIZON, LAST_INSTANT)
    last = after
    for instant in merge(*(_of_one(schedule, after=after, until=until) for schedule in schedules)):
        if instant > last:
            last = instant
            yield instant


def _of_one(schedule: Schedule, *, after: int, until: int) -> Iterator[int]:
    match schedule:
        case Cron():
            return cron.instants(schedule, after=after, until=until)
        case RRule():
            return rrule.instants(schedule, after=after, until=until)
        case Interval():
            return interval.instants(schedule, after=after, until=until)
        case At():
            return iter([instant_of(schedule.instant)])
        case Bounded():
            if schedule.start is not None:
                after = max(after, _before(schedule.start))
            if schedule.end is not None:
                until = min(until, instant_of(schedule.end))
            return (at for at in _of_one(schedule.rule, after=after, until=until) if after < at <= until)


def _before(moment: datetime) -> int:
    """Return the last whole second before ``moment``, which may lie between two."""
    return instant_of(moment) - (0 if moment.microsecond else 1)
