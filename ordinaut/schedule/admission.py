"""
From what a user wrote to a checked ``Schedule``, or to every mistake in it at once.

The sync of resources, REST and ``ordinaut apply`` call ``parse_schedule`` with the fields of one entry of
``spec.schedules``; the result goes to ``fires`` and ``missed``. Mistakes come as one ``Invalid`` whose fields are
relative to the entry (``cron``, ``timeZone``, ``exdates[3]``), so the caller puts its own path in front. Refused here
is also what parses but can be proven never to fire, and what fires more often than the installation allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ordinaut.errors import FieldError, Invalid, Mistake, Mistakes
from ordinaut.resources.duration import format_duration, parse_duration
from ordinaut.resources.moment import parse_moment
from ordinaut.schedule.cron import timetable
from ordinaut.schedule.fires import HORIZON_YEARS, next_fires
from ordinaut.schedule.rrule import recurrence_set
from ordinaut.schedule.rrule_text import read_rrule
from ordinaut.schedule.seconds import FIRST_YEAR, LAST_YEAR, MINUTE, clock, instant_of, utc, wall_of
from ordinaut.schedule.spec import At, Bounded, Cron, Gap, Interval, RRule, Rule, Schedule
from ordinaut.schedule.zone import parse_zone, zone

DEFAULT_MIN_INTERVAL = timedelta(seconds=10)
"""How often a schedule may fire that fires more than once a minute."""

MAX_DATES = 1000
"""Entries of ``exdates``, and of ``rdates``."""

_KINDS = ("cron", "rrule", "interval", "at")
_ONE_SECOND = timedelta(seconds=1)
_ONE_MINUTE = timedelta(seconds=MINUTE)
_LONGEST_INTERVAL = timedelta(days=HORIZON_YEARS * 365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One entry of ``spec.schedules`` as it was written, in Python's spelling of the names."""

    cron: str | None = None
    rrule: str | None = None
    interval: str | None = None
    at: str | None = None
    dtstart: str | None = None
    exdates: Sequence[str] = ()
    rdates: Sequence[str] = ()
    time_zone: str = "UTC"
    dst_gap: str = Gap.RUN
    start: str | None = None
    end: str | None = None


def parse_schedule(
    written: Written, *, created: datetime, min_interval: timedelta = DEFAULT_MIN_INTERVAL, admitted: bool = False
) -> Schedule:
    """
    Return the checked schedule, or raise ``Invalid`` with every mistake.

    ``created`` (aware) is when the entry was first seen, kept by the caller and the same at every call: an RRULE
    without ``dtstart`` counts from its minute, an interval without ``start`` from its second. What has been
    ``admitted`` may turn out never to fire from there: that is an end, and no mistake any more.
    """
    mistakes = Mistakes()
    here, gap, start, end = "UTC", Gap.RUN, None, None
    with mistakes.caught():
        here = parse_zone(written.time_zone)
    with mistakes.caught():
        gap = _parse_gap(written.dst_gap)
    with mistakes.caught():
        start = _parse_bound(written.start, field="start", here=here)
    with mistakes.caught():
        end = _parse_bound(written.end, field="end", here=here)
    with mistakes.caught():
        _check_bounds(written, start, end)
    with mistakes.caught():
        rule = _parse_rule(
            written, here, gap, start=start, created=created, min_interval=min_interval, admitted=admitted
        )
    mistakes.raise_any()
    return _bounded(rule, start, end, admitted=admitted)


def parse_cron(
    expression: str, *, time_zone: str = "UTC", gap: Gap = Gap.RUN, min_interval: timedelta = DEFAULT_MIN_INTERVAL
) -> Cron:
    """Return the checked cron schedule; raise ``Invalid`` for ``cron`` and ``timeZone``."""
    mistakes = Mistakes()
    with mistakes.caught():
        parse_zone(time_zone)
    with mistakes.caught():
        table = timetable(expression)
        if not table.days:
            message = "never fires: no year has such a day"
            raise _invalid("cron", expression, message, "check day of month, month and day of week")
        _check_density("cron", expression, table.times.shortest_interval(), min_interval)
    mistakes.raise_any()
    return Cron(expression, time_zone, gap)


