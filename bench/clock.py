"""
Firing: 10,000 of 100,000 Tasks are due in the same second; how long until all of them are in the queue.

An operator keeps time as it always does. The Tasks are copies of one that was declared; no worker runs.
"""

import asyncio
from datetime import datetime, timedelta

import psutil
from psycopg.types.json import Jsonb

from bench.report import Report
from bench.system import System, system
from ordinaut.store import clock, work
from tests.declaring import declare, task

TASKS = 100_000
DUE = 10_000
AHEAD = timedelta(seconds=5)


async def measure(scale: float) -> Report:
    """Let many tasks become due at once and look how long firing them takes."""
    total, due = int(TASKS * scale), int(DUE * scale)
    async with system() as it:
        step = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
        await declare(it.pool, task("original", step, schedules=[{"cron": "0 3 * * *"}]))
        await _copy(it, total)
        operator = it.operator(log_level="WARNING")
        nominal = await _make_due(it, due)
        async with it.pool.connection() as connection:
            while await _queued(it) < due:
                await asyncio.sleep(0.01)
            seconds = (await clock.now(connection) - nominal).total_seconds()
            cursor = await connection.execute("SELECT min(decided_at), max(decided_at) FROM fire")
            row = await cursor.fetchone()
        assert row is not None
        memory = psutil.Process(operator.process.pid).memory_info().rss
    return Report(
        f"{due} of {total} Tasks due in the same second; one operator",
        "python -m bench clock",
        [
            ("until all are in the queue", f"{seconds:.2f} s"),
            ("until the first transaction began", f"{(row[0] - nominal).total_seconds() * 1000:.1f} ms"),
            ("until the last transaction began", f"{(row[1] - nominal).total_seconds():.2f} s"),
            ("memory of the operator", f"{memory / 2**20:.0f} MiB"),
        ],
    )


async def _copy(it: System, total: int) -> None:
    """Make more tasks of the one that was declared, with clocks."""
    async with it.pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(
            "INSERT INTO task (namespace, name, origin, uid, generation, spec, ready, reason, revision, params, anchor)"
            " SELECT namespace, 'copy-' || n, origin, 'copy-' || n, generation, spec, ready, reason, revision, params,"
            " anchor FROM task, generate_series(1, %s) n",
            [total],
        )
        await connection.execute(
            "INSERT INTO task_clock (task_id, schedule_key, evaluated_at, next_fire_at, tzdata)"
            " SELECT t.task_id, c.schedule_key, c.evaluated_at, c.next_fire_at, c.tzdata"
            " FROM task t, task_clock c WHERE t.name LIKE 'copy-%'"
        )
        await connection.execute("ANALYZE task, task_clock")


async def _make_due(it: System, count: int) -> datetime:
    """Give some tasks, spread over all, the same nominal time in a few seconds, and return it."""
    async with it.pool.connection() as connection:
        nominal = (await clock.now(connection) + AHEAD).replace(microsecond=0)
        schedules = [{"cron": f"{nominal.second} {nominal.minute} {nominal.hour} * * *"}]
        async with connection.transaction():
            await connection.execute(
                "WITH chosen AS ("
                "  UPDATE task SET spec = jsonb_set(spec, '{schedules}', %s)"
                "  WHERE task_id IN (SELECT task_id FROM task WHERE name LIKE 'copy-%%' ORDER BY md5(name) LIMIT %s)"
                "  RETURNING task_id"
                ") UPDATE task_clock SET next_fire_at = %s WHERE task_id IN (SELECT task_id FROM chosen)",
                [Jsonb(schedules), count, nominal],
            )
            await connection.execute("SELECT pg_notify('ordinaut_clock', '')")
    return nominal


async def _queued(it: System) -> int:
    async with it.pool.connection() as connection:
        return (await work.figures(connection)).claimable
