"""
RRULE: from a rule with its DTSTART, EXDATEs and RDATEs to the instants at which it fires.

``fires`` calls ``instants``; ``admission`` asks a ``RecurrenceSet`` how dense it is. The rule itself is expanded by
``rrule_daily`` (on the wall clock) or ``rrule_elapsed`` (in elapsed time). Here the set around it is put together as
RFC 5545, 3.8.5 says: the rule's instants up to UNTIL, and the RDATEs, without the EXDATEs, which give no COUNT back.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, time
from functools import lru_cache
from heapq import merge

from ordinaut.schedule.rrule_daily import DailyRule
from ordinaut.schedule.rrule_elapsed import ElapsedRule
from ordinaut.schedule.rrule_text import Freq, Recurrence, read_rrule
from ordinaut.schedule.seconds import LAST_INSTANT, instant_of, wall_of
from ordinaut.schedule.spec import Gap, RRule
from ordinaut.schedule.zone import Zone, zone


class RecurrenceSet:
    """One ``RRule``, read."""

    def __init__(self, spec: RRule) -> None:
        rule, here = read_rrule(spec.rule), zone(spec.zone)
        self._rule = (
            ElapsedRule(rule, spec.dtstart, here)
            if rule.freq >= Freq.HOURLY
            else DailyRule(rule, spec.dtstart, here, spec.gap)
        )
        self._until = _until(rule, here)
        self._excluded = frozenset(instant for moment in spec.exdates for instant in _moments(moment, here, Gap.RUN))
        self._added = sorted(instant for moment in spec.rdates for instant in _moments(moment, here, spec.gap))
        self.shortest_interval = self._rule.shortest_interval
        self.first_moment = min([here.read(wall_of(spec.dtstart)).instant, *self._added])

    def instants(self, *, after: int, until: int) -> Iterator[int]:
        """Yield, in order, the instants in (after, until]; the same one may come more than once."""
        ruled = self._rule.instants(after=after, until=min(until, self._until))
        added = self._added[bisect_right(self._added, after) : bisect_right(self._added, until)]
        return (instant for instant in merge(ruled, added) if instant not in self._excluded)


with_few_dates = lru_cache(maxsize=2048)(RecurrenceSet)
with_many_dates = lru_cache(maxsize=64)(RecurrenceSet)


def recurrence_set(spec: RRule) -> RecurrenceSet:
    """Return the recurrence set of ``spec``; raise ``Invalid`` if its rule breaks the grammar."""
    return with_many_dates(spec) if spec.has_many_dates else with_few_dates(spec)


def instants(spec: RRule, *, after: int, until: int) -> Iterator[int]:
    """Yield, in order, the instants in (after, until]; the same one may come more than once."""
    return recurrence_set(spec).instants(after=after, until=until)


def _until(rule: Recurrence, here: Zone) -> int:
    match rule.until:
        case None:
            return LAST_INSTANT
        case datetime():
            return instant_of(rule.until)
        case _:
            return here.read(wall_of(datetime.combine(rule.until, time.max))).latest


def _moments(moment: datetime, here: Zone, gap: Gap) -> list[int]:
    """Return the instant that an EXDATE or RDATE means; none if the clocks leave it out and ``gap`` says Skip."""
    if moment.tzinfo is not None:
        return [instant_of(moment)]
    reading = here.read(wall_of(moment))
    return [] if reading.missing and gap is Gap.SKIP else [reading.instant]
