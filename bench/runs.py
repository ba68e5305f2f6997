"""
The whole product: runs of a Task with a one-step pipeline, drained by two workers, with history, events and metrics.

The runs become visible in one commit, with their ``run.created`` events; the time is from the first lease to the last
settlement, by the database's clock. CPU and WAL count from the insert until the last event is in the stream, but not
the CPU of the benchmark itself, which makes the runs.
"""

import asyncio
from statistics import median

from bench.report import Report
from bench.system import Meter, Reading, System, system
from ordinaut.events.envelope import Event
from ordinaut.states import Trigger
from ordinaut.store import clock, events, runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection
from ordinaut.store.runs import NewRun
from tests.declaring import declare, task

RUNS = 20_000
ROUNDS = 5
WORKERS = 2
SLOTS = 500
CHUNK = 1000
"""Runs of one insert."""


async def measure(scale: float) -> Report:
    """Drain some thousand runs, a few times over."""
    count = max(CHUNK, int(RUNS * scale))
    async with system() as it:
        processes = {
            "operator": [it.operator()],
            # A line of the log per run is what std.log is for; it is not what is measured.
            "workers": [it.worker(worker_slots=SLOTS, log_level="WARNING") for _ in range(WORKERS)],
        }
        await declare(it.pool, task("noop", {"id": "say", "uses": "std.log", "with": {"message": "hello"}}))
        async with it.pool.connection() as connection:
            meter = Meter(connection, processes=processes)
            await _round(it, connection, meter, count=CHUNK)
            stored = await _stored(connection)
            rounds = [await _round(it, connection, meter, count=count) for _ in range(ROUNDS)]
            kept = (await _stored(connection) - stored) / (count * ROUNDS)
    rates = [rate for rate, _ in rounds]
    used = [reading for _, reading in rounds]
    per_run = {part: median(one.cpu[part] for one in used) / count * 1e6 for part in used[0].cpu}
    return Report(
        f"{count} runs of one step, {WORKERS} workers of {SLOTS} slots, one operator; median of {ROUNDS} rounds",
        "python -m bench runs",
        [
            ("runs a second", f"{median(rates):.0f} (best {max(rates):.0f})"),
            ("CPU µs a run", f"{sum(per_run.values()):.0f}"),
            *((f"  of it {part}", f"{microseconds:.0f}") for part, microseconds in per_run.items()),
            ("WAL bytes a run", f"{median(one.wal for one in used) / count:.0f}"),
            ("bytes of history kept for a run", f"{kept:.0f}"),
        ],
    )


async def _round(it: System, connection: Connection, meter: Meter, *, count: int) -> tuple[float, Reading]:
    """Make and drain runs; return how many a second, and what that took."""
    before = await meter.read()
    async with connection.transaction():
        task = await clock.lock_task(connection, namespace="default", name="noop")
        assert task is not None
        assert task.revision is not None
        for start in range(0, count, CHUNK):
            new = [
                NewRun(new_run_id(task.now), "default", task.task_id, task.revision, 5, {})
                for _ in range(start, min(count, start + CHUNK))
            ]
            await runs.create(connection, new, trigger=Trigger.MANUAL)
            created = [Event("run.created", "default", "noop", run=str(run.run_id)).compact() for run in new]
            await events.append(connection, created)
    while not await _drained(it):
        await asyncio.sleep(0.1)
    after = await meter.read()
    row = await (
        await connection.execute(
            "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM run"
            " WHERE created_at = %s AND phase = 'Succeeded' HAVING count(*) = %s",
            [task.now, count],
        )
    ).fetchone()
    assert row is not None, "not all runs succeeded"
    return float(row[0]), after.since(before)


async def _stored(connection: Connection) -> int:
    """Return how many bytes runs, their steps and their events take, with indexes."""
    row = await (
        await connection.execute(
            "SELECT sum(pg_total_relation_size(relid))::bigint"
            " FROM unnest('{run,step,event_log}'::regclass[]) parent, pg_partition_tree(parent)"
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


async def _drained(it: System) -> bool:
    async with it.pool.connection() as connection:
        queue = await work.figures(connection)
        outbox = await events.figures(connection)
    return not (queue.claimable or queue.leased or queue.delayed or outbox.rows)
