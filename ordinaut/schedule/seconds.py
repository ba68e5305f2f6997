"""
Instants and wall times as whole seconds.

Inside this package time is an ``int``: an *instant* counts seconds since 1970-01-01T00:00:00Z, a *wall time* counts
the same way on a clock that hangs on the wall of some zone (09:00 is 32,400 s after its midnight, whatever the zone).
So wall = instant + UTC offset, a *day* is a wall time // 86,400, and a search that looks at thousands of candidates
adds and compares numbers. ``fires`` and ``admission`` convert at the border; leap seconds do not exist on this scale.
"""

from datetime import UTC, date, datetime, timedelta

MINUTE = 60
HOUR = 3_600
DAY = 86_400

FIRST_YEAR = 1970
LAST_YEAR = 9998
"""Years that may be written in a schedule: they leave room for an offset on either side."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_EPOCH_ORDINAL = _NAIVE_EPOCH.toordinal()
SECOND = timedelta(seconds=1)


def instant_of(moment: datetime) -> int:
    """Return the instant of an aware datetime, rounded down to a whole second; a naive one is a ``ValueError``."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: pass an aware datetime")
    return (moment - _EPOCH) // SECOND


def utc(instant: int) -> datetime:
    """Return ``instant`` as an aware datetime in UTC."""
    return _EPOCH + timedelta(seconds=instant)


def wall_of(clock: datetime) -> int:
    """Return the wall time that a naive datetime shows, rounded down; an aware one is a ``ValueError``."""
    if clock.tzinfo is not None:
        raise ValueError(f"{clock} is an instant: pass a naive datetime for a wall time")
    return (clock - _NAIVE_EPOCH) // SECOND


def clock(wall: int) -> datetime:
    """Return ``wall`` as a naive datetime."""
    return _NAIVE_EPOCH + timedelta(seconds=wall)


def day_of(calendar_day: date) -> int:
    """Return the number of a calendar day, 0 being 1970-01-01."""
    return calendar_day.toordinal() - _EPOCH_ORDINAL


def calendar_day(day: int) -> date:
    """Return the calendar day of a day number."""
    return date.fromordinal(day + _EPOCH_ORDINAL)


def new_year(year: int) -> int:
    """Return the day number of 1 January."""
    return date(year, 1, 1).toordinal() - _EPOCH_ORDINAL


FIRST_INSTANT = new_year(FIRST_YEAR) * DAY
LAST_INSTANT = new_year(LAST_YEAR - 1) * DAY
"""No search goes further; it leaves room for a period of a rule that is begun."""
