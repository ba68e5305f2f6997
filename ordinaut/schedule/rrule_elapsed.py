"""
RRULE with FREQ=HOURLY and faster: steps of elapsed time, filtered by the wall clock.

``rrule`` calls ``instants``. Stepping a wall clock would go silent for the hour that an autumn night repeats, so
DTSTART + k x INTERVAL counts elapsed seconds, and BY parts test the wall time that the zone shows there. Parts finer
than FREQ (BYMINUTE with HOURLY) multiply a step within its hour or minute, as the RFC's table has it.

Within a period of constant offset a day has the same hits as any other day that the steps enter at the same *phase*
(the first step's seconds after midnight). So hits are found once per phase, and a day costs a look-up; that also bounds
the search for rules that never hit. A *slot* is an hour, minute or second, as FREQ says, that BY parts admit.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from math import gcd

from ordinaut.schedule.interval import steps
from ordinaut.schedule.rrule_days import admitted_days
from ordinaut.schedule.rrule_text import Freq, Recurrence
from ordinaut.schedule.seconds import DAY, HOUR, MINUTE, wall_of
from ordinaut.schedule.times import Times
from ordinaut.schedule.zone import Period, Zone

_UNITS = {Freq.HOURLY: HOUR, Freq.MINUTELY: MINUTE, Freq.SECONDLY: 1}
_EVERY_HOUR, _EVERY_MINUTE, _EVERY_SECOND = range(24), range(60), range(60)

_FEW_SLOTS = DAY // MINUTE
"""Up to one slot a minute it pays to go through all slots once; only FREQ=SECONDLY has more."""

_OFFSETS, _PHASES = 4, 64
"""Results to keep: a zone has two offsets at a time, and each one phase unless INTERVAL does not divide the day."""


class ElapsedRule:
    """One rule of FREQ=HOURLY or faster with its DTSTART, in one zone."""

    def __init__(self, rule: Recurrence, dtstart: datetime, here: Zone) -> None:
        self._rule = rule
        self._zone = here
        self._unit = _UNITS[rule.freq]
        self._step = rule.interval * self._unit
        self._anchor = here.read(wall_of(dtstart)).instant
        self._days = admitted_days(rule, dtstart.date())
        self._slots = Times(
            rule.by_hour or _EVERY_HOUR,
            (rule.by_minute or _EVERY_MINUTE) if self._unit <= MINUTE else (0,),
            (rule.by_second or _EVERY_SECOND) if self._unit == 1 else (0,),
        )
        filters = (rule.by_month, rule.by_month_day, rule.by_year_day, rule.by_day)
        self._is_plain = not any((*filters, rule.by_hour, rule.by_minute, rule.by_second))
        self._hits_by_phase = lru_cache(maxsize=_OFFSETS)(self._find_hits_by_phase)
        self._hits_of_phase = lru_cache(maxsize=_PHASES)(self._find_hits_of_phase)

    def instants(self, *, after: int, until: int) -> Iterator[int]:
        """Yield, in order, the instants in (after, until]."""
        count = self._rule.count
        if self._is_plain:
            last = until if count is None else min(until, self._anchor + (count - 1) * self._step)
            return iter(steps(self._anchor, self._step, after=after, until=last))
        found = (
            midnight + hits[index]
            for period in self._zone.periods(max(after + 1, self._anchor), until)
            for midnight, hits, counting in self._hit_days(period, *_days_of(period))
            for index in counting
        )
        return found if count is None else islice(found, max(0, count - self._used_until(after)))

    def _hit_days(self, period: Period, first_day: int, last_day: int) -> Iterator[tuple[int, Sequence[int], range]]:
        """Yield each day that has hits: the instant of its midnight, its hits, and which of them are in ``period``."""
        start, end, offset = period
        find, entry, step = self._finder(period), self._anchor + offset, self._step
        for month in self._days.months(first_day, last_day):
            for day in month.days:
                hits = find((entry - day * DAY) % step)
                if hits:
                    midnight = day * DAY - offset
                    low = bisect_left(hits, start - midnight) if midnight < start else 0
                    high = bisect_left(hits, end - midnight) if midnight > end - DAY else len(hits)
                    yield midnight, hits, range(low, high)

    def _used_until(self, last: int) -> int:
        """Return how much of COUNT the instants up to and including ``last`` have used up."""
        return sum(self._count_in(period) for period in self._zone.periods(self._anchor, last))

    def _count_in(self, period: Period) -> int:
        first_day, last_day = _days_of(period)
        if DAY % self._step or last_day == first_day:
            return self._count_days(period, first_day, last_day)
        # The steps enter every day at the same phase, so the days between the first and the last have equal hits.
        hits = self._finder(period)((self._anchor + period.offset) % self._step) or ()
        between = self._days.count(first_day + 1, last_day) * len(hits)
        return between + sum(self._count_days(period, day, day) for day in (first_day, last_day))

    def _count_days(self, period: Period, first_day: int, last_day: int) -> int:
        return sum(len(counting) for _, _, counting in self._hit_days(period, first_day, last_day))

    def _finder(self, period: Period) -> Callable[[int], Sequence[int] | None]:
        """Return what maps the phase at which the steps enter a day to that day's hits, as seconds since midnight."""
        if len(self._slots) > _FEW_SLOTS:
            return self._hits_of_phase
        # How far into its hour or minute each step comes is the same for a whole period.
        return self._hits_by_phase((self._anchor + period.offset) % self._unit).get

    def _find_hits_by_phase(self, below: int) -> dict[int, list[int]]:
        """Go through the slots that BY parts admit: each is hit by the days of one phase."""
        found: dict[int, list[int]] = {}
        parts = self._expanded(below)
        for slot in map(self._slots.__getitem__, range(len(self._slots))):
            found.setdefault((slot + below) % self._step, []).extend(slot + part for part in parts)
        return found

    def _find_hits_of_phase(self, phase: int) -> list[int]:
        """Go through the steps of one day: there are fewer of them than slots. (FREQ=SECONDLY: nothing to expand.)"""
        hours, minutes, seconds = map(frozenset, (self._slots.hours, self._slots.minutes, self._slots.seconds))
        return [
            second
            for second in range(phase, DAY, self._step)
            if second // HOUR in hours and second // MINUTE % 60 in minutes and second % 60 in seconds
        ]

    def _expanded(self, below: int) -> list[int]:
        """Return the seconds within a slot that fire: those of DTSTART unless BYMINUTE or BYSECOND say otherwise."""
        minute, second = divmod(below, MINUTE)
        parts = Times(
            (0,),
            (self._rule.by_minute if self._unit == HOUR else ()) or (minute,),
            (self._rule.by_second if self._unit >= MINUTE else ()) or (second,),
        )
        return [parts[index] for index in self._rule.positions_in(len(parts))]

    @property
    def shortest_interval(self) -> int:
        """The least number of seconds between two instants, or 60 for anything longer."""
        if self._unit == 1:
            return min(MINUTE, self._shortest_secondly())
        minutes = self._rule.by_minute
        if self._unit == MINUTE:
            minutes = (minutes or tuple(_EVERY_MINUTE)) if self._step == MINUTE else ()
        return Times(_EVERY_HOUR, minutes or (0,), self._rule.by_second or (0,)).shortest_interval()

    def _shortest_secondly(self) -> int:
        """Steps reach only some seconds of the minute; of those BYSECOND admits, find the two nearest in time."""
        reached = gcd(self._step, MINUTE)
        admitted = {
            second for second in self._rule.by_second or _EVERY_SECOND if (second - self._anchor) % reached == 0
        }
        return min(
            (
                self._step * count
                for count in range(1, MINUTE + 1)
                if any((second + self._step * count) % MINUTE in admitted for second in admitted)
            ),
            default=MINUTE,
        )


def _days_of(period: Period) -> tuple[int, int]:
    """Return the first and the last day that the wall clock shows in a period."""
    return (period.start + period.offset) // DAY, (period.end - 1 + period.offset) // DAY
