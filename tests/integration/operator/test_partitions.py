"""Partitions of the history: made ahead and dropped, with everybody at work, and mended after weeks of standstill."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ordinaut.states import RunPhase, StepPhase, Trigger
from ordinaut.store import clock, history, runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.partitions import MOVED_AT_ONCE, Convert
from ordinaut.store.pool import Connection, Pool, connect
from ordinaut.store.runs import NewRun
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut.store.work import LeasedWork
from ordinaut_operator import partitions
from tests.integration.rows import REVISION, make_runs, make_task, run_of

pytestmark = pytest.mark.usefixtures("early_in_a_minute")

TABLES = ("run", "step", "event_log")
MANY = MOVED_AT_ONCE + 200


async def keep(pool: Pool) -> bool:
    return await partitions.keep(pool, history_days=30, event_days=3)


async def lease(pool: Pool) -> list[LeasedWork]:
    async with pool.connection() as connection:
        return await work.lease(connection, worker="w", limit=10, ttl=timedelta(minutes=5))


async def values(pool: Pool, query: str, params: Iterable[Any] = ()) -> list[Any]:
    """Return the first column of a query's rows."""
    async with pool.connection() as connection:
        return [row[0] for row in await (await connection.execute(query.encode(), list(params))).fetchall()]


async def stray_rows(connection: Connection) -> int:
    return sum(one.rows for one in await history.strays(connection))


def days(parent: str) -> str:
    """Return a query for the days of a table's partitions."""
    return (
        "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        f" WHERE i.inhparent = 'ordinaut.{parent}'::regclass AND c.relname ~ '_[0-9]{{8}}$' ORDER BY 1"
    )


async def drop_all_partitions(pool: Pool) -> None:
    for parent in ("run", "step", "event_log"):
        await values(pool, "SELECT drop_partitions(%s, '9999-01-01')", [parent])


async def test_partitions_are_made_ahead_and_dropped_after_their_retention(pool: Pool) -> None:
    today = datetime.now(UTC).date()
    await values(pool, "SELECT ensure_partitions(%s, %s)", [today - timedelta(40), today - timedelta(2)])

    await keep(pool)

    for parent, kept in (("run", 30), ("step", 30), ("event_log", 3)):
        assert await values(pool, days(parent)) == [today + timedelta(n) for n in range(-kept, 8)]


async def test_a_day_with_a_run_that_has_not_ended_is_kept(pool: Pool) -> None:
    long_ago = datetime.now(UTC) - timedelta(40)
    async with pool.connection() as connection:
        await connection.execute("SELECT ensure_partitions(%s, %s)", [long_ago.date(), long_ago.date()])
        run_id = await a_run_of(connection, await make_task(connection), long_ago)

    await keep(pool)

    assert long_ago.date() in await values(pool, days("run"))
    assert long_ago.date() in await values(pool, days("step"))
    assert long_ago.date() not in await values(pool, days("event_log"))
    async with pool.connection() as connection:
        await work.lease(connection, worker="w", limit=1, ttl=timedelta(minutes=5))
        await runs.finish(connection, [run_id], phase=RunPhase.CANCELLED, reason="Requested", error="x")
        await connection.execute("DELETE FROM work_lease")
    await keep(pool)
    assert long_ago.date() not in await values(pool, days("run"))


async def test_many_janitors_make_and_drop_partitions_at_once(pool: Pool) -> None:
    today = datetime.now(UTC).date()
    await drop_all_partitions(pool)
    await values(pool, "SELECT ensure_partitions(%s, %s)", [today - timedelta(12), today - timedelta(8)])

    await asyncio.gather(*(partitions.keep(pool, history_days=5, event_days=5) for _ in range(6)))

    assert await values(pool, days("run")) == [today + timedelta(n) for n in range(-1, 8)]


async def a_run_of(connection: Connection, task_id: int, moment: datetime) -> UUID:
    """Make a run whose key says that it was made at a moment."""
    new = NewRun(new_run_id(moment), "default", task_id, REVISION, 5, {})
    await runs.create(connection, [new], trigger=Trigger.MANUAL)
    return new.run_id


