"""
Cron: from an expression to the instants at which it fires.

``fires`` calls ``instants``; ``admission`` asks a ``Timetable`` whether it can fire at all and how often. The clock
changes twice a year in most zones, and this is where expressions part: one that begins with ``*`` in a time field
means "while the clock runs" and is matched against the running wall clock; a fixed one means "once at that time", so
a repeated hour fires once and a missing one at its end. (Debian cron draws the same line.)
"""

from collections.abc import Iterator
from functools import lru_cache

from ordinaut.schedule.cron_text import LAST_DAY, LAST_OF_MONTH, LAST_WEEKDAY, CronFields, read_cron
from ordinaut.schedule.days import Day, Days
from ordinaut.schedule.seconds import DAY
from ordinaut.schedule.spec import Cron, Gap
from ordinaut.schedule.times import Times, walls
from ordinaut.schedule.zone import Zone, zone

_FRIDAY = 4


class Timetable:
    """The days and times of one expression on a wall clock, whatever the zone."""

    __slots__ = ("_fields", "days", "times")

    def __init__(self, fields: CronFields) -> None:
        self._fields = fields
        self.days = Days(self._admits, months=fields.months)
        self.times = Times(fields.hours, fields.minutes, fields.seconds)

    @property
    def wildcard(self) -> bool:
        """Whether it follows the running clock rather than naming fixed times."""
        return self._fields.wildcard

    def walls(self, first: int, last: int) -> Iterator[int]:
        """Yield, in order, the wall times from ``first`` to at least ``last``."""
        return walls(self.days.between(first // DAY, last // DAY), self.times, first=first)

    def _admits(self, day: Day) -> bool:
        if self._fields.either_day:
            return self._matches_day_of_month(day) or self._matches_day_of_week(day)
        return self._matches_day_of_month(day) and self._matches_day_of_week(day)

    def _matches_day_of_month(self, day: Day) -> bool:
        days = self._fields.days
        return (
            day.day in days
            or (LAST_DAY in days and day.day == day.month_length)
            or (LAST_WEEKDAY in days and day.day == _last_weekday(day))
        )

    def _matches_day_of_week(self, day: Day) -> bool:
        weekday, nth = (day.weekday + 1) % 7, self._fields.nth_weekdays
        return (
            weekday in self._fields.weekdays
            or (weekday, (day.day + 6) // 7) in nth
            or (day.is_last_seven and (weekday, LAST_OF_MONTH) in nth)
        )


def _last_weekday(day: Day) -> int:
    """Return the last day from Monday to Friday of the month of ``day``."""
    last = (day.weekday + day.month_length - day.day) % 7
    return day.month_length - max(0, last - _FRIDAY)


@lru_cache(maxsize=4096)
def timetable(expression: str) -> Timetable:
    """Return the timetable of an expression; raise ``Invalid`` if it breaks the grammar."""
    return Timetable(read_cron(expression))


def instants(cron: Cron, *, after: int, until: int) -> Iterator[int]:
    """Yield, in order, the instants in (after, until]; an instant may come twice when a gap joins two wall times."""
    table, here = timetable(cron.expression), zone(cron.zone)
    if table.wildcard:
        return _running(table, here, after=after, until=until)
    return _fixed(table, here, cron.gap, after=after, until=until)


def _running(table: Timetable, here: Zone, *, after: int, until: int) -> Iterator[int]:
    for start, end, offset in here.periods(after + 1, until):
        for wall in table.walls(start + offset, end + offset):
            if wall - offset >= end:
                break
            yield wall - offset


def _fixed(table: Timetable, here: Zone, gap: Gap, *, after: int, until: int) -> Iterator[int]:
    for wall in table.walls(here.wall_at(after), until + DAY):
        reading = here.read(wall)
        instant = here.gap_end(reading) if reading.missing else reading.instant
        if instant > until:
            return
        if instant > after and not (reading.missing and gap is Gap.SKIP):
            yield instant