def parse_rrule(
    rule: str,
    *,
    dtstart: str | datetime,
    exdates: Sequence[str] = (),
    rdates: Sequence[str] = (),
    time_zone: str = "UTC",
    gap: Gap = Gap.RUN,
    min_interval: timedelta = DEFAULT_MIN_INTERVAL,
    admitted: bool = False,
) -> RRule:
    """
    Return the checked recurrence rule; raise ``Invalid`` for ``rrule``, its dates and ``timeZone``.

    A ``dtstart`` that is an instant is taken as the wall time that the zone shows then.
    """
    mistakes = Mistakes()
    here = "UTC"
    with mistakes.caught():
        here = parse_zone(time_zone)
    with mistakes.caught():
        read_rrule(rule)
    with mistakes.caught():
        begin = dtstart if isinstance(dtstart, datetime) else _parse_moment(dtstart, field="dtstart")
    excluded = _parse_dates(exdates, field="exdates", mistakes=mistakes)
    added = _parse_dates(rdates, field="rdates", mistakes=mistakes)
    mistakes.raise_any()
    spec = RRule(rule, _shown_by(here, begin), excluded, added, here, gap)
    recurrence = recurrence_set(spec)
    _check_density("rrule", rule, recurrence.shortest_interval, min_interval)
    if not admitted and not next_fires(spec, after=utc(recurrence.first_moment - 1), limit=1):
        message = f"never fires: nothing within {HORIZON_YEARS} years of its start"
        raise _invalid("rrule", rule, message, "check dtstart, UNTIL, exdates and the BY parts against each other")
    return spec


def parse_interval(text: str, *, anchor: datetime, min_interval: timedelta = DEFAULT_MIN_INTERVAL) -> Interval:
    """Return the checked interval, counted from the second of ``anchor``; raise ``Invalid`` for ``interval``."""
    every = parse_duration(text, field="interval")
    if every % _ONE_SECOND:
        raise _invalid("interval", text, "not in whole seconds", "schedules fire on whole seconds")
    shortest = max(_ONE_SECOND, min(min_interval, _ONE_MINUTE))
    if not shortest <= every <= _LONGEST_INTERVAL:
        allowed = f"{format_duration(shortest)} to {format_duration(_LONGEST_INTERVAL)}"
        raise _invalid("interval", text, f"out of range: allowed is {allowed}", f"use {allowed}")
    return Interval(every, utc(instant_of(anchor)))


def parse_at(text: str, *, time_zone: str = "UTC", gap: Gap = Gap.RUN) -> At:
    """Return the checked instant; raise ``Invalid`` for ``at`` and ``timeZone``."""
    here = zone(parse_zone(time_zone))
    moment = _parse_moment(text, field="at")
    if moment.tzinfo is not None:
        return At(moment)
    reading = here.read(wall_of(moment))
    if reading.missing and gap is Gap.SKIP:
        message = f"never fires: {here.name} leaves this time out when its clocks go forward"
        raise _invalid("at", text, message, "choose another time, or dstGap: Run")
    return At(utc(reading.instant))


def _parse_rule(
    written: Written,
    here: str,
    gap: Gap,
    *,
    start: datetime | None,
    created: datetime,
    min_interval: timedelta,
    admitted: bool,
) -> Rule:
    kinds = [kind for kind in _KINDS if getattr(written, kind) is not None]
    if len(kinds) != 1:
        remedy = f"give exactly one of {', '.join(_KINDS)}"
        raise _invalid("", ", ".join(kinds), f"has {len(kinds)} of {', '.join(_KINDS)}", remedy)
    if written.rrule is not None:
        return parse_rrule(
            written.rrule,
            dtstart=written.dtstart if written.dtstart is not None else created.replace(second=0, microsecond=0),
            exdates=written.exdates,
            rdates=written.rdates,
            time_zone=here,
            gap=gap,
            min_interval=min_interval,
            admitted=admitted,
        )
    _check_rrule_only(written)
    if written.cron is not None:
        return parse_cron(written.cron, time_zone=here, gap=gap, min_interval=min_interval)
    if written.interval is not None:
        return parse_interval(written.interval, anchor=start or created, min_interval=min_interval)
    return parse_at(written.at or "", time_zone=here, gap=gap)


