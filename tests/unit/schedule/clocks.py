"""
Slow and obvious references that the schedules are held against.

They walk real time minute by minute (or step by step) and ask ``zoneinfo`` what the clock on the wall shows, so they
share neither an idea nor a line with the code under test.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import settings

from ordinaut.schedule.cron_text import LAST_DAY, LAST_OF_MONTH, LAST_WEEKDAY, CronFields

# The references are slow on purpose, and the machines that run this are shared.
against_reference = settings(deadline=None, max_examples=60)

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

WINDOWS = (
    ("America/New_York", datetime(2026, 3, 6)),  # gap 02:00-03:00
    ("America/New_York", datetime(2026, 10, 30)),  # fold 01:00-02:00
    ("Europe/Chisinau", datetime(2026, 3, 27)),  # gap 03:00-04:00
    ("Europe/Dublin", datetime(2026, 3, 27)),  # winter is the daylight saving time
    ("Australia/Lord_Howe", datetime(2026, 10, 2)),  # gap of 30 minutes
    ("Australia/Lord_Howe", datetime(2027, 4, 2)),  # fold of 30 minutes
    ("Africa/Cairo", datetime(2026, 4, 22)),  # midnight does not exist
    ("Africa/Cairo", datetime(2026, 10, 28)),  # the hour before midnight is repeated
    ("America/Havana", datetime(2025, 10, 31)),  # the hour after midnight is repeated
    ("America/Sao_Paulo", datetime(2018, 2, 16)),  # fold 23:00-24:00
    ("America/Sao_Paulo", datetime(2018, 11, 2)),  # midnight does not exist
    ("Africa/Casablanca", datetime(2026, 2, 13)),
    ("Pacific/Apia", datetime(2011, 12, 28)),  # 30 December does not exist
    ("Pacific/Kiritimati", datetime(1994, 12, 30)),  # 31 December 1994 (local) does not exist
    ("Asia/Kathmandu", datetime(2026, 11, 22)),  # +05:45
    ("Asia/Gaza", datetime(2040, 10, 19)),  # two changes within seven days
    ("UTC", datetime(2028, 2, 27)),
)
"""Zones, and the UTC days from which a window of five days is walked."""

WINDOW = 5 * DAY


@cache
def shown(zone: str, start: datetime, length: timedelta = WINDOW) -> tuple[tuple[datetime, datetime], ...]:
    """Return (UTC instant, naive wall time) of every minute."""
    here = ZoneInfo(zone)
    minutes = (start.replace(tzinfo=UTC) + MINUTE * minute for minute in range(int(length / MINUTE)))
    return tuple((minute, minute.astimezone(here).replace(tzinfo=None)) for minute in minutes)


def day_matches(fields: CronFields, wall: datetime) -> bool:
    following = wall + DAY
    last_of_month = following.month != wall.month
    weekdays = [wall + DAY * more for more in range(1, 4)]
    last_weekday = wall.weekday() < 5 and all(later.month != wall.month or later.weekday() > 4 for later in weekdays)
    day_of_month = (
        wall.day in fields.days
        or (LAST_DAY in fields.days and last_of_month)
        or (LAST_WEEKDAY in fields.days and last_weekday)
    )
    number = wall.isoweekday() % 7
    nth = sum(1 for week in range(5) if (wall - 7 * week * DAY).month == wall.month and wall.day > 7 * week)
    is_last = (wall + 7 * DAY).month != wall.month
    day_of_week = (
        number in fields.weekdays
        or (number, nth) in fields.nth_weekdays
        or (is_last and (number, LAST_OF_MONTH) in fields.nth_weekdays)
    )
    return (day_of_month or day_of_week) if fields.either_day else (day_of_month and day_of_week)


def wall_matches(fields: CronFields, wall: datetime) -> bool:
    return (
        wall.minute in fields.minutes
        and wall.hour in fields.hours
        and wall.month in fields.months
        and day_matches(fields, wall)
    )


def cron_by_minutes(fields: CronFields, zone: str, start: datetime, *, skip: bool) -> list[datetime]:
    """Return the instants of a 5-field expression in a window, by walking its minutes."""
    minutes = shown(zone, start)
    if fields.wildcard:
        return [instant for instant, wall in minutes if wall_matches(fields, wall)]
    found, seen, before = set(), set(), minutes[0][1]
    for instant, wall in minutes:
        skipped = before + MINUTE
        while skipped < wall:  # the clock jumped: these were never shown
            if wall_matches(fields, skipped) and not skip:
                found.add(instant)
            skipped += MINUTE
        if wall not in seen and wall_matches(fields, wall):
            found.add(instant)
        seen.add(wall)
        before = wall
    return sorted(found)


def steps_by_walking(
    anchor: datetime, step: timedelta, zone: str, length: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Yield (UTC instant, naive wall time) of anchor + k x step."""
    here, instant = ZoneInfo(zone), anchor
    while instant < anchor + length:
        yield instant, instant.astimezone(here).replace(tzinfo=None)
        instant += step