async def a_settled_run(pool: Pool, task_id: int, moment: datetime) -> UUID:
    """Make a run of a moment and settle it with one step."""
    async with pool.connection() as connection:
        run_id = await a_run_of(connection, task_id, moment)
        (leased,) = await work.lease(connection, worker="w", limit=1, ttl=timedelta(minutes=5))
        now = monotonic()
        step = StepResult(0, "a", StepPhase.SUCCEEDED, 1, started=now, finished=now, output=b"1")
        settlement = Settlement(leased, steps=[step], run=RunResult(RunPhase.SUCCEEDED))
        await settle(connection, [settlement], done=[leased.lease_id])
    return run_id


async def test_runs_and_steps_lie_in_the_partition_of_their_day(pool: Pool) -> None:
    async with pool.connection() as connection:
        task_id = await make_task(connection)
        now = await clock.now(connection)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
    moments = [midnight - timedelta(milliseconds=1), midnight, now, midnight + timedelta(days=1, hours=23)]

    made = [await a_settled_run(pool, task_id, moment) for moment in moments]

    for table in ("run", "step"):
        assert await values(pool, f"SELECT tableoid::regclass::text FROM {table} ORDER BY run_id") == [
            f"{table}_{moment:%Y%m%d}" for moment in moments
        ]
    async with pool.connection() as connection:
        assert await stray_rows(connection) == 0
        assert [len(await runs.steps(connection, run_id=run_id)) for run_id in made] == [1] * 4


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=9)])
async def test_history_without_a_partition_is_kept_and_moves_into_it_later(pool: Pool, ago: timedelta) -> None:
    async with pool.connection() as connection:
        task_id = await make_task(connection)
        now = await clock.now(connection) - ago
    await drop_all_partitions(pool)
    ended = await a_settled_run(pool, task_id, now)
    async with pool.connection() as connection:
        pending = await a_run_of(connection, task_id, now)
        assert await stray_rows(connection) == 3

    await keep(pool)

    async with pool.connection() as connection:
        assert await stray_rows(connection) == 0
        assert [step.step_id for step in await runs.steps(connection, run_id=ended)] == ["a"]
    assert await values(pool, "SELECT DISTINCT tableoid::regclass::text FROM run") == [f"run_{now:%Y%m%d}"]
    assert (await run_of(pool, ended)).phase == "Succeeded"
    assert [one.run_id for one in await lease(pool)] == [pending]


async def test_a_new_partition_is_like_the_others(pool: Pool) -> None:
    today = datetime.now(UTC).date()
    await values(pool, "SELECT ensure_partitions(%s, %s)", [today + timedelta(50), today + timedelta(50)])

    for parent, indexes in (("run", 3), ("step", 1), ("event_log", 4)):
        name = f"{parent}_{today + timedelta(50):%Y%m%d}"
        attached = await values(
            pool,
            "SELECT count(*) FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indexrelid"
            " WHERE x.indrelid = %s::regclass",
            [name],
        )
        assert attached == [indexes]
        (options,) = await values(pool, "SELECT reloptions FROM pg_class WHERE oid = %s::regclass", [name])
        assert ("fillfactor=40" in (options or [])) == (parent == "run")
        checks = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass"
        assert await values(pool, checks, [name]) == await values(pool, checks, [parent])


@asynccontextmanager
async def reader(database: str, *statements: str) -> AsyncIterator[Connection]:
    """Hold a transaction open that has read runs, steps and events, as a dump or a report does."""
    async with await connect(database, application="reader") as connection, connection.transaction():
        for statement in statements or [f"SELECT count(*) FROM {table}" for table in TABLES]:
            await connection.execute(statement.encode())
        yield connection


