"""
The clock: APScheduler as the timer of every control loop, and of each second in which something is due.

APScheduler holds no task: it has one date trigger per distinct second that is due within the horizon, so that a fire
starts within milliseconds of its time and a million tasks need no million timers. Which seconds those are is read
from the database every few seconds and whenever a change is heard of; a sweep every second is the back-stop. All due
times are the database's: the difference between its clock and this process's is measured each time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import redis
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from ordinaut import metrics
from ordinaut.events.connection import explained
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.store import clock
from ordinaut.store.listen import Channel, listen
from ordinaut.store.pool import Pool
from ordinaut_operator import fire, janitor
from ordinaut_operator.rights import NO_CHECKS, Rights
from ordinaut_operator.timer import Timer

HORIZON = timedelta(seconds=30)
"""How far ahead seconds get a trigger."""

PLAN_EVERY = timedelta(seconds=10)
SWEEP_EVERY = timedelta(seconds=1)

MARGIN = timedelta(milliseconds=3)
"""A trigger goes off this much after its second, so that the database surely agrees that it has come."""

PATIENCE = timedelta(seconds=1)
"""How long others wait for the end of a firing: events may be late by so much while thousands of tasks are due."""

MAX_SKEW = timedelta(seconds=30)
"""More difference between the two clocks means that one of them is wrong."""

log = get_logger(__name__)

Job = Callable[[], Awaitable[object]]


class Clock:
    """Runs control loops and fires what is due; :meth:`run` until cancelled."""

    def __init__(
        self,
        pool: Pool,
        *,
        url: str,
        readiness: Readiness,
        rights: Rights = NO_CHECKS,
        tell: fire.Tell | None = None,
    ) -> None:
        """``tell`` is told what was skipped."""
        self._pool = pool
        self._tell = tell
        self._rights = rights
        self._url = url
        self._readiness = readiness
        self._scheduler = Timer(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._firing = asyncio.Lock()
        self._arming = asyncio.Lock()
        self._offset = timedelta(0)
        self._stopping = False
        self._ears: dict[Channel, Callable[[], None]] = {}

    def hear(self, channel: Channel, wake: Callable[[], None]) -> None:
        """Call ``wake`` whenever something is said there; before :meth:`run`."""
        self._ears[channel] = wake

    def every(self, interval: timedelta, job: Job, *, name: str, need: str = "database") -> None:
        """
        Run ``job`` at once and then at each interval, never twice at a time; failures are counted and it goes on.

        ``need`` is what the job's success proves to be there.
        """
        metrics.JOB_FAILURES.labels(name)
        self._scheduler.add_job(
            self._guarded(job, name=name, need=need),
            IntervalTrigger(seconds=interval.total_seconds(), timezone=UTC),
            id=name,
            next_run_time=datetime.now(UTC),
        )

    def hurry(self) -> None:
        """Fire what is due as soon as possible: something that it waited for has come."""
        self._scheduler.add_job(self._guarded(self._fire, name="fire"), DateTrigger(datetime.now(UTC)))

    async def at_rest(self) -> None:
        """Return when nothing is being fired, or after a second: whoever has time lets the clock go first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE.total_seconds()), self._firing:
                return

    async def run(self) -> None:
        """Keep time until cancelled."""
        self.every(SWEEP_EVERY, self._fire, name="fire")
        self.every(SWEEP_EVERY, lambda: janitor.release(self._pool), name="release")
        self.every(SWEEP_EVERY, lambda: janitor.give_turns(self._pool), name="turns")
        self.every(PLAN_EVERY, self._plan, name="plan")
        self._scheduler.start()
        try:
            await listen(self._url, ["ordinaut_clock", *self._ears], self._told, application="clock")
        finally:
            self._stopping = True
            self._scheduler.shutdown(wait=False)

    async def _told(self, channel: Channel, _: str | None) -> None:
        if (wake := self._ears.get(channel)) is not None:
            wake()
        else:
            await self._heard()

    async def _heard(self) -> None:
        await self._guarded(self._plan, name="plan")()

    async def _plan(self) -> None:
        if await self._arm():
            await self._due()

    async def _arm(self) -> bool:
        """Give each second that is due soon its trigger; tell whether one has come already."""
        async with self._arming:
            async with self._pool.connection() as connection:
                before = datetime.now(UTC)
                database_now = await clock.now(connection)
                self._measure_skew(database_now, before, datetime.now(UTC))
                seconds = await clock.due_seconds(connection, horizon=HORIZON)
            for second in seconds:
                if second > database_now:
                    self._scheduler.add_job(
                        self._guarded(self._due, name="fire"),
                        DateTrigger(second - self._offset + MARGIN),
                        id=f"due-{second.isoformat()}",
                        replace_existing=True,
                    )
        return any(second <= database_now for second in seconds)

    def _measure_skew(self, database_now: datetime, before: datetime, after: datetime) -> None:
        self._offset = database_now - (before + (after - before) / 2)
        if abs(self._offset) > MAX_SKEW:
            seconds = abs(self._offset).total_seconds()
            why = f"this machine's clock is {seconds:.0f} s away from the database's; set it right"
            self._readiness.missing("clock", why=why)
        else:
            self._readiness.met("clock")

    async def _due(self) -> None:
        await self._fire()
        await janitor.release(self._pool)

    async def _fire(self) -> None:
        async with self._firing:
            done = await fire.fire_due(self._pool, rights=self._rights, tell=self._tell)
        if done.claimed:
            log.info(
                "fired",
                fired=done.fired,
                skipped=done.skipped,
                worst_lag_ms=round(max(done.lags, default=0.0) * 1000, 1),
            )
            # What was just fired may be due again within the horizon.
            await self._arm()

    def _guarded(self, job: Job, *, name: str, need: str = "database") -> Callable[[], Awaitable[None]]:
        """Return a job that survives the absence of what it needs, and says in ``/readyz`` what that is."""

        async def run() -> None:
            try:
                await job()
            except psycopg.Error as error:
                self._failed(name, need="database", error=error)
            except redis.RedisError as error:
                self._failed(name, need="redis", error=error)
            except asyncio.CancelledError:
                # APScheduler would report a round that the end of the process cuts short as a failure.
                if not self._stopping:
                    raise
            except Exception:
                metrics.JOB_FAILURES.labels(loop=name).inc()
                log.exception("control loop failed", job=name)
            else:
                self._readiness.met(need)

        return run

    def _failed(self, name: str, *, need: str, error: Exception) -> None:
        metrics.JOB_FAILURES.labels(loop=name).inc()
        said = explained(error) if isinstance(error, redis.RedisError) else str(error).strip()
        why = said or type(error).__name__
        if need not in self._readiness.reasons:
            log.warning("control loop waits", job=name, need=need, reason=why)
        self._readiness.missing(need, why=why)
