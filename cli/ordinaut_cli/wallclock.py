"""
Nominal times as the clocks on people's walls show them, and what the clocks have done to them.

``preview`` and ``calendar`` hand over instants and the schedules that they come from. Pure, and from the pinned zone
data only, so that it says the same on every machine. Slow to load, as the schedules are; import it in functions.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from ordinaut.declaration.nominal import stored_schedules
from ordinaut.resources.moment import parse_moment
from ordinaut.resources.zones import zone_names
from ordinaut.schedule import Bounded, Cron, Gap, RRule, Schedule, next_fires
from ordinaut.schedule.cron import timetable
from ordinaut.schedule.seconds import DAY, MINUTE, clock, instant_of, wall_of
from ordinaut.schedule.zone import Period, Zone, zone
from ordinaut_cli import times

Written = Mapping[str, Any]
"""One entry of a task's ``schedules``, checked."""

_ONE_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """An instant as the clocks of a zone show it."""

    instant: datetime
    local: str
    offset: str
    notes: tuple[str, ...]
    """What the clocks have done: since the reading before, and to this time."""


def shown_zone(schedules: Iterable[Written]) -> str:
    """Return the zone whose clocks a table of a task shows: the first that is not UTC."""
    named = [one.get("timeZone", "UTC") for one in schedules]
    return next((name for name in named if name != "UTC"), "UTC")


def readings(
    instants: Iterable[datetime], schedules: Sequence[Written], *, anchor: datetime, zone_name: str
) -> list[Reading]:
    """Return what the clocks of a zone show at some ``instants`` of a task's ``schedules``."""
    here, checked = zone(zone_name), stored_schedules(schedules, anchor=anchor)
    found: list[Reading] = []
    before: int | None = None
    for instant in instants:
        seconds = instant_of(instant)
        offset = here.offset_at(seconds)
        notes = [*_changed(before, offset), *_twice(here, seconds), *_moved(instant, schedules, checked, here)]
        found.append(Reading(instant, times.wall(clock(seconds + offset)), written_offset(offset), tuple(notes)))
        before = offset
    return found


def written_offset(offset: int) -> str:
    """Return an offset from UTC in seconds as RFC 3339 writes it, with seconds where there are some."""
    minutes, seconds = divmod(abs(offset), MINUTE)
    tail = f":{seconds:02}" if seconds else ""
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}{tail}"


def _changed(before: int | None, offset: int) -> Iterator[str]:
    if before is not None and before != offset:
        yield f"clocks have gone {'forward' if offset > before else 'back'} {times.span(offset - before)}"


def _twice(here: Zone, instant: int) -> Iterator[str]:
    """Say which of two it is where the clocks show the same time twice."""
    reading = here.read(here.wall_at(instant))
    if reading.before > reading.after:
        which = "first" if instant == reading.instant else "second"
        yield f"the {which} of two {clock(reading.wall):%H:%M} that day"


def _moved(instant: datetime, schedules: Sequence[Written], checked: Sequence[Schedule], shown: Zone) -> Iterator[str]:
    """Say which time does not exist where a schedule fires at another one for it."""
    said = set()
    for written, schedule in zip(schedules, checked, strict=True):
        here = zone(written.get("timeZone", "UTC"))
        wall = _at_in_gap(written, here, instant) if "at" in written else _left_out(schedule, here, instant)
        if wall is not None:
            where = "" if here is shown else f" in {here.name}"
            said.add(f"moved: {clock(wall):%H:%M} does not exist that day{where}")
    yield from sorted(said)


def _at_in_gap(written: Written, here: Zone, instant: datetime) -> int | None:
    moment = parse_moment(written["at"])
    if moment.tzinfo is not None:
        return None
    reading = here.read(wall_of(moment))
    return reading.wall if reading.missing and reading.instant == instant_of(instant) else None


def _left_out(schedule: Schedule, here: Zone, instant: datetime) -> int | None:
    """Return the wall time that does not exist and makes ``schedule`` fire at ``instant``; None if there is none."""
    rule = schedule.rule if isinstance(schedule, Bounded) else schedule
    if not isinstance(rule, Cron | RRule) or rule.gap is Gap.SKIP:
        return None
    seconds = instant_of(instant)
    gap = _gap_at(here, seconds)
    if gap is None:
        return None
    skipping = replace(rule, gap=Gap.SKIP)
    strict = replace(schedule, rule=skipping) if isinstance(schedule, Bounded) else skipping
    if not _fires(schedule, instant) or _fires(strict, instant):
        return None
    before, after = gap
    if isinstance(rule, RRule):
        return seconds + before.offset
    walls = timetable(rule.expression).walls(after.start + before.offset, after.start + after.offset - 1)
    return next(walls, None)


def _gap_at(here: Zone, instant: int) -> tuple[Period, Period] | None:
    """Return the periods around clocks that went forward, if they had not caught up with ``instant`` by then."""
    periods = [*here.periods(instant - DAY, instant)]
    for before, after in pairwise(periods):
        if after.start <= instant < after.start + after.offset - before.offset:
            return before, after
    return None


def _fires(schedule: Schedule, instant: datetime) -> bool:
    return next_fires(schedule, after=instant - _ONE_SECOND, limit=1) == [instant]


def machines_zone(environment: Mapping[str, str] = os.environ, *, link: Path = Path("/etc/localtime")) -> str:
    """Return the name of the zone that this machine is set to; UTC where it can't be told."""
    named = environment.get("TZ", "").removeprefix(":")
    if not named:
        try:
            named = str(link.readlink()).partition("zoneinfo/")[2]
        except OSError:
            named = ""
    return named if named in zone_names() else "UTC"
