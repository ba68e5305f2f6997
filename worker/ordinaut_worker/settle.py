"""
Committing results, many runs to a transaction.

A run that goes on gives the result of its step to :meth:`Settler.commit` and waits; one that leaves the worker is
handed over, and its slot is free. While one transaction is on its way the next ones gather, so that a busy worker
commits in batches and an idle one at once. Results are kept and tried again for as long as PostgreSQL is away; whether
they still count is decided by the fence when it is back. The loop leases no more once too many wait.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import psycopg

from ordinaut import metrics, spans
from ordinaut.logging import get_logger
from ordinaut.states import RunPhase
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, settle
from ordinaut_worker import announce
from ordinaut_worker.holding import Holding

MAX_BATCH = 500
MAX_BACKOFF = 5.0
"""Seconds between attempts while PostgreSQL is away, at most."""

ENOUGH: Final = 2 * MAX_BATCH
"""Results that wait, from which on nothing more should be begun."""

log = get_logger(__name__)

_Waiting = tuple[Settlement, "asyncio.Future[bool] | None"]
"""What is to be committed, and who is to be told."""


class Settler:
    """Gathers and commits the settlements of one worker; :meth:`run` must be running."""

    def __init__(self, pool: Pool, *, holding: Holding) -> None:
        self._pool = pool
        self._holding = holding
        self._waiting: list[_Waiting] = []
        self._something = asyncio.Event()
        self._nothing = asyncio.Event()
        self._nothing.set()
        self._progressed: Callable[[], None] = lambda: None

    @property
    def has_enough(self) -> bool:
        """Whether so many results wait that nothing more should be begun."""
        return len(self._waiting) >= ENOUGH

    def tell(self, progressed: Callable[[], None]) -> None:
        """Call back whenever results have been committed."""
        self._progressed = progressed

    def hand_over(self, settlement: Settlement) -> None:
        """Take over a settlement that nobody waits for."""
        self._add(settlement, None)

    async def emptied(self) -> None:
        """Return when no result waits."""
        await self._nothing.wait()

    async def commit(self, settlement: Settlement) -> bool:
        """Return whether the settlement was committed; False means that the work is no longer this worker's."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._add(settlement, future)
        return await future

    def _add(self, settlement: Settlement, future: "asyncio.Future[bool] | None") -> None:
        self._waiting.append((settlement, future))
        self._something.set()
        self._nothing.clear()

    async def run(self) -> None:
        """Commit what gathers, until cancelled."""
        while True:
            await self._something.wait()
            batch = self._next_batch()
            if not self._waiting:
                self._something.clear()
            committed = await self._commit([settlement for settlement, _ in batch])
            for settlement, future in batch:
                if future is not None and not future.done():
                    future.set_result(settlement.work.id in committed)
            if not self._waiting:
                self._nothing.set()
            self._progressed()

    def _next_batch(self) -> "list[_Waiting]":
        """
        Take the oldest settlement of each delivery, up to the size of a batch.

        One that is given back while a result of it still waits has two: the second counts only if the first leaves
        the run under its lease.
        """
        taken: dict[int, _Waiting] = {}
        later = []
        for one in self._waiting:
            if len(taken) < MAX_BATCH and one[0].work.id not in taken:
                taken[one[0].work.id] = one
            else:
                later.append(one)
        self._waiting = later
        return list(taken.values())

    async def _commit(self, batch: Sequence[Settlement]) -> set[int]:
        """Commit a batch, whatever it takes; return the items whose settlement is in."""
        backoff, again = 0.1, False
        while True:
            try:
                return await self._transaction(batch, again=again)
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                return await self._commit_one_by_one(batch, error)
            except psycopg.Error as error:
                log.warning("results not committed yet", results=len(batch), error=str(error).strip(), retry_in=backoff)
                await asyncio.sleep(backoff)
                backoff, again = min(backoff * 2, MAX_BACKOFF), True

    async def _transaction(self, batch: Sequence[Settlement], *, again: bool) -> set[int]:
        async with self._pool.connection() as connection:
            valid = await settle(connection, batch, done=self._holding.emptied_by(batch), again=again)
        self._holding.left(batch)
        if dropped := len(batch) - len(valid):
            metrics.FENCED_WRITES.inc(dropped)
            log.warning("results dropped: their lease was lost or their run had ended", results=dropped)
        _measure([one for one in valid if one.run is not None and one.run.phase is not RunPhase.WAITING])
        if spans.receiver is not None:
            spans.receiver.record(_spans(valid, ended=spans.receiver.now()))
        return {one.work.id for one in valid}

    async def _commit_one_by_one(self, batch: Sequence[Settlement], error: psycopg.Error) -> set[int]:
        """Keep one result that PostgreSQL refuses from holding up the others, and fail its run."""
        if len(batch) > 1:
            return set().union(*[await self._commit([one]) for one in batch])
        one = batch[0]
        log.error("result refused by the database", run=one.work.run, error=str(error).strip())
        if one.run is not None and one.run.reason == "ResultRefused":
            return set()
        refused = RunResult(RunPhase.FAILED, reason="ResultRefused", error=f"the database refused the result: {error}")
        said = announce.events(one.work, steps=(), run=refused)
        await self._commit([Settlement(one.work, run=refused, events=said)])
        return set()


def _measure(ended: Sequence[Settlement]) -> None:
    """Count runs that have ended, and for how long they were under way."""
    metrics.count_runs((one.run.phase, one.work.namespace) for one in ended if one.run is not None)
    # Both clocks are off by the same: only spans within this process are measured.
    now = datetime.now(UTC)
    started = (one.work.started_at or one.work.leased_at for one in ended)
    metrics.RUN_DURATION.observe_all([max(0.0, (now - one).total_seconds()) for one in started])


def _spans(settlements: Sequence[Settlement], *, ended: float) -> Iterator[spans.Span]:
    """Yield the spans of the runs that have ended with these settlements."""
    for one in settlements:
        work, run = one.work, one.run
        if run is not None and run.phase is not RunPhase.WAITING:
            yield spans.over(
                run=work.run,
                namespace=work.namespace,
                task=work.task,
                trigger=work.trigger,
                phase=run.phase,
                reason=run.reason,
                attempt=work.attempt,
                started=(work.started_at or work.leased_at).timestamp(),
                ended=ended,
            )
