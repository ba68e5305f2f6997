"""
RRULE with FREQ=DAILY and slower: expansion on the wall clock.

``rrule`` calls ``instants``. The RFC describes an expansion from DTSTART on, period by period, which takes seconds for
an old DTSTART or a rule that hardly ever fires. It comes to the same that a day belongs to the rule if the calendar
parts admit it and its period (year, month, week, day) is a multiple of INTERVAL away from DTSTART's; so the search
starts where it is asked to, and COUNT is made good by counting the days before, not by walking the times.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from heapq import heappop, heappush
from itertools import groupby, islice, pairwise, takewhile
from operator import itemgetter

from ordinaut.schedule.days import Month
from ordinaut.schedule.rrule_days import admitted_days
from ordinaut.schedule.rrule_text import Freq, Recurrence
from ordinaut.schedule.seconds import DAY, calendar_day, day_of, new_year, wall_of
from ordinaut.schedule.spec import Gap
from ordinaut.schedule.times import Times, TimesOfDay, walls
from ordinaut.schedule.zone import Reading, Zone

_LONGEST_PERIOD = 366
_THURSDAY = 3
"""The weekday of day 0."""


class DailyRule:
    """One rule of FREQ=DAILY or slower with its DTSTART, on the wall clock of one zone."""

    def __init__(self, rule: Recurrence, dtstart: datetime, here: Zone, gap: Gap) -> None:
        self._rule = rule
        self._start = wall_of(dtstart)
        self._zone = here
        self._gap = gap
        self._days = admitted_days(rule, dtstart.date())
        hours, minutes, seconds = rule.by_hour, rule.by_minute, rule.by_second
        times = Times(hours or [dtstart.hour], minutes or [dtstart.minute], seconds or [dtstart.second])
        self.shortest_interval = times.shortest_interval()
        self._times: TimesOfDay = times
        self._chooses = bool(rule.by_set_pos)
        if self._chooses and rule.freq is Freq.DAILY:
            # Each day is a period of its own, so BYSETPOS chooses the same times every day.
            self._times = tuple(times[index] for index in rule.positions_in(len(times)))
            self._chooses = False
        self._first_period = self._number(dtstart.date())

    def instants(self, *, after: int, until: int) -> Iterator[int]:
        """Yield, in order, the instants in (after, until]; one may come twice when a gap joins two wall times."""
        # A time of a gap that ended less than a day ago is read by the offset before it, and may be still to come.
        offset = min(self._zone.offset_at(after), self._zone.offset_at(after - DAY))
        first = max(after + offset, self._start)
        readings: Iterator[Reading] = map(self._zone.read, self._walls(first, until + DAY))
        if self._gap is Gap.SKIP:
            readings = (reading for reading in readings if not reading.missing)
        if self._rule.count is not None:
            readings = islice(readings, max(0, self._rule.count - self._used_before(first)))
        for instant in _in_order(readings):
            if instant > until:
                return
            if instant > after:
                yield instant

    def _walls(self, first: int, last: int) -> Iterator[int]:
        """Yield, in order, the wall times of the rule from ``first`` (not before DTSTART) to at least ``last``."""
        last_day = last // DAY + _LONGEST_PERIOD
        if self._chooses:
            return self._chosen(first, last_day)
        days = (day for _, piece in self._active(first // DAY, last_day) for day in piece)
        return walls(days, self._times, first=first)

    def _chosen(self, first: int, last_day: int) -> Iterator[int]:
        first_day = self._period_start(first // DAY)
        for _, pieces in groupby(self._active(first_day, last_day), key=itemgetter(0)):
            days = [day for _, piece in pieces for day in piece]
            for index in self._rule.positions_in(len(days) * len(self._times)):
                day, time = divmod(index, len(self._times))
                wall = days[day] * DAY + self._times[time]
                if wall >= first:
                    yield wall

    def _active(self, first: int, last: int) -> Iterator[tuple[int, Sequence[int]]]:
        """Yield the days that INTERVAL admits too, in pieces: the number of their period, and the days."""
        for month in self._days.months(first, last):
            for number, days in self._pieces(month):
                if (number - self._first_period) % self._rule.interval == 0:
                    yield number, days

    def _pieces(self, month: Month) -> Iterable[tuple[int, Sequence[int]]]:
        match self._rule.freq:
            case Freq.WEEKLY:
                return ((week, list(days)) for week, days in groupby(month.days, key=self._week))
            case Freq.DAILY:
                # Nobody asks which day is which period, so a month's active days may pass for one.
                start, interval = self._first_period, self._rule.interval
                return [(start, [day for day in month.days if (day - start) % interval == 0])]
            case _:
                return [(self._number(date(month.year, month.month, 1)), month.days)]

    def _number(self, shown: date) -> int:
        """Number the period that a calendar day lies in; neighbouring periods differ by 1."""
        match self._rule.freq:
            case Freq.YEARLY:
                return shown.year
            case Freq.MONTHLY:
                return shown.year * 12 + shown.month
            case Freq.WEEKLY:
                return self._week(day_of(shown))
            case _:
                return day_of(shown)

    def _week(self, day: int) -> int:
        return (day + _THURSDAY - self._rule.week_start) // 7

    def _period_start(self, day: int) -> int:
        shown = calendar_day(day)
        match self._rule.freq:
            case Freq.YEARLY:
                return new_year(shown.year)
            case Freq.MONTHLY:
                return day - shown.day + 1
            case _:
                return day - (shown.weekday() - self._rule.week_start) % 7

    def _used_before(self, first: int) -> int:
        """Return how much of COUNT the times from DTSTART up to but not including ``first`` have used up."""
        used = self._count(self._start, first)
        return used - self._missing_before(first) if self._gap is Gap.SKIP else used

    def _count(self, first: int, end: int) -> int:
        """Return how many wall times lie from ``first`` up to but not including ``end``."""
        if self._chooses:
            return sum(1 for _ in takewhile(lambda wall: wall < end, self._walls(first, end)))
        days = self._count_days(first // DAY, end // DAY)
        return days * len(self._times) + self._count_since_midnight(end) - self._count_since_midnight(first)

    def _count_days(self, first: int, end: int) -> int:
        if self._rule.interval == 1:
            return self._days.count(first, end)
        return sum(len(days) for _, days in self._active(first, end - 1))

    def _count_since_midnight(self, wall: int) -> int:
        day, time = divmod(wall, DAY)
        return bisect_left(self._times, time) * self._count_days(day, day + 1)

    def _missing_before(self, first: int) -> int:
        """Return how many wall times of the rule before ``first`` fall into gaps."""
        missing = 0
        for before, following in pairwise(self._zone.periods(self._start - DAY, first + DAY)):
            low = max(before.end + before.offset, self._start)
            high = min(following.start + following.offset, first)
            if low < high:
                missing += self._count(low, high)
        return missing


def _in_order(readings: Iterator[Reading]) -> Iterator[int]:
    """Sort instants of ascending wall times: those of a gap lie among those of the times after it."""
    delayed: list[int] = []
    for reading in readings:
        if reading.missing:
            heappush(delayed, reading.instant)
            continue
        while delayed and delayed[0] <= reading.instant:
            yield heappop(delayed)
        yield reading.instant
    yield from sorted(delayed)
