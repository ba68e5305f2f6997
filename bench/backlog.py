"""
Making runs of one task, and waiting until they are done: what the benchmarks of the whole product have in common.

All runs become visible in one commit, with their ``run.created`` events, as if they had been fired together.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bench.system import System
from ordinaut.events.envelope import Event
from ordinaut.states import Trigger
from ordinaut.store import clock, events, runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection
from ordinaut.store.runs import NewRun
from tests.declaring import declare, task

CHUNK = 1000
"""Runs of one insert."""


async def prepare(it: System, *, name: str = "noop", steps: int = 1) -> None:
    """Declare the task whose runs are measured: ``steps`` calls of the cheapest built-in tool, one after the other."""
    uses: Sequence[dict[str, Any]] = [
        {"id": f"say-{n}", "uses": "std.log", "with": {"message": "hello"}} for n in range(steps)
    ]
    await declare(it.pool, task(name, *uses))


async def add(connection: Connection, *, count: int, name: str = "noop") -> datetime:
    """Make runs of a task in one transaction; return when, which is their ``created_at``."""
    async with connection.transaction():
        found = await clock.lock_task(connection, namespace="default", name=name)
        assert found is not None
        assert found.revision is not None
        for start in range(0, count, CHUNK):
            new = [
                NewRun(new_run_id(found.now), "default", found.task_id, found.revision, 5, {})
                for _ in range(start, min(count, start + CHUNK))
            ]
            await runs.create(connection, new, trigger=Trigger.MANUAL)
            created = [Event("run.created", "default", name, run=str(run.run_id)).compact() for run in new]
            await events.add(connection, created)
    return found.now


async def drain(it: System) -> None:
    """Wait until every run has ended and every event is in the stream."""
    while not await _drained(it):
        await asyncio.sleep(0.1)


async def _drained(it: System) -> bool:
    async with it.pool.connection() as connection:
        queue = await work.figures(connection)
        outbox = await events.figures(connection)
    return not (queue.claimable or queue.leased or queue.delayed or outbox.rows)


async def rate(connection: Connection, made: datetime, *, count: int) -> float:
    """Return how many of the runs that were made then ended in a second; all of them must have succeeded."""
    row = await (
        await connection.execute(
            "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM run"
            " WHERE created_at = %s AND phase = 'Succeeded' HAVING count(*) = %s",
            [made, count],
        )
    ).fetchone()
    assert row is not None, "not all runs succeeded"
    return float(row[0])
