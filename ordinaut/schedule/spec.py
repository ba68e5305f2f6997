"""
What a schedule is, as plain values.

The rest of the program hands these to ``fires.next_fires`` and ``missed.decide_missed``; ``admission`` makes them out
of what a user wrote, and checks it. They are frozen, hashable and know nothing of pydantic, Kubernetes or the
database, so that they can be keys of a cache and travel anywhere.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

_MANY_DATES = 100


class Gap(StrEnum):
    """What becomes of a wall time that the zone leaves out when its clocks go forward (``dstGap``)."""

    RUN = "Run"
    """It fires nevertheless: cron at the first instant after the gap, RRULE as if the clocks had not moved."""
    SKIP = "Skip"
    """It does not fire."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of 5 fields, or 6 with seconds first, or a macro, on the wall clock of ``zone``."""

    expression: str
    zone: str = "UTC"
    gap: Gap = Gap.RUN


@dataclass(frozen=True, slots=True)
class RRule:
    """
    An RFC 5545 recurrence rule on the wall clock of ``zone``.

    ``dtstart`` is naive: a wall time of the zone. ``exdates`` and ``rdates`` are naive wall times or aware instants.
    """

    rule: str
    dtstart: datetime
    exdates: tuple[datetime, ...] = ()
    rdates: tuple[datetime, ...] = ()
    zone: str = "UTC"
    gap: Gap = Gap.RUN

    @property
    def has_many_dates(self) -> bool:
        """Whether it takes so much memory that few like it can be remembered."""
        return len(self.exdates) + len(self.rdates) > _MANY_DATES


@dataclass(frozen=True, slots=True)
class Interval:
    """The aware instant ``anchor`` and every ``every`` (whole seconds) of elapsed time after it."""

    every: timedelta
    anchor: datetime


@dataclass(frozen=True, slots=True)
class At:
    """One aware instant."""

    instant: datetime


Rule = Cron | RRule | Interval | At
"""Exactly one of these makes the instants of a schedule."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """A rule of which only the instants from ``start`` to ``end`` count, both included; None leaves a side open."""

    rule: Rule
    start: datetime | None = None
    end: datetime | None = None


Schedule = Rule | Bounded
"""What a task may be given any number of; their instants are merged, and one instant is one firing."""
