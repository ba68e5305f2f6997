"""
What a long queue, an old snapshot and time do to the rate at which two workers drain it, in parts of 20,000 runs.

- *Depth*: the first parts of a backlog of 20,000, 200,000 and 1,000,000 runs.
- *Pinned snapshot*: somebody holds an old snapshot open, so VACUUM can't remove what is done: the last part of
  100,000 against the first.
- *Sustained*: new runs come as old ones end; the last third of the time against the first.

Runs are copied within PostgreSQL, without ``run.created`` events, and become visible in one commit; the rate is of
their ends by the database's clock.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from statistics import mean, median
from time import monotonic

import psutil
import psycopg

from bench import backlog
from bench.report import Options, Report
from bench.runs import WORKERS, start_worker
from bench.system import System, system
from ordinaut.store import work
from ordinaut.store.pool import Connection
from tests.running import Running

PART = 20_000
DEPTHS = (1, 10, 50)
"""Backlogs, in parts."""

MEASURED = 2
"""Parts of a long backlog that are measured: its beginning."""

WARM = 1_000
"""Runs that new workers do before."""

PINNED = 5
"""Parts of the backlog under an old snapshot."""

REPEATED = 3
"""Times that a backlog is drained, at most: to make one of a million takes long."""

ADDED, KEPT = 1, 3
"""Parts that are added at once to a backlog that is sustained, and those that it has at most."""

_FILL = """
WITH original AS (
    SELECT task_id, revision FROM task WHERE name = 'noop' AND deleted_at IS NULL
), made AS (
    INSERT INTO run (run_id, namespace, task_id, revision, trigger, priority, params)
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '70008'
            || lpad(to_hex(n), 15, '0'))::uuid, 'default', task_id, revision, 'manual', 5, '{}'
    FROM original, generate_series(1, %s) n
    RETURNING run_id, namespace, priority
), queued AS (
    INSERT INTO due_work (queue, urgency, run_id, lane)
    SELECT 0, 9 - priority, run_id, hashtext(namespace) FROM made RETURNING 1
)
SELECT count(*), pg_notify('ordinaut_work', '0') FROM queued
"""
_EMPTY = "TRUNCATE due_work, delayed_work, work_lease, run, step, outbox, event_log"
_ENDS = "SELECT finished_at, count(*) FROM run WHERE finished_at IS NOT NULL GROUP BY 1 ORDER BY 1"

Ends = Sequence[tuple[datetime, int]]
"""When runs ended, and how many at once, in order."""


async def measure(options: Options) -> Report:
    """Measure all three."""
    part = options.scaled(PART, least=backlog.CHUNK)
    repeated = min(REPEATED, options.rounds)
    at: dict[int, list[float]] = {parts: [] for parts in DEPTHS}
    memory: dict[int, int] = {}
    async with system() as it:
        it.operator(log_level="WARNING")
        await backlog.prepare(it)
        async with it.pool.connection() as connection:
            await connection.execute("SET statement_timeout = 0")
            for _ in range(repeated):
                for parts in DEPTHS:
                    rates, memory[parts] = await _drained(it, connection, parts, of=part, measured=min(parts, MEASURED))
                    at[parts].append(mean(rates))
            pinned = [
                (await _drained(it, connection, PINNED, of=part, measured=PINNED, pinned=True))[0]
                for _ in range(repeated)
            ]
            thirds = await _sustained(it, connection, part=part, seconds=60 * options.minutes)
    deep = median(most / least for least, most in zip(at[DEPTHS[0]], at[DEPTHS[-1]], strict=True))
    last = median(rates[-1] / rates[0] for rates in pinned)
    return Report(
        f"Runs drained by {WORKERS} workers in parts of {part:,}; median of {repeated} rounds, the last of"
        f" {options.minutes:g} minute(s)",
        "python -m bench depth" + (f" --minutes {options.minutes:g}" if options.minutes != Options.minutes else ""),
        [
            *((f"runs a second at a backlog of {parts * part:,}", f"{median(at[parts]):,.0f}") for parts in DEPTHS),
            *((f"  memory of a worker at {n * part:,}", f"{size / 2**20:.0f} MiB") for n, size in memory.items()),
            (f"rate at {DEPTHS[-1] * part:,}, part of that at {part:,}", f"{deep:.2f}"),
            ("runs a second under an old snapshot, part by part", _listed(pinned)),
            ("  the last part of the first", f"{last:.2f}"),
            ("runs a second sustained, third by third", _listed([thirds])),
            ("  the last part of the first", f"{thirds[-1] / thirds[0]:.2f}"),
        ],
        {"depth.million": deep, "depth.snapshot": last, "depth.sustained": thirds[-1] / thirds[0]},
    )


def part_rates(ends: Ends, *, began: datetime, part: int) -> list[float]:
    """Return the rate of each whole part, from the end of the one before to its own."""
    rates: list[float] = []
    done, counted, since = 0, 0, began
    for at, number in ends:
        done += number
        if done >= part * (len(rates) + 1):
            rates.append((done - counted) / (at - since).total_seconds())
            counted, since = done, at
    return rates


async def _drained(
    it: System, connection: Connection, parts: int, *, of: int, measured: int, pinned: bool = False
) -> tuple[list[float], int]:
    """Return the rates of the first parts of a backlog, and the most memory that a worker took."""
    async with _workers(it, connection) as workers, _snapshot(it, wanted=pinned):
        began = await _fill(connection, parts * of)
        await _ended(connection, measured * of)
        memory = max(psutil.Process(one.process.pid).memory_info().rss for one in workers)
    ends = await (await connection.execute(_ENDS)).fetchall()
    return part_rates(ends, began=began, part=of)[:measured], memory


@asynccontextmanager
async def _workers(it: System, connection: Connection) -> AsyncIterator[list[Running]]:
    """Run workers that are warm and have an empty queue; they are gone afterwards, whatever is left in it."""
    await connection.execute(_EMPTY)
    workers = [start_worker(it) for _ in range(WORKERS)]
    try:
        await _fill(connection, WARM)
        await backlog.drain(it)
        await connection.execute(_EMPTY)
        yield workers
    finally:
        for one in workers:
            one.kill()


async def _fill(connection: Connection, count: int) -> datetime:
    """Make runs claimable; return when they were."""
    async with connection.transaction():
        await connection.execute(_FILL.encode(), [count])
    row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    assert row is not None
    return row[0]


async def _ended(connection: Connection, count: int) -> None:
    """Wait until so many runs have ended; each has one step, and to count those is cheap."""
    while True:
        row = await (await connection.execute("SELECT count(*) FROM step")).fetchone()
        assert row is not None
        if row[0] >= count:
            return
        await asyncio.sleep(0.2)


@asynccontextmanager
async def _snapshot(it: System, *, wanted: bool) -> AsyncIterator[None]:
    """Hold a snapshot open, if it is wanted, as a forgotten transaction or a long report does."""
    if not wanted:
        yield
        return
    async with await psycopg.AsyncConnection.connect(it.url) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.execute("SELECT count(*) FROM pg_class")
        yield


async def _sustained(it: System, connection: Connection, *, part: int, seconds: float) -> list[float]:
    """Keep workers busy for a while; return the rates of its thirds."""
    async with _workers(it, connection):
        began = await _fill(connection, KEPT * part)
        ends = monotonic() + seconds
        while monotonic() < ends:
            waiting = (await work.figures(connection)).claimable
            if waiting < (KEPT - ADDED) * part:
                await _fill(connection, ADDED * part)
            await asyncio.sleep(0.1)
    return thirds(await (await connection.execute(_ENDS)).fetchall(), began=began, seconds=seconds)


def thirds(ends: Ends, *, began: datetime, seconds: float) -> list[float]:
    """Return the rates of the thirds of a time."""
    third = seconds / 3
    counted = [0, 0, 0]
    for at, number in ends:
        place = int((at - began).total_seconds() / third)
        if 0 <= place < len(counted):
            counted[place] += number
    return [number / third for number in counted]


def _listed(rounds: Sequence[Sequence[float]]) -> str:
    return ", ".join(f"{median(rates):,.0f}" for rates in zip(*rounds, strict=True))
