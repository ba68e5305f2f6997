"""
Which partitions of runs, steps and events are to be made, dropped or mended: pure decisions over what is there.

Each day has a partition of its own in each of the three tables, made a week ahead and dropped when its retention is
over. What is written while a day has none, because no operator was there to make it for weeks, goes into the partition
of last resort (``run_rest``) and is a stray there. A few strays are moved when their day's partition is made. Moving
many would lock everybody out, so their whole partition is converted instead into one for the span of days that was
missing. The operator asks :func:`plan` and hands each action to :mod:`ordinaut.store.history`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

DAYS_AHEAD: Final = 7
"""Days of partitions that exist beforehand, so that an operator may be away for a week."""

MOVED_AT_ONCE: Final = 1000
"""Strays of a table that are moved under a lock: some milliseconds."""

SCARCE: Final = 2
"""Days ahead, or days of retention over, from which on somebody else may be made to wait a little for a change."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

DAY: Final = timedelta(days=1)


class Partition(NamedTuple):
    """A partition, but for those of last resort; ``until`` is not included."""

    parent: str
    name: str
    since: datetime
    until: datetime


class Strays(NamedTuple):
    """
    What is in the partition of last resort of a table.

    ``rows`` is counted only as far as one more than `MOVED_AT_ONCE`; ``days`` are those of all strays, oldest first.
    ``bounded``: a conversion has begun and not come to its end.
    """

    parent: str
    rows: int = 0
    days: Sequence[date] = ()
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class Make:
    """Make a day's partition and move the strays of that day into it."""

    parent: str
    day: date
    urgent: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Convert:
    """Make the partition of last resort that of a span of time, and have a new one in its place."""

    parent: str
    since: datetime
    until: datetime
    urgent: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Free:
    """Forget a conversion that has begun."""

    parent: str
    urgent: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop a partition whose retention is over."""

    parent: str
    name: str
    urgent: bool = field(default=False, compare=False)


Action = Make | Convert | Free | Drop


def plan(
    partitions: Sequence[Partition],
    strays: Sequence[Strays],
    *,
    today: date,
    days: Mapping[str, int],
    dropping: bool = True,
) -> list[Action]:
    """
    Return what is to be done, the most urgent first; ``days`` are those that each table keeps, in the order to drop.

    Each action may be left out or be done again later: the next plan is made from what is there then.
    """
    there = {parent: [one for one in partitions if one.parent == parent] for parent in days}
    stray = {one.parent: one for one in strays}
    conversions = {parent: span for parent in days if (span := _converted(there[parent], stray[parent], today=today))}
    actions: list[Action] = [Free(parent) for parent in days if stray[parent].bounded and parent not in conversions]
    actions += [Convert(parent, *span) for parent, span in conversions.items()]
    # While many strays are waiting to be converted, making another partition would have PostgreSQL look at all of them.
    made = [parent for parent in days if parent not in conversions]
    for day in _wanted(strays, today=today):
        urgent = day <= today + timedelta(SCARCE)
        actions += [Make(parent, day, urgent) for parent in made if _is_free(there[parent], day)]
    if dropping:
        actions += [
            Drop(one.parent, one.name, one.until <= start(today - timedelta(kept + SCARCE)))
            for parent, kept in days.items()
            for one in there[parent]
            if one.until <= start(today - timedelta(kept))
        ]
    return actions


def start(day: date) -> datetime:
    """Return the first moment of a day (UTC)."""
    return datetime.combine(day, time.min, tzinfo=UTC)


def _wanted(strays: Sequence[Strays], *, today: date) -> list[date]:
    """Return the days that should have partitions, the most urgent first: now, then strays, then what comes."""
    last = today + timedelta(DAYS_AHEAD)
    # In all tables: a run of a stray's day may have steps still to come.
    past = sorted({day for one in strays for day in one.days if day <= last}, reverse=True)
    ahead = [today + timedelta(days) for days in range(DAYS_AHEAD + 1)]
    return list(dict.fromkeys([*ahead[:2], *past, *ahead, today - DAY]))


def _is_free(there: Sequence[Partition], day: date) -> bool:
    return not any(one.since < start(day) + DAY and one.until > start(day) for one in there)


def _converted(there: Sequence[Partition], strays: Strays, *, today: date) -> tuple[datetime, datetime] | None:
    """
    Return the span that a partition of last resort is to be converted into; None if it is not to be, or can't.

    From the beginning of the conversion nothing may be written into it that lies outside of the span. So it reaches to
    the end of tomorrow, and there is no other gap that somebody might write to.
    """
    if strays.rows <= MOVED_AT_ONCE:
        return None
    gaps = list(_gaps(there, end=start(today) + 2 * DAY))
    if not gaps:
        return None
    since, until = gaps[-1]
    inside = since <= start(strays.days[0]) and start(strays.days[-1]) < until
    return (since, until) if inside else None


def _gaps(there: Sequence[Partition], *, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the spans of time that no partition holds, as far as ``end``."""
    covered = EPOCH
    for one in sorted(there, key=lambda one: one.since):
        if one.since > covered and covered < end:
            yield covered, min(one.since, end)
        covered = max(covered, one.until)
    if covered < end:
        yield covered, end