@asynccontextmanager
async def at_work(database: str, pool: Pool) -> AsyncIterator[list[int]]:
    """
    Make, run and read runs without pause meanwhile; yields the counts of runs that were read.

    Nobody of these waits for a lock for as long as three seconds.
    """
    async with pool.connection() as connection:
        task_id = await make_task(connection, "busy")
    counted: list[int] = []
    over = asyncio.Event()

    async def work_on() -> None:
        async with await connect(database, application="busy") as connection:
            await connection.execute("SET lock_timeout = '3s'")
            while not over.is_set():
                await make_runs(connection, task_id, 2)
                leased = await work.lease(connection, worker="busy", limit=9, ttl=timedelta(minutes=5))
                now = monotonic()
                step = StepResult(0, "a", StepPhase.SUCCEEDED, 1, started=now, finished=now, output=b"1")
                done = [Settlement(one, steps=[step], run=RunResult(RunPhase.SUCCEEDED)) for one in leased]
                assert await settle(connection, done, done=sorted({one.lease_id for one in leased})) == done
                row = await (await connection.execute("SELECT count(*) FROM run")).fetchone()
                assert row is not None
                counted.append(row[0])

    working = asyncio.create_task(work_on())
    try:
        yield counted
    finally:
        over.set()
        await working


async def rounds(counted: list[int], more: int) -> None:
    """Wait until those at work have come that much further."""
    goal = len(counted) + more
    async with asyncio.timeout(60):
        while len(counted) < goal:
            await asyncio.sleep(0.01)


async def test_nobody_waits_while_a_reader_is_in_the_way(pool: Pool, database: str) -> None:
    today = datetime.now(UTC).date()
    await values(pool, "SELECT ensure_partitions(%s, %s)", [today - timedelta(40), today - timedelta(38)])
    for parent in TABLES:
        await values(pool, "SELECT drop_partition(%s, %s)", [parent, f"{parent}_{today + timedelta(3):%Y%m%d}"])
    async with at_work(database, pool) as counted:
        async with reader(database):
            assert await keep(pool)
            assert await keep(pool)
            await rounds(counted, 3)
            assert await values(
                pool, "SELECT count(*) FROM history_partition WHERE until < now() - interval '31 d'"
            ) == [9]

        assert not await keep(pool)
        await rounds(counted, 3)

    for parent in ("run", "step"):
        assert await values(pool, days(parent)) == [today + timedelta(n) for n in range(-1, 8)]
    assert counted == sorted(counted)
    async with pool.connection() as connection:
        assert await stray_rows(connection) == 0


async def test_locks_are_waited_for_a_moment_and_not_behind_long_transactions(pool: Pool, database: str) -> None:
    (limits,) = await values(pool, "SELECT proconfig FROM pg_proc WHERE proname = 'lock_history'")
    assert limits == ["lock_timeout=100ms"]
    async with reader(database, "SELECT FROM run") as holding, pool.connection() as connection:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await connection.execute("SELECT lock_history('run')")
        async with asyncio.timeout(60):
            age = "SELECT clock_timestamp() - now() > interval '1 second'"
            while (await (await holding.execute(age)).fetchone()) != (True,):
                await asyncio.sleep(0.05)
        with pytest.raises(
            psycopg.errors.LockNotAvailable, match=r"a long transaction has read or written ordinaut\.run"
        ):
            await connection.execute("SELECT lock_history('run')")
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordinaut.patience = '7s'")
        await connection.execute("SELECT lock_history('outbox')")
        assert await (await connection.execute("SHOW lock_timeout")).fetchone() == ("0",)


async def test_an_urgent_change_outlasts_those_who_come_and_go(pool: Pool, database: str) -> None:
    """There is always somebody reading, each for longer than a tenth of a second, none for a second."""
    today = datetime.now(UTC).date()
    await values(pool, "SELECT drop_partition('event_log', %s)", [f"event_log_{today + timedelta(1):%Y%m%d}"])
    over = asyncio.Event()

    async def read() -> None:
        while not over.is_set():
            async with reader(database, "SELECT FROM event_log") as connection:
                await connection.execute("SELECT pg_sleep(0.15)")

    readers = [asyncio.create_task(read()) for _ in range(4)]
    async with asyncio.timeout(60):
        while await keep(pool):
            pass
    over.set()
    await asyncio.gather(*readers)

    assert today + timedelta(1) in await values(pool, days("event_log"))


