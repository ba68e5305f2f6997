"""
The worker's loop: lease as much as there are free slots, start a task for each run, look again.

It wakes on a notification, when a slot becomes free, and after a jittered pause as a back-stop. Draining stops the
leasing, lets tasks finish within the grace, and gives back the rest.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Any

import psycopg

from ordinaut import metrics, spans
from ordinaut.errors import LeaseLost
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.states import RunPhase
from ordinaut.store import work as queue
from ordinaut.store.pool import Pool
from ordinaut.store.work import START, LeasedWork, Position, RunResult, Settlement
from ordinaut_worker import announce
from ordinaut_worker.holding import Holding
from ordinaut_worker.settle import Settler

RELEASE_TIME = 5.0
"""Seconds to give work back; without a database the leases simply run out."""

MAX_BATCH = 500
"""Runs leased at once at most, however many slots are free."""

log = get_logger(__name__)


class WorkLoop:
    """Leases runs and keeps the slots busy."""

    def __init__(
        self,
        pool: Pool,
        *,
        worker: str,
        slots: int,
        lease: timedelta,
        poll: timedelta,
        holding: Holding,
        settler: Settler,
        carry_out: Callable[[LeasedWork], Coroutine[Any, Any, None]],
        readiness: Readiness,
    ) -> None:
        self._pool = pool
        self._worker = worker
        self._slots = slots
        self._lease = lease
        self._poll = poll
        self._holding = holding
        self._settler = settler
        self._carry_out = carry_out
        self._readiness = readiness
        self._draining = False
        self._left = asyncio.Event()
        self._wake = asyncio.Event()
        self._position = START
        metrics.SLOTS.set(slots)
        metrics.SLOTS_BUSY.set_function(lambda: len(holding))

    def wake(self) -> None:
        """Look at the queue now, from its start: something may have come."""
        self._position = START
        self._wake.set()

    async def run(self) -> None:
        """Lease and start runs until :meth:`drain` is called or the task is cancelled."""
        try:
            while not self._draining:
                self._wake.clear()
                if self._free > 0 and await self._fill():
                    continue
                await self._pause()
        finally:
            self._left.set()

    async def drain(self, *, grace: timedelta) -> None:
        """Stop leasing, wait for the runs under way, and give back those that do not end within ``grace``."""
        self._draining = True
        self._wake.set()
        ends = monotonic() + grace.total_seconds()
        # What it is just leasing is ours, too.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._left.wait(), max(grace.total_seconds(), RELEASE_TIME))
        tasks = [task for _, task in self._holding.tasks()]
        log.info("draining", runs=len(tasks), grace_seconds=grace.total_seconds())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(0.0, ends - monotonic()))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=RELEASE_TIME)
            log.info("drained", finished=len(tasks) - len(late), given_back=len(late))

    @property
    def _free(self) -> int:
        return self._slots - len(self._holding)

    async def _fill(self) -> bool:
        """Lease into the free slots; tell whether there is probably more."""
        wanted = min(self._free, MAX_BATCH)
        try:
            async with self._pool.connection() as connection:
                leased = await queue.lease(
                    connection, worker=self._worker, limit=wanted, ttl=self._lease, after=self._position
                )
                if not leased:
                    # The operator does this to the second; without one, retries still come back.
                    await queue.release_delayed(connection)
        except psycopg.Error as error:
            self._readiness.missing("database", why=str(error).strip() or type(error).__name__)
            return False
        self._readiness.met("database")
        if spans.receiver is not None and leased:
            spans.receiver.synchronize(leased[0].leased_at)
        for one in leased:
            self._start(one)
        full = len(leased) == wanted
        self._position = Position(leased[-1].urgency, leased[-1].due_at, leased[-1].id) if full else START
        return full

    def _start(self, leased: LeasedWork) -> None:
        metrics.PICKUP_LAG.observe(max(0.0, (leased.leased_at - leased.due_at).total_seconds()))
        task = asyncio.create_task(self._guarded(leased), name=f"run {leased.run}")
        self._holding.add(leased, task)
        task.add_done_callback(lambda _: self._slot_freed(leased))

    def _slot_freed(self, leased: LeasedWork) -> None:
        self._holding.finished(leased)
        self._wake.set()

    async def _guarded(self, leased: LeasedWork) -> None:
        """Carry a run out; whatever happens, the item leaves this worker or the lease ends."""
        try:
            await self._carry_out(leased)
        except LeaseLost:
            log.warning("run dropped: it is no longer this worker's", run=leased.run, lease=leased.lease_id)
        except asyncio.CancelledError:
            if self._holding.holds(leased):
                # Ended by somebody else, or given back while draining; the store tells the two apart.
                await self._settler.commit(Settlement(leased, release=True))
            else:
                log.warning("run dropped: its lease was lost", run=leased.run, lease=leased.lease_id)
        except Exception as error:
            # A defect of ours; it must not hold up the other runs of the lease.
            log.exception("run broke off", run=leased.run)
            result = RunResult(RunPhase.FAILED, reason="WorkerError", error=f"{type(error).__name__}: {error}")
            await self._settler.commit(
                Settlement(leased, run=result, events=announce.events(leased, steps=(), run=result))
            )

    async def _pause(self) -> None:
        """Wait for a reason to look again, at most the poll interval, give or take a fifth."""
        seconds = self._poll.total_seconds() * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            self._position = START
