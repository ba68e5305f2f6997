"""
What has made queues like this one slow or stuck before, each shown not to happen.

How much a statement reads is counted by PostgreSQL itself, on connections as the processes open them, with the generic
plans that a long-lived connection ends up with.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ordinaut.states import RunPhase, StepPhase, Trigger
from ordinaut.store import clock, runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection, Pool, open_pool, unhurried
from ordinaut.store.runs import NewRun
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut.store.work import LeasedWork
from tests.integration.rows import REVISION, make_runs, make_task
from tests.relaying import in_outbox

LONG, SECOND = timedelta(minutes=5), timedelta(seconds=1)
MANY = 20_000
FEW = 200
"""Rows that a handful of runs may cost at most, by their keys."""


@asynccontextmanager
async def planned(database: str, *, by_key: bool) -> AsyncIterator[Connection]:
    """Yield a connection that has no plan but generic ones."""
    async with open_pool(database, application="test", size=1, by_key=by_key) as pool, pool.connection() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        yield connection


async def fill(connection: Connection, task: int, *, days: int) -> None:
    """Fill a day with runs that have ended."""
    await connection.execute(
        "SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date - 6, (now() AT TIME ZONE 'UTC')::date + 2)"
    )
    await connection.execute(
        "INSERT INTO run (run_id, namespace, task_id, revision, trigger, priority, phase, finished_at)"
        " SELECT (left(uuid7_floor(now() + make_interval(days => %s, secs => n * 0.001))::text, 13)"
        "         || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,"
        "        'default', %s, %s, 'manual', 5, 'Succeeded', now()"
        " FROM generate_series(1, %s) n",
        (days, task, REVISION, MANY),
    )


async def make_run(connection: Connection, task: int, *, days: int) -> UUID:
    """Return the key of a new run as it would have been made another day."""
    run_id = new_run_id(await clock.now(connection) + timedelta(days=days))
    await runs.create(connection, [NewRun(run_id, "default", task, REVISION, 5, {})], trigger=Trigger.MANUAL)
    return run_id


async def read(connection: Connection) -> int:
    """Return how many rows of runs and steps this connection has read lately."""
    cursor = await connection.execute(
        "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        " WHERE schemaname = 'ordinaut' AND (relname LIKE 'run\\_%' OR relname LIKE 'step\\_%')"
    )
    row = await cursor.fetchone()
    return int(row[0] or 0) if row else 0


def success(leased: LeasedWork, *, run: bool = True) -> Settlement:
    now = monotonic()
    step = StepResult(0, "a", StepPhase.SUCCEEDED, 1, started=now, finished=now, output=b"1")
    told = [{"type": "step.succeeded", "ns": "default"}]
    return Settlement(leased, [step], RunResult(RunPhase.SUCCEEDED, output=b"{}") if run else None, events=told)


@pytest.mark.parametrize("by_key", [True, False])
async def test_one_old_run_in_a_batch_makes_it_read_no_more(pool: Pool, database: str, by_key: bool) -> None:
    async with pool.connection() as connection:
        task = await make_task(connection)
        for days in (-5, -1):
            await fill(connection, task, days=days)
        await make_run(connection, task, days=-5)
        await make_runs(connection, task, 4)

    async with planned(database, by_key=by_key) as connection, connection.transaction():
        before = await read(connection)
        leased = await work.lease(connection, worker="w", limit=10, ttl=LONG)
        settled = await settle(connection, [success(one) for one in leased], done=[leased[0].lease_id])

        assert len(settled) == 5
        assert await read(connection) - before < FEW


async def test_the_first_runs_after_midnight_are_found_by_their_keys(pool: Pool, database: str) -> None:
    """The day's partition is empty when it is analyzed and the plans are made, and then it fills."""
    async with pool.connection() as connection:
        task = await make_task(connection)
        await fill(connection, task, days=-1)
        await connection.execute("ANALYZE run, step")
        await make_runs(connection, task, 3)

    async with planned(database, by_key=True) as connection:
        for leased in await work.lease(connection, worker="w", limit=3, ttl=LONG):
            await settle(connection, [success(leased)], done=[])
        async with pool.connection() as other:
            await fill(other, task, days=1)
            await make_run(other, task, days=1)
        async with connection.transaction():
            before = await read(connection)
            (leased,) = await work.lease(connection, worker="w", limit=3, ttl=LONG)
            settled = await settle(connection, [success(leased)], done=[leased.lease_id])

            assert len(settled) == 1
            assert await read(connection) - before < FEW


