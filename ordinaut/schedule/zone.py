"""
Time zones: which names count, and how a zone's wall clock and UTC map to each other.

The pinned ``tzdata`` package is the only source. A machine's own copy is often years old and would make two replicas
disagree, so importing this module closes it off for the whole process. ``admission`` asks for ``parse_zone``; ``cron``
and ``rrule`` walk a zone's ``periods`` or ``read`` single wall times; the store keeps ``tzdata_version`` beside every
computed time.
"""

import difflib
import zoneinfo
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import tzdata  # type: ignore[import-untyped]  # it ships no types

from ordinaut.errors import FieldError, Invalid
from ordinaut.resources.zones import zone_names
from ordinaut.schedule.seconds import DAY, calendar_day, new_year

zoneinfo.reset_tzpath(to=[])
zoneinfo.ZoneInfo.clear_cache()

_LONGEST_NAME = max(map(len, zone_names()))

_REMEMBERED_YEARS = 128

_PROBES = tuple(timedelta(days=day) for day in range(-6, 373, 6))
"""No zone changes its offset twice within 6.9 days (all of tzdata since 1900), so probing this often misses nothing."""


def tzdata_version() -> str:
    """Return the version of the time zone data in force, as IANA writes it (``2026f``)."""
    return str(tzdata.IANA_VERSION)


def parse_zone(name: str, *, field: str = "timeZone") -> str:
    """Return ``name`` if it is an IANA time zone, spelled exactly; else raise ``Invalid`` for ``field``."""
    if name in zone_names():
        return name
    message = f"not a time zone of tzdata {tzdata_version()}"
    raise Invalid([FieldError(field, name, message, _suggestion(name))])


def _suggestion(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        by_case = [known for known in zone_names() if known.casefold() == name.casefold()]
        for known in by_case or difflib.get_close_matches(name, zone_names(), n=1, cutoff=0.8):
            return f"did you mean {known}?"
    return "use an IANA name such as Europe/Chisinau, America/New_York or UTC"


class Period(NamedTuple):
    """Instants from ``start`` up to but not including ``end``, all with the same UTC ``offset`` in seconds."""

    start: int
    end: int
    offset: int


class Reading(NamedTuple):
    """
    How a wall time is read: with the UTC offset ``before`` a change of the clocks and the one ``after`` it.

    They are equal for an ordinary time. A time that is shown twice has the larger offset before; one that is never
    shown (a gap) has the smaller offset before.
    """

    wall: int
    before: int
    after: int

    @property
    def missing(self) -> bool:
        """Whether no clock of the zone ever shows this wall time."""
        return self.before < self.after

    @property
    def instant(self) -> int:
        """The instant by the offset before the change: the earlier of two, and RFC 5545's reading of a missing one."""
        return self.wall - self.before

    @property
    def latest(self) -> int:
        """The latest instant that this wall time may mean."""
        return self.wall - min(self.before, self.after)


class _Change(NamedTuple):
    """At ``instant`` the UTC offset goes from ``before`` to ``after``."""

    instant: int
    before: int
    after: int


class _Year(NamedTuple):
    """The offset some days before a year begins, and the changes from there until some days after it has ended."""

    offset: int
    changes: tuple[_Change, ...]


class Zone:
    """One time zone in whole seconds. Make it with ``zone(name)``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._info = zoneinfo.ZoneInfo(name)
        self._epoch = datetime(1970, 1, 1, tzinfo=self._info)
        self._year = lru_cache(maxsize=_REMEMBERED_YEARS)(self._find_year)

    def offset_at(self, instant: int) -> int:
        """Return the seconds that the zone's wall clock is ahead of UTC at ``instant``."""
        # fromutc wants UTC's figures under the zone's own name, and datetimes of one zone subtract by their figures.
        moment = self._epoch + timedelta(seconds=instant)
        return _seconds(self._info.fromutc(moment) - moment)

    def wall_at(self, instant: int) -> int:
        """Return the wall time shown at ``instant``."""
        return instant + self.offset_at(instant)

    def read(self, wall: int) -> Reading:
        """Return how ``wall`` is read in this zone."""
        offset, changes = self._year(calendar_day(wall // DAY).year)
        for instant, before, after in changes:
            if wall < instant + min(before, after):
                break
            if wall < instant + max(before, after):
                return Reading(wall, before, after)
            offset = after
        return Reading(wall, offset, offset)

    def gap_end(self, reading: Reading) -> int:
        """Return the first instant after the gap that ``reading`` is missing in."""
        return self._change_between(reading.wall - reading.after, reading.wall - reading.before)

    def periods(self, first: int, last: int) -> Iterator[Period]:
        """Yield, in order, periods that together hold every instant from ``first`` to ``last``, both included."""
        for year in range(calendar_day(first // DAY).year, calendar_day(last // DAY).year + 1):
            start, end = max(first, new_year(year) * DAY), min(last + 1, new_year(year + 1) * DAY)
            offset, changes = self._year(year)
            for instant, _, after in changes:
                if instant >= end:
                    break
                if instant > start:
                    yield Period(start, instant, offset)
                    start = instant
                offset = after
            yield Period(start, end, offset)

    def _find_year(self, year: int) -> _Year:
        # A wall time of the year may lie up to a day outside of the same year in UTC.
        january = self._epoch + timedelta(days=new_year(year))
        probes = [january + step for step in _PROBES]
        offsets = [self._info.fromutc(probe) - probe for probe in probes]
        if len(set(offsets)) == 1:
            return _Year(_seconds(offsets[0]), ())
        instants = [_seconds(probe - self._epoch) for probe in probes]
        changes = tuple(
            _Change(self._change_between(low, high), _seconds(before), _seconds(after))
            for (low, before), (high, after) in pairwise(zip(instants, offsets, strict=True))
            if before != after
        )
        return _Year(_seconds(offsets[0]), changes)

    def _change_between(self, low: int, high: int) -> int:
        """Return the first instant of (low, high] with the offset of ``high``; at most one change lies between."""
        offset = self.offset_at(high)
        while high - low > 1:
            middle = (low + high) // 2
            if self.offset_at(middle) == offset:
                high = middle
            else:
                low = middle
        return high


def _seconds(offset: timedelta) -> int:
    return offset.days * DAY + offset.seconds


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """Return the zone called ``name``, which ``parse_zone`` has accepted."""
    return Zone(name)
