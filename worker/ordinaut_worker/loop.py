"""
The worker's loop: lease as much as there are free slots, begin each run, look again.

A run that has to wait for something becomes a task and takes a slot; one that needs no waiting ends as it begins, and
of those more are leased at once than there are slots. The loop wakes on a notification, when a slot becomes free, when
results have been committed, and after a jittered pause as a back-stop. Draining stops the leasing, lets tasks finish
within the grace, gives back the rest, and waits for the results to be committed.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
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
from ordinaut.store import admission
from ordinaut.store import work as queue
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.settle import RunResult, Settlement
from ordinaut.store.work import Head, LeasedWork, plain, ward
from ordinaut_worker import announce
from ordinaut_worker.backlog import Backlog
from ordinaut_worker.holding import Holding
from ordinaut_worker.settle import Settler

RELEASE_TIME = 5.0
"""Seconds to give work back; without a database the leases simply run out."""

MAX_BATCH = 500
"""Runs leased at once at most, however many slots are free."""

AHEAD = 0.05
"""Seconds of work that is leased at once beyond the free slots, where runs end as they begin."""

TURN = 0.025
"""Seconds for which runs are begun before the rest of the process has its turn."""

LOOK_AROUND = 0.25
"""Seconds between looks for work of others while there is a backlog."""

MAX_FLOWS = 500
"""Flows taken in at a look; a look after that finds more."""

log = get_logger(__name__)


class WorkLoop:
    """Leases runs and keeps the slots busy."""

    def __init__(
        self,
        pool: Pool,
        *,
        worker: str,
        queues: Callable[[], Sequence[int]],
        slots: int,
        lease: timedelta,
        poll: timedelta,
        holding: Holding,
        settler: Settler,
        begin: Callable[[LeasedWork], Coroutine[Any, Any, None] | None],
        readiness: Readiness,
    ) -> None:
        self._pool = pool
        self._worker = worker
        self._queues = queues
        self._slots = slots
        self._lease = lease
        self._poll = poll
        self._holding = holding
        self._settler = settler
        self._begin = begin
        self._readiness = readiness
        self._draining = False
        self._left = asyncio.Event()
        self._wake = asyncio.Event()
        self._backlog = Backlog()
        self._looked = -LOOK_AROUND
        self._was_in_wards = False
        self._ahead = 0
        settler.tell(self._wake.set)
        metrics.SLOTS.set(slots)
        metrics.SLOTS_BUSY.set_function(lambda: len(holding))

    def wake(self, queue: int) -> None:
        """Look at the queues now: something may have come to this one."""
        if plain(queue) in self._queues():
            self._wake.set()

    async def run(self) -> None:
        """Lease and start runs until :meth:`drain` is called or the task is cancelled."""
        try:
            while not self._draining:
                self._wake.clear()
                if self._free > 0 and not self._settler.has_enough and await self._fill():
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
            async with asyncio.timeout(max(grace.total_seconds(), RELEASE_TIME)):
                await self._left.wait()
        tasks = [task for _, task in self._holding.tasks()]
        log.info("draining", runs=len(tasks), grace_seconds=grace.total_seconds())
        late: set[asyncio.Task[None]] = set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(0.0, ends - monotonic()))
            log.info("drained", finished=len(tasks) - len(late), given_back=len(late))
        ends = max(ends, monotonic() + RELEASE_TIME)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=ends - monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, ends - monotonic())):
                await self._settler.emptied()

    @property
    def _free(self) -> int:
        return self._slots - len(self._holding)

    async def _fill(self) -> bool:
        """Lease into the free slots; tell whether there is probably more."""
        wanted = min(max(self._free, self._ahead), MAX_BATCH)
        try:
            async with self._pool.connection() as connection:
                taken, more = await (self._next if self._backlog else self._first)(connection, wanted)
                if not taken and not more:
                    # The operator does this to the second; without one, retries come back and keys are passed on, too.
                    await queue.release_delayed(connection)
                    await admission.admit(connection, patient=False)
        except psycopg.Error as error:
            self._readiness.missing("database", why=str(error).strip() or type(error).__name__)
            return False
        self._readiness.met("database")
        leased = [one for one in taken if one.is_open]
        if spans.receiver is not None and leased:
            spans.receiver.synchronize(leased[0].leased_at)
        if leased:
            metrics.PICKUP_LAG.observe_all([max(0.0, (one.leased_at - one.due_at).total_seconds()) for one in leased])
            await self._begin_all(leased)
        return more

    async def _begin_all(self, leased: Sequence[LeasedWork]) -> None:
        """Begin runs; those for which there is no slot after all are given back."""
        self._holding.take(leased)
        free, began = self._free, monotonic()
        turn = began
        for one in leased:
            if not self._holding.begin(one) or self._free <= 0 or self._draining:
                self._give_back(one, begun=False)
                continue
            self._start(one)
            if monotonic() - turn >= TURN:
                await asyncio.sleep(0)
                turn = monotonic()
        each = (monotonic() - began) / len(leased)
        self._ahead = int(AHEAD / each) if self._free == free else 0

    async def _first(self, connection: Connection, wanted: int) -> tuple[list[LeasedWork], bool]:
        """Lease what is there, the most urgent first. If there is more than that, there is a backlog."""
        # Wards come last, and under a backlog not twice in a row: they must not keep all others waiting.
        heads = [*(Head(number, wanted) for number in self._queues()), *self._wards()]
        taken = await self._take(connection, limit=wanted, heads=heads)
        full = len(taken) == wanted
        if full:
            self._backlog.begin([one for one in taken if one.queue >= 0], now=monotonic())
        return taken, full

    async def _next(self, connection: Connection, wanted: int) -> tuple[list[LeasedWork], bool]:
        """Lease from a backlog, each flow its share."""
        now = monotonic()
        heads: list[Head] = []
        if now - self._looked >= LOOK_AROUND:
            self._looked = now
            gaps = self._backlog.gaps(self._queues())
            self._backlog.found(await queue.flows(connection, gaps, limit=MAX_FLOWS), now=now)
            heads = [] if self._was_in_wards else self._wards()
        self._was_in_wards = bool(heads)
        shares = self._backlog.shares(max(0, wanted - len(heads)), now=now)
        taken = await self._take(connection, limit=wanted, heads=heads, shares=shares)
        self._backlog.leased(shares, [one for one in taken if one.queue >= 0], now=monotonic())
        # At its end the queues are looked at from their heads once more.
        return taken, True

    def _wards(self) -> list[Head]:
        """Return the wards to look into: of each this worker has one run at a time."""
        busy = {work.queue for work, _ in self._holding.tasks()}
        free = [ward(number) for number in self._queues() if ward(number) not in busy]
        # In any order: where a single slot is free, the first that holds something gets it.
        return [Head(number, 1) for number in random.sample(free, len(free))]

    async def _take(self, connection: Connection, **wanted: Any) -> list[LeasedWork]:
        return await queue.take(connection, worker=self._worker, ttl=self._lease, **wanted)

    def _start(self, leased: LeasedWork) -> None:
        try:
            rest = self._begin(leased)
        except Exception as error:
            self._broke_off(leased, error)
            return
        if rest is None:
            return
        task = asyncio.create_task(self._guarded(leased, rest), name=f"run {leased.run}")
        self._holding.add(leased, task)
        task.add_done_callback(lambda _: self._slot_freed(leased, task, rest))

    def _slot_freed(self, leased: LeasedWork, task: "asyncio.Task[None]", rest: Coroutine[Any, Any, None]) -> None:
        self._holding.finished(leased)
        if task.cancelled():
            # Before its first moment: nothing of it has run.
            rest.close()
            self._give_back(leased)
        self._wake.set()

    async def _guarded(self, leased: LeasedWork, rest: Coroutine[Any, Any, None]) -> None:
        """Carry out the rest of a run; whatever happens, the item leaves this worker or the lease ends."""
        try:
            await rest
        except LeaseLost:
            log.warning("run dropped: it is no longer this worker's", run=leased.run, lease=leased.lease_id)
            if self._holding.holds(leased):
                # Somebody has ended it: it must leave the lease, which would be prolonged for ever.
                self._give_back(leased)
        except asyncio.CancelledError:
            self._give_back(leased)
        except Exception as error:
            self._broke_off(leased, error)

    def _give_back(self, leased: LeasedWork, *, begun: bool = True) -> None:
        """Let go of a run that somebody else has ended, or that is not to run here; the store tells the two apart."""
        if self._holding.holds(leased):
            self._settler.hand_over(Settlement(leased, release=True, begun=begun))
        else:
            log.warning("run dropped: its lease was lost", run=leased.run, lease=leased.lease_id)

    def _broke_off(self, leased: LeasedWork, error: Exception) -> None:
        """Fail a run for a defect of ours; it must not hold up the other runs of the lease."""
        log.error("run broke off", run=leased.run, exc_info=error)
        result = RunResult(RunPhase.FAILED, reason="WorkerError", error=f"{type(error).__name__}: {error}")
        self._settler.hand_over(Settlement(leased, run=result, events=announce.events(leased, steps=(), run=result)))

    async def _pause(self) -> None:
        """Wait for a reason to look again, at most the poll interval, give or take a fifth."""
        seconds = self._poll.total_seconds() * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
