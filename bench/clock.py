"""
Firing: a tenth of all Tasks are due in the same second; how long until all of them are queued, and how that grows.

Measured with 1,000, 10,000, 100,000 and 1,000,000 Tasks, or those of ``--sizes``. With as many Tasks there, but only
one of them due in a second, also by how much a lone one is late. An operator keeps time as it always does. The Tasks
are copies of one that was declared; no worker runs.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import psutil
from psycopg.types.json import Jsonb

from bench.report import Options, Report, quantile
from bench.system import Meter, Reading, System, system
from ordinaut.store import clock, work
from ordinaut.store.pool import Connection
from tests.declaring import declare, task
from tests.running import Running

PART_DUE = 10
"""One of so many Tasks is due in the same second."""

ROUNDS = 3
LONE = 20
"""Fires of a lone Task, one a second."""

AHEAD = timedelta(seconds=5)
PREPARED_A_SECOND = 8_000
"""Tasks that can be given a nominal time within a second: so much further ahead it must lie."""

LIVE = "namespace = 'default' AND deleted_at IS NULL"
"""What lets a task be found by its name, among a million."""

MIB = 2**20


@dataclass(frozen=True)
class Round:
    """
    What was seen of a tenth of the tasks.

    ``queued`` and ``first`` are the seconds until all were in the queue and until the first transaction began, ``used``
    is what PostgreSQL and the operator took for it.
    """

    queued: float
    first: float
    used: Reading


@dataclass(frozen=True)
class Figures:
    """What was seen with so many Tasks; ``lone`` in seconds."""

    tasks: int
    due: int
    rounds: Sequence[Round]
    lone: Sequence[float]
    memory: int

    @property
    def queued(self) -> float:
        """Seconds until all that were due were in the queue, usually."""
        return median(one.queued for one in self.rounds)

    @property
    def late(self) -> float:
        """Seconds by which a lone task is late at worst, but for one of a hundred."""
        return quantile(self.lone, 0.99)

    def cpu(self, part: str) -> float:
        """Return the CPU seconds of a part of the system for each fire."""
        return median(one.used.cpu[part] for one in self.rounds) / self.due


@dataclass(frozen=True)
class Aim:
    """The goal of that ``key`` is of the figure with so many tasks."""

    key: str
    tasks: int
    figure: Callable[[Figures], float]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f} s"


def _mib(size: float) -> str:
    return f"{size / MIB:.0f} MiB"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"


AIMS = (
    Aim("clock.queued", 100_000, lambda one: one.queued),
    Aim("clock.lone", 100_000, lambda one: one.late),
    Aim("clock.memory", 1_000_000, lambda one: one.memory / MIB),
    Aim("clock.late", 1_000_000, lambda one: one.late),
)


async def measure(options: Options) -> Report:
    """Let many tasks become due at once and look how long firing them takes, for more and more tasks."""
    found: list[Figures] = []
    async with system() as it:
        step = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
        await declare(it.pool, task("original", step, schedules=[{"cron": "0 3 * * *"}]))
        there = 0
        for size in sorted(options.scaled(size, least=PART_DUE) for size in options.sizes):
            await _copy(it, there, size)
            there = size
            # Anew each time, so that its memory is that of this many tasks.
            operator = it.operator(log_level="WARNING")
            rounds = [await _round(it, operator, size // PART_DUE) for _ in range(ROUNDS)]
            lone = await _lone(it, min(LONE, size))
            memory = psutil.Process(operator.process.pid).memory_info().rss
            operator.kill()
            found.append(Figures(size, size // PART_DUE, rounds, lone, memory))
    asked = "" if options.sizes == Options.sizes else f" --sizes {','.join(map(str, options.sizes))}"
    return Report(
        f"A tenth of all Tasks due in the same second, median of {ROUNDS} rounds; {LONE} fires of a lone Task",
        f"python -m bench clock{asked}",
        [
            ("Tasks", _row(found, lambda one: f"{one.tasks:,}")),
            ("due in the same second", _row(found, lambda one: f"{one.due:,}")),
            ("until all are in the queue", _row(found, lambda one: _seconds(one.queued))),
            ("  worst round", _row(found, lambda one: _seconds(max(each.queued for each in one.rounds)))),
            ("  of it for each fire", _row(found, lambda one: _us(one.queued / one.due))),
            ("  times the one before", _growth(found)),
            (
                "until the first transaction began",
                _row(found, lambda one: _ms(median(each.first for each in one.rounds))),
            ),
            ("CPU for each fire: operator", _row(found, lambda one: _us(one.cpu("operator")))),
            ("  PostgreSQL", _row(found, lambda one: _us(one.cpu("PostgreSQL")))),
            (
                "WAL for each fire",
                _row(found, lambda one: f"{median(each.used.wal for each in one.rounds) / one.due:.0f} B"),
            ),
            ("a lone Task, late by: p50", _row(found, lambda one: _ms(median(one.lone)))),
            ("  p99", _row(found, lambda one: _ms(one.late))),
            ("memory of the operator", _row(found, lambda one: _mib(one.memory))),
        ],
        {goal.key: goal.figure(one) for goal in AIMS for one in found if one.tasks == goal.tasks},
    )


def _row(found: Sequence[Figures], figure: Callable[[Figures], str]) -> str:
    return "".join(figure(one).rjust(12) for one in found)


def _growth(found: Sequence[Figures]) -> str:
    more = [f"x{later.queued / earlier.queued:.1f}" for earlier, later in pairwise(found)]
    return "".join(text.rjust(12) for text in ["", *more])


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


async def _round(it: System, operator: Running, due: int) -> Round:
    """Fire many at once, and see that each has one run."""
    every = (
        f"task_id IN (SELECT task_id FROM task WHERE substr(name, 6)::int %% {PART_DUE} = 0 AND name LIKE 'copy-%%')"
    )
    async with it.pool.connection() as connection:
        nominal = await _soon(it, AHEAD + timedelta(seconds=due / PREPARED_A_SECOND))
        await _make_due(it, {every: nominal})
        meter = Meter(connection, pids={"operator": [operator.process.pid]})
        key = await _last_key(connection)
        before = await meter.read()
        # The key's sequence tells nearly when without reading the queue, which would cost what is measured.
        while await _last_key(connection) < key + due:
            await asyncio.sleep(0.01)
        while (await work.figures(connection)).claimable < due:
            await asyncio.sleep(0.005)
        seconds = (await clock.now(connection) - nominal).total_seconds()
        used = (await meter.read()).since(before)
        cursor = await connection.execute(
            "SELECT min(decided_at), count(*), (SELECT count(DISTINCT task_id) FROM run WHERE scheduled_at = %(at)s),"
            " (SELECT count(*) FROM run WHERE scheduled_at = %(at)s) FROM fire WHERE scheduled_at = %(at)s",
            {"at": nominal},
        )
        row = await cursor.fetchone()
        assert row is not None
        assert row[1:] == (due, due, due), "not one run for each"
        # What is measured is the clock: the next round begins with an empty queue again.
        await connection.execute("TRUNCATE due_work")
    return Round(seconds, (row[0] - nominal).total_seconds(), used)


async def _last_key(connection: Connection) -> int:
    row = await (await connection.execute("SELECT pg_sequence_last_value('due_work_id_seq')")).fetchone()
    assert row is not None
    return row[0] or 0


async def _lone(it: System, count: int) -> list[float]:
    """Fire one task a second; return the seconds between their nominal times and the transactions."""
    first = await _soon(it, AHEAD)
    await _make_due(it, {f"{LIVE} AND name = 'copy-{n + 1}'": first + timedelta(seconds=n) for n in range(count)})
    async with it.pool.connection() as connection:
        while True:
            cursor = await connection.execute(
                "SELECT f.decided_at, f.scheduled_at FROM fire f JOIN task t USING (task_id)"
                f" WHERE {LIVE} AND t.name = ANY(%s) AND f.scheduled_at >= %s",
                [[f"copy-{n + 1}" for n in range(count)], first],
            )
            fires = await cursor.fetchall()
            if len(fires) == count:
                return [(decided_at - scheduled_at).total_seconds() for decided_at, scheduled_at in fires]
            await asyncio.sleep(1)


async def _soon(it: System, ahead: timedelta) -> datetime:
    async with it.pool.connection() as connection:
        return (await clock.now(connection) + ahead).replace(microsecond=0)


async def _make_due(it: System, when: dict[str, datetime]) -> None:
    """Give tasks their nominal times; each condition on tasks has one."""
    async with it.pool.connection() as connection:
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            for which, nominal in when.items():
                schedules = [{"cron": f"{nominal.second} {nominal.minute} {nominal.hour} * * *"}]
                query = (
                    f"WITH chosen AS (UPDATE task SET spec = jsonb_set(spec, '{{schedules}}', %s) WHERE {which}"
                    "  RETURNING task_id)"
                    " UPDATE task_clock SET next_fire_at = %s WHERE task_id IN (SELECT task_id FROM chosen)"
                )
                await connection.execute(query.encode(), [Jsonb(schedules), nominal])
            await connection.execute("SELECT pg_notify('ordinaut_clock', '')")
        left = min(when.values()) - await clock.now(connection)
    if left < timedelta(seconds=1):
        raise SystemExit(
            f"tasks got their time {left.total_seconds():.1f} s ahead of it: the machine is too busy for this"
        )
