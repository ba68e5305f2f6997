"""
Committing results, many runs to a transaction.

Every running task hands its settlement to :meth:`Settler.commit` and waits. While one transaction is on its way the
next ones gather, so that a busy worker commits in batches and an idle one at once. Results are kept and tried again
for as long as PostgreSQL is away; whether they still count is decided by the fence when it is back.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

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

log = get_logger(__name__)


class Settler:
    """Gathers and commits the settlements of one worker; :meth:`run` must be running."""

    def __init__(self, pool: Pool, *, holding: Holding) -> None:
        self._pool = pool
        self._holding = holding
        self._waiting: list[tuple[Settlement, asyncio.Future[bool]]] = []
        self._something = asyncio.Event()

    async def commit(self, settlement: Settlement) -> bool:
        """Return whether the settlement was committed; False means that the work is no longer this worker's."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((settlement, future))
        self._something.set()
        return await future

    async def run(self) -> None:
        """Commit what gathers, until cancelled."""
        while True:
            await self._something.wait()
            batch = self._next_batch()
            if not self._waiting:
                self._something.clear()
            committed = await self._commit([settlement for settlement, _ in batch])
            for settlement, future in batch:
                if not future.done():
                    future.set_result(settlement.work.run_id in committed)

    def _next_batch(self) -> list[tuple[Settlement, asyncio.Future[bool]]]:
        """
        Take the oldest settlement of each run, up to the size of a batch.

        A run that is given back while a result of it still waits has two: the second counts only if the first leaves
        the run under its lease.
        """
        taken: dict[UUID, tuple[Settlement, asyncio.Future[bool]]] = {}
        later = []
        for one in self._waiting:
            if len(taken) < MAX_BATCH and one[0].work.run_id not in taken:
                taken[one[0].work.run_id] = one
            else:
                later.append(one)
        self._waiting = later
        return list(taken.values())

    async def _commit(self, batch: Sequence[Settlement]) -> set[object]:
        """Commit a batch, whatever it takes; return the runs whose settlement is in."""
        backoff = 0.1
        while True:
            try:
                return await self._transaction(batch)
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                return await self._commit_one_by_one(batch, error)
            except psycopg.Error as error:
                log.warning("results not committed yet", results=len(batch), error=str(error).strip(), retry_in=backoff)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)

    async def _transaction(self, batch: Sequence[Settlement]) -> set[object]:
        async with self._pool.connection() as connection:
            valid = await settle(connection, batch, done=self._holding.emptied_by(batch))
        self._holding.left(batch)
        if dropped := len(batch) - len(valid):
            metrics.FENCED_WRITES.inc(dropped)
            log.warning("results dropped: their lease was lost or their run had ended", results=dropped)
        ended = [(one.run.phase, one.work.namespace) for one in valid if one.run is not None]
        metrics.count_runs(one for one in ended if one[0] is not RunPhase.WAITING)
        if spans.receiver is not None:
            spans.receiver.record(_spans(valid, ended=spans.receiver.now()))
        return {one.work.run_id for one in valid}

    async def _commit_one_by_one(self, batch: Sequence[Settlement], error: psycopg.Error) -> set[object]:
        """Keep one result that PostgreSQL refuses from holding up the others, and fail its run."""
        if len(batch) > 1:
            return set().union(*[await self._commit([one]) for one in batch])
        one = batch[0]
        log.error("result refused by the database", run=one.work.run, error=str(error).strip())
        if one.run is not None and one.run.reason == "ResultRefused":
            return set()
        refused = RunResult(RunPhase.FAILED, reason="ResultRefused", error=f"the database refused the result: {error}")
        said = announce.events(one.work, steps=(), run=refused)
        await self._commit([replace(one, steps=(), run=refused, release=False, events=said)])
        return set()


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
