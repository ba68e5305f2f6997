"""
The times of day of a schedule, without listing them.

Cron's three time fields and an RRULE's BYHOUR, BYMINUTE and BYSECOND both mean every combination of some hours,
minutes and seconds: 1,440 for ``* * * * *``, up to 86,400. ``Times`` behaves like the sorted tuple of them, so that
``bisect`` finds the next one, and holds only the three fields. ``cron`` and ``rrule_daily`` make it and walk ``walls``.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Protocol

from ordinaut.schedule.seconds import DAY, HOUR, MINUTE


class TimesOfDay(Protocol):
    """Sorted, distinct seconds since midnight: a ``Times`` or a tuple."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> int: ...


class Times:
    """Every combination of the given hours, minutes and seconds, each sorted, as sorted seconds since midnight."""

    __slots__ = ("_length", "hours", "minutes", "seconds")

    def __init__(self, hours: Iterable[int], minutes: Iterable[int], seconds: Iterable[int]) -> None:
        self.hours, self.minutes, self.seconds = (tuple(sorted(set(field))) for field in (hours, minutes, seconds))
        self._length = len(self.hours) * len(self.minutes) * len(self.seconds)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:
        if index >= self._length:
            raise IndexError(index)
        rest, second = divmod(index, len(self.seconds))
        hour, minute = divmod(rest, len(self.minutes))
        return self.hours[hour] * HOUR + self.minutes[minute] * MINUTE + self.seconds[second]

    def shortest_interval(self) -> int:
        """Return the least number of seconds between two neighbours within one minute or two; 60 stands for more."""
        within = [later - earlier for earlier, later in pairwise(self.seconds)]
        if self._has_neighbouring_minutes():
            within.append(MINUTE + self.seconds[0] - self.seconds[-1])
        return min(within, default=MINUTE)

    def _has_neighbouring_minutes(self) -> bool:
        minutes = set(self.minutes)
        if any(minute + 1 in minutes for minute in minutes):
            return True
        next_hour_follows = any((hour + 1) % 24 in self.hours for hour in self.hours)
        return {0, 59} <= minutes and next_hour_follows


def walls(days: Iterable[int], times: TimesOfDay, *, first: int) -> Iterator[int]:
    """Yield, in order, the wall times at ``times`` of each of the sorted ``days``, none before ``first``."""
    for day in days:
        midnight = day * DAY
        for index in range(bisect_left(times, first - midnight), len(times)):
            yield midnight + times[index]
