"""
Start lag: from a nominal time to its run's lease and to its step's start, with one operator and one worker, idle.

Tasks fire every ten seconds, a few each second of the minute; all times are the database's.
"""

import asyncio

from bench.report import Options, Report, milliseconds
from bench.system import system
from ordinaut.store.pool import Pool
from tests.declaring import declare, task

FIRES = 100
EACH_SECOND = 2


async def measure(options: Options) -> Report:
    """Wait for some fires and return how late they were."""
    wanted = options.scaled(FIRES, least=10)
    documents = [
        task(
            f"every-ten-{offset}-{n}",
            {"id": "say", "uses": "std.log", "with": {"message": "hello"}},
            schedules=[{"cron": f"{offset},{','.join(str(s + offset) for s in range(10, 60, 10))} * * * * *"}],
        )
        for offset in range(10)
        for n in range(EACH_SECOND)
    ]
    async with system() as it:
        it.operator()
        it.worker()
        await declare(it.pool, *documents)
        while len(rows := await _lags(it.pool, limit=wanted)) < wanted:
            await asyncio.sleep(1)
    return Report(
        f"Lag of {wanted} fires, {EACH_SECOND} in the same second; one operator, one worker",
        "python -m bench lag",
        [
            ("nominal time to the firing transaction", milliseconds([row[0] for row in rows])),
            ("nominal time to the worker's lease", milliseconds([row[1] for row in rows])),
            ("nominal time to the step's start", milliseconds([row[2] for row in rows])),
            ("nominal time to the result's commit", milliseconds([row[3] for row in rows])),
        ],
    )


async def _lags(pool: Pool, *, limit: int) -> list[tuple[float, ...]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT extract(epoch FROM r.created_at - r.scheduled_at)::float8,"
            " extract(epoch FROM r.started_at - r.scheduled_at)::float8,"
            " extract(epoch FROM s.started_at - r.scheduled_at)::float8,"
            " extract(epoch FROM r.finished_at - r.scheduled_at)::float8"
            " FROM run r JOIN step s USING (run_id) WHERE r.finished_at IS NOT NULL ORDER BY r.run_id LIMIT %s",
            [limit],
        )
        return await cursor.fetchall()
