"""
The calendar days of a schedule, found without testing each day of each year.

Whether a day belongs to ``0 0 29 2 1`` or ``FREQ=MONTHLY;BYDAY=-1FR`` depends only on what its year looks like: is it a
leap year, and on which weekday does it begin. There are 14 such shapes, so a search over the 50 years of the horizon
asks at most 14 years' days, month by month, and remembers the answers; it also proves that there is no 30 February.
``cron`` and ``rrule_days`` give the predicate, which sees nothing but a ``Day`` and so can't depend on more.
"""

from array import array
from calendar import isleap, monthrange
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from functools import cache
from typing import NamedTuple

from ordinaut.schedule.seconds import calendar_day, new_year

DECEMBER = 12
ALL_MONTHS = range(1, DECEMBER + 1)

_COMMON = 365

_EVERY_SHAPE = range(2000, 2028)
"""The calendar of the years around now repeats after 28 years; the rest of time has no other shapes."""


class Day(NamedTuple):
    """One day of a year of some shape; all numbers count from 1, but ``weekday`` from 0, Monday."""

    month: int
    day: int
    month_length: int
    weekday: int
    number: int
    """The day's number in its year."""
    year_length: int
    year_before: int
    """Days of the year before, and of the year after: week numbers depend on them."""
    year_after: int

    @property
    def is_last_seven(self) -> bool:
        """Whether no later day of the month has this weekday."""
        return self.day + 7 > self.month_length


_Shape = tuple[int, int, int, int]
"""The lengths of a year, of the one before and of the one after, and the weekday of 1 January."""


@cache
def _days_of(shape: _Shape, month: int) -> tuple[Day, ...]:
    """Return the days of a month of a year of this shape."""
    length, before, after, weekday = shape
    sample = date(2000 + (length == _COMMON), month, 1)
    month_length = monthrange(sample.year, month)[1]
    passed = sample.timetuple().tm_yday - 1
    return tuple(
        Day(month, day, month_length, (weekday + passed + day - 1) % 7, passed + day, length, before, after)
        for day in range(1, month_length + 1)
    )


def _year_length(year: int) -> int:
    return _COMMON + isleap(year)


class Month(NamedTuple):
    """The days of a schedule in one month, as sorted day numbers."""

    year: int
    month: int
    days: Sequence[int]


class Days:
    """
    The days that ``admits`` says yes to, in ``months`` only.

    Only with ``by_week`` may it look at the lengths of the years before and after: there are twice as many shapes then.
    """

    __slots__ = ("_admits", "_by_week", "_chosen", "_counts", "_months")

    def __init__(
        self, admits: Callable[[Day], bool], *, months: Collection[int] = ALL_MONTHS, by_week: bool = False
    ) -> None:
        self._admits = admits
        self._months = sorted(months)
        self._by_week = by_week
        self._counts: dict[_Shape, int] = {}
        self._chosen: dict[tuple[_Shape, int], Sequence[int]] = {}

    def months(self, first: int, last: int) -> Iterator[Month]:
        """Yield, in order, the months that have any of the days from ``first`` to ``last``, both included."""
        begin, end = calendar_day(first), calendar_day(last)
        for year in range(begin.year, end.year + 1):
            january, shape = new_year(year), self._shape(year)
            low = begin.month if year == begin.year else 1
            high = end.month if year == end.year else DECEMBER
            for month in self._months:
                if low <= month <= high:
                    days = [january + day for day in self._of_month(shape, month)]
                    if month in {low, high}:
                        days = [day for day in days if first <= day <= last]
                    if days:
                        yield Month(year, month, days)

    def between(self, first: int, last: int) -> Iterator[int]:
        """Yield, in order, the day numbers from ``first`` to ``last``, both included."""
        return (day for month in self.months(first, last) for day in month.days)

    def count(self, first: int, end: int) -> int:
        """Return how many days there are from ``first`` up to but not including ``end``."""
        whole_years = range(calendar_day(first).year + 1, calendar_day(end).year)
        if not whole_years:
            return sum(len(month.days) for month in self.months(first, end - 1))
        within = sum(self._count_of_shape(self._shape(year)) for year in whole_years)
        edges = self.count(first, new_year(whole_years.start)), self.count(new_year(whole_years.stop), end)
        return within + sum(edges)

    def _count_of_shape(self, shape: _Shape) -> int:
        if shape not in self._counts:
            self._counts[shape] = sum(len(self._of_month(shape, month)) for month in self._months)
        return self._counts[shape]

    def __bool__(self) -> bool:
        """Whether any year has such a day."""
        return any(self._of_month(self._shape(year), month) for year in _EVERY_SHAPE for month in self._months)

    def _shape(self, year: int) -> _Shape:
        neighbours = (_year_length(year - 1), _year_length(year + 1)) if self._by_week else (_COMMON, _COMMON)
        return (_year_length(year), *neighbours, date(year, 1, 1).weekday())

    def _of_month(self, shape: _Shape, month: int) -> Sequence[int]:
        """Return the days of a month of a year of some shape, counted from 0 on 1 January."""
        key = (shape, month)
        if key not in self._chosen:
            days = _days_of(shape, month)
            self._chosen[key] = array("H", (day.number - 1 for day in days if self._admits(day)))
        return self._chosen[key]