async def test_a_commit_whose_answer_was_lost_is_told_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection), 2)
        first, second = await work.lease(connection, worker="w", limit=2, ttl=LONG)
        await settle(connection, [success(first, run=False)], done=[])

        batch = [success(first, run=False), success(second, run=False)]
        assert await settle(connection, batch, done=[], again=True) == batch

        told = await in_outbox(connection)
        assert len(told) == 2


@asynccontextmanager
async def stuck(pool: Pool, leased: LeasedWork) -> AsyncIterator[Connection]:
    """A process that has stopped in the middle of its commit."""
    async with pool.connection() as connection:
        try:
            async with connection.transaction(force_rollback=True):
                await connection.execute("SELECT FROM work_lease WHERE lease_id = %s FOR UPDATE", (leased.lease_id,))
                yield connection
        except psycopg.OperationalError:
            await connection.close()


async def test_a_stuck_commit_does_not_keep_other_leases_from_being_prolonged(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection), 2)
        (one,) = await work.lease(connection, worker="w", limit=1, ttl=SECOND)
        (other,) = await work.lease(connection, worker="w", limit=1, ttl=SECOND)
        leases = [one.lease_id, other.lease_id]

        async with stuck(pool, one), asyncio.timeout(10):
            assert await work.heartbeat(connection, worker="w", leases=leases, ttl=LONG) == set(leases)

        rows = await connection.execute("SELECT lease_id FROM work_lease WHERE leased_until > now() + interval '1 min'")
        assert await rows.fetchall() == [(other.lease_id,)]


async def test_a_stuck_commit_does_not_keep_its_lease_for_ever(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection))
        (leased,) = await work.lease(connection, worker="w", limit=1, ttl=timedelta(seconds=-10))
        async with stuck(pool, leased) as other:
            assert await work.take_expired(connection) == []
            assert await work.end_lockers(connection, late=timedelta(minutes=1)) == 0
            # It has been silent for a moment only: it may be another operator that takes the lease back.
            assert await work.end_lockers(connection, late=timedelta(seconds=5)) == 0
            async with asyncio.timeout(10):
                while await work.end_lockers(connection, late=SECOND / 5) == 0:
                    await asyncio.sleep(0.05)

            taken: list[Any] = []
            async with asyncio.timeout(10):
                while not taken:
                    taken = await work.take_expired(connection)
            assert [item.run_id for item in taken] == [leased.run_id]
            with pytest.raises(psycopg.OperationalError):
                await other.execute("SELECT 1")


async def test_who_is_at_work_on_a_lost_lease_is_not_ended(pool: Pool) -> None:
    """A settle, or another operator that takes leases back, may take its time where the database is slow."""
    async with pool.connection() as connection, pool.connection() as other:
        await make_runs(connection, await make_task(connection))
        (leased,) = await work.lease(connection, worker="w", limit=1, ttl=timedelta(seconds=-10))
        async with other.transaction():
            assert [item.run_id for item in await work.take_expired(other)] == [leased.run_id]
            slow = asyncio.create_task(other.execute("SELECT pg_sleep(1)"))
            ended = 0
            while not slow.done():
                # Longer than the statement may take to begin, shorter than it takes.
                ended += await work.end_lockers(connection, late=timedelta(milliseconds=600))
                await asyncio.sleep(0.01)
            await slow
        assert ended == 0


async def test_a_statement_that_may_take_its_time_does_not_count_as_unanswered(database: str) -> None:
    async with open_pool(database, application="test", size=1) as pool, pool.connection() as connection:
        setattr(connection, "patience", 1.0)  # noqa: B010 - of the pool's own kind of connection
        with unhurried(connection):
            await connection.execute("SELECT pg_sleep(1.2)")
        with pytest.raises(psycopg.OperationalError, match="no answer within 1 s"):
            await connection.execute("SELECT pg_sleep(5)")
