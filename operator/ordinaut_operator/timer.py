"""
APScheduler's timer, on a machine whose clock may be set.

APScheduler keeps when a job runs next as a time of day. Set the clock back by an hour, and for an hour nothing runs;
set it forward by a year, and every interval of the year is counted before anything else happens. The operator's clock
therefore uses this timer: it looks at the monotonic clock as well, once a second at least, and moves all jobs along.
"""

import time
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

LOOK_EVERY = 1.0
"""Seconds after which the two clocks are compared at the latest."""

STEP = timedelta(seconds=1)
"""Clocks that are merely adjusted move by far less between two looks."""


class Timer(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Runs jobs after the time that must pass until they are due, whatever is done to the time of day meanwhile."""

    _apart: timedelta | None = None

    def _process_jobs(self) -> float:
        self._follow_steps()
        wait: float | None = super()._process_jobs()
        return LOOK_EVERY if wait is None else min(wait, LOOK_EVERY)

    def _follow_steps(self) -> None:
        """Move all jobs by what the clock has been set forward or back since the last look."""
        apart = datetime.now(UTC) - datetime.fromtimestamp(time.monotonic(), UTC)
        step = apart - self._apart if self._apart is not None else timedelta(0)
        self._apart = apart
        if abs(step) > STEP:
            for job in self.get_jobs():
                job.modify(next_run_time=job.next_run_time + step)
