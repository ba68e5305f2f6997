"""
The janitor: what must be done from time to time so that nothing is stuck and nothing grows for ever.

Takes back what lost leases held, moves delayed work, vacuums the hot tables, and measures queue, clock and database.
Every duty is safe on any number of replicas at once.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from uuid import UUID

import psycopg

from ordinaut import metrics, schedule
from ordinaut.declaration.ending import cancel_runs
from ordinaut.declaration.nominal import not_before, stored_schedules
from ordinaut.events.envelope import Event
from ordinaut.logging import get_logger
from ordinaut.schedule import next_fires
from ordinaut.states import RunPhase
from ordinaut.store import (
    audit,
    backfill,
    clock,
    event_fires,
    events,
    hooks,
    idempotency,
    keys,
    migrate,
    runs,
    status,
    survey,
    turns,
    work,
    workers,
)
from ordinaut.store.clock import Advance, ClockRow
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.work import ExpiredItem, redelivered

RECOMPUTED_AT_ONCE = 500

TURNS_AT_ONCE = 500

ORPHANS_AT_ONCE = 500

SUSPECTED_AFTER = 2
"""Lost deliveries after which a run may be what its workers die of; it is kept apart from others like it then."""

LOCKED_FOR = timedelta(seconds=2)
"""After its lease has run out, how long a worker may go on with a commit that it has begun."""

ANSWER_HOURS = 24
"""Hours that the answer to an Idempotency-Key is kept; whoever repeats a request does so within minutes."""

log = get_logger(__name__)


class Reaper:
    """
    Gives back to the queue what lost leases held, and parks what was delivered too often.

    Args:
        pool: of the database.
        max_deliveries: deliveries of a run, before it is parked.
        recovery: how long after a database outage nothing is taken back: workers that lived through it must be able
            to send their heartbeat first.
    """

    def __init__(self, pool: Pool, *, max_deliveries: int, recovery: timedelta) -> None:
        self._pool = pool
        self._max_deliveries = max_deliveries
        self._recovery = recovery.total_seconds()
        self._quiet_until = 0.0

    async def reap(self) -> int:
        """Take back expired leases; returns how many runs."""
        if monotonic() < self._quiet_until:
            return 0
        try:
            return await reap(self._pool, max_deliveries=self._max_deliveries)
        except psycopg.OperationalError:
            self._quiet_until = monotonic() + self._recovery
            raise


async def reap(pool: Pool, *, max_deliveries: int) -> int:
    """Take back expired leases once; returns how many runs."""
    async with pool.connection() as connection:
        if frozen := await work.end_lockers(connection, late=LOCKED_FOR):
            log.warning("sessions ended that kept lost leases locked", sessions=frozen)
    async with pool.connection() as connection, connection.transaction():
        expired = await work.take_expired(connection)
        unended = await work.lock_open_runs(connection, [item.run_id for item in expired])
        lost = [item for item in expired if item.run_id in unended]
        again = [item for item in lost if item.attempt < max_deliveries]
        poison = [item for item in lost if item.attempt >= max_deliveries]
        if again:
            suspected = min(SUSPECTED_AFTER, max_deliveries - 1)
            await work.requeue(connection, [redelivered(item, alone=item.attempt >= suspected) for item in again])
        parked = await _park(connection, poison)
        if lost:
            await _announce(connection, again, parked)
    for item in lost:
        metrics.LEASE_EXPIRED.inc()
        log.warning(
            "lease ran out", run=str(item.run_id), worker=item.worker, delivery=item.attempt, parked=item in poison
        )
    return len(lost)


async def _park(connection: Connection, poison: Sequence[ExpiredItem]) -> dict[UUID, str]:
    """Park runs; returns what each of them is told to have died of."""
    at = await runs.steps_under_way(connection, [item.run_id for item in poison])
    parked = {}
    for item in poison:
        error = _losses(item, step=at.get(item.run_id))
        if await runs.finish(
            connection,
            [item.run_id],
            phase=RunPhase.PARKED,
            reason="MaxDeliveriesExceeded",
            error=error,
            started=item.started_at,
        ):
            parked[item.run_id] = error
    return parked


def _losses(item: ExpiredItem, *, step: str | None) -> str:
    while_ = f" while step `{step}` was under way" if step else ""
    if item.attempt == 1:
        return f"its worker {item.worker} was lost{while_}, and only one delivery is allowed"
    return f"its workers were lost in each of {item.attempt} deliveries, the last, {item.worker},{while_}".rstrip(",")


async def _announce(connection: Connection, again: Sequence[ExpiredItem], parked: Mapping[UUID, str]) -> None:
    names = await runs.names(connection, [*(item.run_id for item in again), *parked])
    found = []
    for item in again:
        namespace, task, _ = names[item.run_id]
        data = {"worker": item.worker, "attempt": item.attempt + 1}
        found.append(Event("run.redelivered", namespace, task, run=str(item.run_id), data=data))
    for run_id, error in parked.items():
        namespace, task, _ = names[run_id]
        data = {"phase": RunPhase.PARKED, "reason": "MaxDeliveriesExceeded", "error": error}
        found.append(Event("run.parked", namespace, task, run=str(run_id), data=data))
    await events.add(connection, [event.compact() for event in found])
    await status.notify(connection, [task_id for _, _, task_id in names.values()])


async def release(pool: Pool) -> int:
    """Move delayed work that is due to the queue; returns how much."""
    async with pool.connection() as connection:
        return await work.release_delayed(connection)


async def give_turns(pool: Pool) -> int:
    """Let waiting runs go on whose turn nobody has passed to them; returns how many."""
    async with pool.connection() as connection, connection.transaction():
        return await turns.give(connection, limit=TURNS_AT_ONCE)


async def measure(pool: Pool) -> None:
    """Set the metrics of queue, events and clock; asked every few seconds."""
    async with pool.connection() as connection:
        queue = await work.figures(connection)
        slots = await keys.figures(connection)
        outbox = await events.figures(connection)
        backlog = await survey.event_backlog(connection)
        time = await survey.clock(connection)
        staff = await workers.figures(connection)
    metrics.QUEUE_DEPTH.set(queue.claimable)
    metrics.QUEUE_OLDEST_AGE.set(queue.oldest_age)
    metrics.QUEUE_DELAYED.set(queue.delayed)
    metrics.QUEUE_IN_TURN.set(queue.in_turn)
    metrics.QUEUE_KEYED.set(slots.waiting)
    metrics.KEYS_HELD.set(slots.held)
    metrics.QUEUE_LEASED.set(queue.leased)
    metrics.WORKERS_LIVE.set(staff.live)
    metrics.QUEUES_UNSERVED.set(staff.unserved)
    metrics.OUTBOX_ROWS.set(outbox.rows)
    metrics.OUTBOX_AGE.set(outbox.oldest_age)
    for reader, behind in backlog.items():
        metrics.EVENT_BACKLOG_ROWS.labels(reader).set(behind.rows)
        metrics.EVENT_BACKLOG_AGE.labels(reader).set(behind.age)
    metrics.SCHEDULE_OVERDUE.set(time.overdue)
    metrics.NEXT_FIRE.set(math.nan if time.next_fire is None else time.next_fire)


async def take_stock(pool: Pool) -> None:
    """Set the metrics of tasks, partitions, schema and database: each reads more, so they are asked once a minute."""
    async with pool.connection() as connection:
        tasks = await survey.tasks(connection)
        days = await survey.partition_days_ahead(connection)
        database = await survey.database(connection)
        version = await migrate.applied_version(connection)
    metrics.TASKS.labels("ready").set(tasks.ready)
    metrics.TASKS.labels("paused").set(tasks.paused)
    metrics.TASKS.labels("not_ready").set(tasks.not_ready)
    metrics.PARTITION_DAYS_AHEAD.set(days)
    metrics.OLDEST_TRANSACTION.set(database.oldest_transaction)
    metrics.DATABASE_SIZE.set(database.size)
    metrics.SCHEMA_VERSION.set(version)


async def vacuum(pool: Pool) -> None:
    """Vacuum the hot tables: autovacuum comes once a minute, a busy queue needs it every few seconds."""
    async with pool.connection() as connection:
        await work.vacuum(connection)
        await keys.vacuum(connection)


async def cancel_orphans(pool: Pool) -> int:
    """
    Cancel runs that events have made of tasks while these were being deleted; returns how many.

    Reacting locks no task that allows any number of runs, so that nobody who declares waits for events.
    """
    async with pool.connection() as connection, connection.transaction():
        found = await runs.of_deleted_tasks(connection, limit=ORPHANS_AT_ONCE)
        if not found:
            return 0
        ended = await cancel_runs(
            connection, list(found), tasks=dict(found.values()), reason="TaskDeleted", error="the task was deleted"
        )
    return len(ended)


async def forget_answers(pool: Pool) -> int:
    """Forget the answers to old Idempotency-Keys; returns how many."""
    async with pool.connection() as connection:
        return await idempotency.forget(connection, hours=ANSWER_HOURS)


async def forget_workers(pool: Pool) -> int:
    """Forget workers that ended without a word; returns how many."""
    async with pool.connection() as connection:
        return await workers.forget_lost(connection)


async def forget_backfills(pool: Pool, *, days: int) -> int:
    """Forget backfills that were over before the retained days of history; returns how many."""
    async with pool.connection() as connection:
        return await backfill.forget(connection, days=days)


async def forget_audit(pool: Pool, *, days: int) -> int:
    """Forget the lines of the audit trail that are older; returns how many."""
    forgotten = 0
    while True:
        async with pool.connection() as connection:
            some = await audit.forget(connection, days=days)
        if not some:
            return forgotten
        forgotten += some


async def forget_event_fires(pool: Pool, *, days: int) -> int:
    """Forget the lines of the ledger of events that are older than the retained days of history; returns how many."""
    forgotten = 0
    while True:
        async with pool.connection() as connection:
            some = await event_fires.forget(connection, days=days)
        if not some:
            return forgotten
        forgotten += some


async def forget_deliveries(pool: Pool) -> int:
    """Forget deliveries of webhooks that nobody repeats any more; returns how many."""
    forgotten = 0
    while True:
        async with pool.connection() as connection:
            some = await hooks.forget(connection)
        if not some:
            return forgotten
        forgotten += some


async def recompute_times(pool: Pool) -> int:
    """Compute the next times anew that another version of the time zone data gave; returns how many moved."""
    version = schedule.tzdata_version()
    moved = 0
    while True:
        async with pool.connection() as connection, connection.transaction():
            ids = await clock.stale(connection, tzdata=version, limit=RECOMPUTED_AT_ONCE)
            if not ids:
                break
            rows = await clock.lock_clocks(connection, ids)
            advances = [_recomputed(row) for row in rows]
            await clock.advance(connection, advances, tzdata=version)
            moved += sum(advance.next_fire_at != row.next_fire_at for row, advance in zip(rows, advances, strict=True))
    if moved:
        metrics.CLOCK_TASKS_MOVED.inc(moved)
        log.warning("new time zone data moved tasks", tasks=moved, tzdata=version)
    return moved


def _recomputed(row: ClockRow) -> Advance:
    """Return a clock's next time by the time zone data of this process; one that is asleep stays asleep."""
    following = row.next_fire_at
    if following is not None:
        schedules = stored_schedules(row.spec["schedules"], anchor=row.anchor)
        following = next(iter(next_fires(schedules, after=row.evaluated_at, limit=1)), None)
    following = not_before(following, row.snoozed_until)
    return Advance(row.task_id, row.evaluated_at, row.as_of, row.kept, following, row.unauthorized_at)
