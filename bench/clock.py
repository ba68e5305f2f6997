"""
Firing: a tenth of all Tasks are due in the same second; how long until all of them are queued, and how that grows.

Measured with 1,000, 10,000 and 100,000 Tasks, or the tenfold of each with ``--scale 10``. With as many Tasks there, but
only one of them due, also by how much a lone one is late. An operator keeps time as it always does. The Tasks are
copies of one that was declared; no worker runs.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import psutil
from psycopg.types.json import Jsonb

from bench.report import Report, quantile
from bench.system import System, system
from ordinaut.store import clock, work
from tests.declaring import declare, task

SIZES = (1_000, 10_000, 100_000)
PART_DUE = 10
"""One of so many Tasks is due in the same second."""

ROUNDS = 3
LONE = 20
"""Fires of a lone Task, one a second."""

AHEAD = timedelta(seconds=5)
PREPARED_A_SECOND = 8_000
"""Tasks that can be given a nominal time within a second: so much further ahead it must lie."""

MIB = 2**20


@dataclass(frozen=True)
class Figures:
    """What was seen with so many Tasks; times in seconds."""

    tasks: int
    due: int
    queued: list[float]
    first: list[float]
    lone: list[float]
    memory: int


async def measure(scale: float) -> Report:
    """Let many tasks become due at once and look how long firing them takes, for more and more tasks."""
    found: list[Figures] = []
    async with system() as it:
        step = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
        await declare(it.pool, task("original", step, schedules=[{"cron": "0 3 * * *"}]))
        there = 0
        for size in (max(PART_DUE, int(size * scale)) for size in SIZES):
            await _copy(it, there, size)
            there = size
            # Anew each time, so that its memory is that of this many tasks.
            operator = it.operator(log_level="WARNING")
            rounds = [await _round(it, size // PART_DUE) for _ in range(ROUNDS)]
            lone = [await _lone(it, number) for number in range(LONE)]
            memory = psutil.Process(operator.process.pid).memory_info().rss
            operator.kill()
            found.append(
                Figures(size, size // PART_DUE, [one for one, _ in rounds], [one for _, one in rounds], lone, memory)
            )
    return Report(
        f"A tenth of all Tasks due in the same second, median of {ROUNDS} rounds; {LONE} fires of a lone Task",
        "python -m bench clock" + (f" --scale {scale:g}" if scale != 1 else ""),
        [
            ("Tasks", _row(found, lambda one: f"{one.tasks:,}")),
            ("due in the same second", _row(found, lambda one: f"{one.due:,}")),
            ("until all are in the queue", _row(found, lambda one: f"{median(one.queued):.3f} s")),
            ("  worst round", _row(found, lambda one: f"{max(one.queued):.3f} s")),
            ("  of it for each fire", _row(found, lambda one: f"{median(one.queued) / one.due * 1e6:.0f} µs")),
            ("  times the one before", _growth(found)),
            ("until the first transaction began", _row(found, lambda one: _ms(median(one.first)))),
            ("a lone Task, late by: p50", _row(found, lambda one: _ms(median(one.lone)))),
            ("  p99", _row(found, lambda one: _ms(quantile(one.lone, 0.99)))),
            ("memory of the operator", _row(found, lambda one: f"{one.memory / MIB:.0f} MiB")),
        ],
    )


def _row(found: Sequence[Figures], figure: Callable[[Figures], str]) -> str:
    return "".join(figure(one).rjust(12) for one in found)


def _growth(found: Sequence[Figures]) -> str:
    times = [median(one.queued) for one in found]
    more = [f"x{later / earlier:.1f}" for earlier, later in pairwise(times)]
    return "".join(text.rjust(12) for text in ["", *more])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


async def _copy(it: System, there: int, total: int) -> None:
    """Make more tasks of the one that was declared, with clocks, until there are so many copies."""
    async with it.pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(
            "INSERT INTO task (namespace, name, origin, uid, generation, spec, ready, reason, revision, params, anchor)"
            " SELECT namespace, 'copy-' || n, origin, 'copy-' || n, generation, spec, ready, reason, revision, params,"
            " anchor FROM task, generate_series(%s + 1, %s) n WHERE name = 'original'",
            [there, total],
        )
        await connection.execute(
            "INSERT INTO task_clock (task_id, schedule_key, evaluated_at, next_fire_at, tzdata)"
            " SELECT t.task_id, c.schedule_key, c.evaluated_at, c.next_fire_at, c.tzdata"
            " FROM task t, task_clock c JOIN task o ON o.task_id = c.task_id AND o.name = 'original'"
            " WHERE t.name LIKE 'copy-%' AND NOT EXISTS (SELECT FROM task_clock k WHERE k.task_id = t.task_id)"
        )
        await connection.execute("ANALYZE task, task_clock")


async def _round(it: System, due: int) -> tuple[float, float]:
    """Fire many at once; return the seconds until all were in the queue, and until the first transaction began."""
    every = (
        f"task_id IN (SELECT task_id FROM task WHERE substr(name, 6)::int %% {PART_DUE} = 0 AND name LIKE 'copy-%%')"
    )
    nominal = await _make_due(it, every, ahead=AHEAD + timedelta(seconds=due / PREPARED_A_SECOND))
    async with it.pool.connection() as connection:
        while await _queued(it) < due:
            await asyncio.sleep(0.01)
        seconds = (await clock.now(connection) - nominal).total_seconds()
        cursor = await connection.execute(
            "SELECT min(decided_at), count(*) FROM fire WHERE scheduled_at = %s", [nominal]
        )
        row = await cursor.fetchone()
        assert row is not None
        assert row[1] == due
        # What is measured is the clock: the next round begins with an empty queue again.
        await connection.execute("TRUNCATE due_work")
    return seconds, (row[0] - nominal).total_seconds()


async def _lone(it: System, number: int) -> float:
    """Fire one task; return the seconds between its nominal time and the transaction."""
    nominal = await _make_due(it, f"name = 'copy-{number + 1}'", ahead=timedelta(seconds=2))
    async with it.pool.connection() as connection:
        while True:
            cursor = await connection.execute("SELECT min(decided_at) FROM fire WHERE scheduled_at = %s", [nominal])
            row = await cursor.fetchone()
            assert row is not None
            if row[0] is not None:
                return float((row[0] - nominal).total_seconds())
            await asyncio.sleep(0.02)


async def _make_due(it: System, which: str, *, ahead: timedelta) -> datetime:
    """Give some tasks the same nominal time in a few seconds, and return it."""
    async with it.pool.connection() as connection:
        nominal = (await clock.now(connection) + ahead).replace(microsecond=0)
        schedules = [{"cron": f"{nominal.second} {nominal.minute} {nominal.hour} * * *"}]
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            query = (
                f"WITH chosen AS (UPDATE task SET spec = jsonb_set(spec, '{{schedules}}', %s) WHERE {which}"
                "  RETURNING task_id)"
                " UPDATE task_clock SET next_fire_at = %s WHERE task_id IN (SELECT task_id FROM chosen)"
            )
            await connection.execute(query.encode(), [Jsonb(schedules), nominal])
            await connection.execute("SELECT pg_notify('ordinaut_clock', '')")
        left = nominal - await clock.now(connection)
    if left < timedelta(seconds=1):
        raise SystemExit(f"giving tasks their time took longer than {ahead}: the machine is too busy for this")
    return nominal


async def _queued(it: System) -> int:
    async with it.pool.connection() as connection:
        return (await work.figures(connection)).claimable