def _check_rrule_only(written: Written) -> None:
    dates = {"dtstart": written.dtstart, "exdates": written.exdates, "rdates": written.rdates}
    wrong = [
        FieldError(field, value, "belongs to rrule", "remove it; start and end bound other schedules")
        for field, value in dates.items()
        if value
    ]
    if wrong:
        raise Invalid(wrong)


def _parse_gap(text: str) -> Gap:
    if text not in set(Gap):
        allowed = ", ".join(f'"{gap}"' for gap in Gap)
        raise Invalid([FieldError("dstGap", text, f"supported values: {allowed}", "", Mistake.UNSUPPORTED)])
    return Gap(text)


def _parse_bound(text: str | None, *, field: str, here: str) -> datetime | None:
    if text is None:
        return None
    moment = _parse_moment(text, field=field)
    return moment if moment.tzinfo is not None else utc(zone(here).read(wall_of(moment)).instant)


def _check_bounds(written: Written, start: datetime | None, end: datetime | None) -> None:
    if start is not None and end is not None and end < start:
        raise _invalid("end", written.end, f"before start, {written.start}", "swap them, or drop one")


def _bounded(rule: Rule, start: datetime | None, end: datetime | None, *, admitted: bool) -> Schedule:
    if start is None and end is None:
        return rule
    schedule = Bounded(rule, start, end)
    if admitted or start is None or end is None:
        return schedule
    if not next_fires(schedule, after=start - _ONE_SECOND, limit=1):
        raise _invalid("end", end.isoformat(), "never fires: nothing between start and end", "widen them")
    return schedule


def _parse_dates(texts: Sequence[str], *, field: str, mistakes: Mistakes) -> tuple[datetime, ...]:
    found: list[datetime] = []
    with mistakes.caught():
        if len(texts) > MAX_DATES:
            message, remedy = f"must have at most {MAX_DATES} items", "split it into several schedules"
            raise Invalid([FieldError(field, len(texts), message, remedy, Mistake.TOO_MANY)])
        errors: list[FieldError] = []
        for index, text in enumerate(texts):
            try:
                found.append(_parse_moment(text, field=f"{field}[{index}]"))
            except Invalid as invalid:
                errors.extend(invalid.errors)
        if errors:
            raise Invalid(errors)
    return tuple(found)


def _parse_moment(text: str, *, field: str) -> datetime:
    """Return an aware datetime in UTC, or a naive one for a wall time of the zone."""
    moment = parse_moment(text, field=field)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        allowed = f"{FIRST_YEAR}-{LAST_YEAR}"
        raise _invalid(field, text, f"the year {moment.year} is out of range: allowed is {allowed}", "use another year")
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment


def _shown_by(here: str, moment: datetime) -> datetime:
    return clock(zone(here).wall_at(instant_of(moment))) if moment.tzinfo is not None else moment


def _check_density(field: str, text: str, shortest: int, min_interval: timedelta) -> None:
    if shortest < MINUTE and shortest < min_interval.total_seconds():
        allowed = format_duration(min_interval)
        message = f"fires as often as every {shortest}s: more often than once a minute, at least {allowed} must pass"
        raise _invalid(field, text, message, f"leave {allowed} between firings")


def _invalid(field: str, value: object, message: str, remedy: str) -> Invalid:
    return Invalid([FieldError(field, value, message, remedy)])