async def weeks_of_standstill(pool: Pool, *, since: int = 20, rows: int = MANY) -> tuple[int, list[date]]:
    """Leave no partition after some days ago, and write runs, steps and events of each day since; return the task."""
    today = datetime.now(UTC).date()
    await drop_all_partitions(pool)
    await values(pool, "SELECT ensure_partitions(%s, %s)", [today - timedelta(since + 2), today - timedelta(since + 1)])
    async with pool.connection() as connection:
        task_id = await make_task(connection)
        moment = f"now() - n %% {since + 1} * interval '1 day'"
        await connection.execute(
            "INSERT INTO run (run_id, namespace, task_id, revision, trigger, priority, phase, finished_at)"
            " SELECT (left(uuid7_floor(" + moment + ")::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid,"
            " 'default', %s, %s, 'manual', 5, 'Succeeded', now() FROM generate_series(1, %s) n",
            [task_id, REVISION, rows],
        )
        await connection.execute(
            "INSERT INTO step (run_id, seq, step_id, phase, started_at, finished_at)"
            " SELECT run_id, 0, 'a', 'Succeeded', now(), now() FROM run"
        )
        await connection.execute(
            "INSERT INTO event_log (created_at, id, events) SELECT "
            + moment
            + ", n, '[]' FROM generate_series(1, %s) n",
            [rows],
        )
        assert [one.rows for one in await history.strays(connection)] == [min(rows, MOVED_AT_ONCE + 1)] * 3
    return task_id, [today - timedelta(days) for days in range(since, -1, -1)]


async def test_weeks_of_standstill_are_mended_with_everybody_at_work(pool: Pool, database: str) -> None:
    task_id, missed = await weeks_of_standstill(pool)
    async with pool.connection() as connection:
        (pending,) = await make_runs(connection, task_id, priority=0)
    async with at_work(database, pool) as counted:
        await rounds(counted, 1)
        # Runs are in the way only: their table is left as it is, and takes whatever is written.
        async with reader(database, "SELECT count(*) FROM run"):
            assert await keep(pool)
            await rounds(counted, 2)
        assert await values(pool, BOUNDED) == []

        assert not await keep(pool)
        await rounds(counted, 2)

    today = missed[-1]
    for table in ("run", "step", "event_log"):
        (named,) = await values(
            pool, "SELECT name FROM history_partition WHERE parent = %s AND until - since > interval '20 days'", [table]
        )
        assert named == f"{table}_{today + timedelta(1):%Y%m%d}"
    async with pool.connection() as connection:
        assert await stray_rows(connection) == 0
        assert [one.days for one in await history.strays(connection)] == [[]] * 3
    assert await values(pool, "SELECT count(*) FROM event_log WHERE id > 0") == [MANY]
    # At no time was anything of it out of sight.
    assert counted == sorted(counted)
    assert counted[0] >= MANY
    assert await values(pool, "SELECT count(*) FROM run WHERE tableoid <> 'run_rest'::regclass") == [counted[-1]]
    assert await values(pool, BOUNDED) == []
    assert (await run_of(pool, pending)).phase in {"Pending", "Succeeded"}
    assert not await keep(pool)


BOUNDED = "SELECT conrelid::regclass FROM pg_constraint WHERE conname = 'rest_bounds'"


async def test_rows_are_not_looked_at_while_they_are_locked(pool: Pool) -> None:
    await weeks_of_standstill(pool)
    said: list[str] = []
    async with pool.connection() as connection:
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        await connection.execute("SET client_min_messages = debug1")
        for action in await history.planned(connection, history_days=30, event_days=30):
            await history.carry_out(connection, action)
        await connection.execute("RESET client_min_messages")

    implied = [line for line in said if "is implied by existing constraints" in line]
    assert [any(f'for table "{table}_' in line for line in implied) for table in TABLES] == [True] * 3


