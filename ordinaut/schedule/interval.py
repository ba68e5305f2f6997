"""
Elapsed time: an anchor and every so many seconds after it.

``fires`` calls ``instants`` for ``interval`` schedules; ``rrule_elapsed`` takes the same steps for FREQ=HOURLY and
faster. No zone is involved, so a change of the clocks moves nothing.
"""

from collections.abc import Iterator

from ordinaut.schedule.seconds import SECOND, instant_of
from ordinaut.schedule.spec import Interval


def steps(anchor: int, every: int, *, after: int, until: int) -> range:
    """Return the instants anchor + k x every (k >= 0) in (after, until], in seconds."""
    return range(anchor + every * steps_until(anchor, every, after), until + 1, every)


def steps_until(anchor: int, every: int, instant: int) -> int:
    """Return how many of the steps anchor + k x every (k >= 0) are not later than ``instant``."""
    return max(0, (instant - anchor) // every + 1)


def instants(interval: Interval, *, after: int, until: int) -> Iterator[int]:
    """Yield, in order, the instants of the interval in (after, until]."""
    every = interval.every // SECOND
    return iter(steps(instant_of(interval.anchor), every, after=after, until=until))