async def test_what_was_converted_is_dropped_when_its_last_day_is_over(pool: Pool) -> None:
    _, missed = await weeks_of_standstill(pool)
    assert not await keep(pool)
    tomorrow = missed[-1] + timedelta(1)
    there = f"SELECT count(*) FROM history_partition WHERE name = 'run_{tomorrow:%Y%m%d}'"

    assert await values(pool, "SELECT drop_partitions('run', %s)", [tomorrow]) >= [2]
    assert await values(pool, there) == [1]
    await values(pool, "SELECT drop_partitions('run', %s)", [tomorrow + timedelta(1)])
    assert await values(pool, there) == [0]
    assert await values(pool, "SELECT count(*) FROM run") == [0]


async def test_a_conversion_that_was_cut_short_is_begun_anew(pool: Pool) -> None:
    _, missed = await weeks_of_standstill(pool)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    await values(pool, "SELECT bound_rest('run', %s, %s)", [long_ago, datetime(2999, 1, 1, tzinfo=UTC)])

    assert not await keep(pool)

    assert await values(pool, BOUNDED) == []
    assert f"run_{missed[-1] + timedelta(1):%Y%m%d}" in await values(pool, "SELECT name FROM history_partition")


async def test_bounds_that_were_left_behind_are_taken_back(pool: Pool) -> None:
    await values(pool, "SELECT bound_rest('step', '2020-01-01', '2020-01-02')")

    assert not await keep(pool)

    assert await values(pool, BOUNDED) == []


async def test_strays_that_do_not_fit_leave_no_bounds_behind(pool: Pool) -> None:
    await weeks_of_standstill(pool)
    span = {"since": datetime(2020, 1, 1, tzinfo=UTC), "until": datetime(2020, 1, 2, tzinfo=UTC)}
    async with pool.connection() as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            await history.carry_out(connection, Convert("run", **span))

    assert await values(pool, BOUNDED) == []
    async with pool.connection() as connection:
        assert len(await make_runs(connection, 1)) == 1


async def test_a_new_partition_of_last_resort_takes_strays_again(pool: Pool) -> None:
    task_id, missed = await weeks_of_standstill(pool)
    assert not await keep(pool)
    later = missed[-1] + timedelta(9)
    moment = datetime(later.year, later.month, later.day, tzinfo=UTC)

    await a_settled_run(pool, task_id, moment)
    await values(pool, "SELECT ensure_partitions(%s, %s)", [later, later])

    assert await values(
        pool, "SELECT DISTINCT tableoid::regclass::text FROM run WHERE run_id >= uuid7_floor(%s)", [moment]
    ) == [f"run_{later:%Y%m%d}"]
    assert await values(
        pool, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'run_pkey'::regclass"
    ) == await values(pool, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'run'::regclass")


async def test_few_strays_older_than_their_retention_go(pool: Pool) -> None:
    await weeks_of_standstill(pool, since=4, rows=40)

    assert not await partitions.keep(pool, history_days=2, event_days=3)

    today = datetime.now(UTC).date()
    assert await values(pool, "SELECT min(since) FROM history_partition WHERE parent = 'run'") == [
        datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(2)
    ]
    async with pool.connection() as connection:
        assert await stray_rows(connection) == 0


async def test_steps_are_kept_as_long_as_their_runs(pool: Pool) -> None:
    async with pool.connection() as connection:
        task_id = await make_task(connection)
        now = await clock.now(connection)
    run_id = await a_settled_run(pool, task_id, now)
    name = f"step_{now:%Y%m%d}"

    assert await values(pool, "SELECT drop_partition('step', %s)", [name]) == [False]
    async with pool.connection() as connection:
        assert len(await runs.steps(connection, run_id=run_id)) == 1
    assert await values(pool, "SELECT drop_partition('run', %s)", [f"run_{now:%Y%m%d}"]) == [True]
    assert await values(pool, "SELECT drop_partition('step', %s)", [name]) == [True]
