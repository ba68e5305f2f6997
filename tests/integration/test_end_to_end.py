"""The whole backbone as processes, stopped and started again: every fire once, every step once, the news in order."""

import asyncio
import signal
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from ordinaut.declaration.nominal import upcoming
from ordinaut.events import stream
from ordinaut.store import events, runs, status
from ordinaut.store.pool import Pool
from ordinaut.store.runs import Run
from ordinaut.store.status import TaskRow
from tests.declaring import declare, pipeline, task, tool
from tests.running import Processes, Running, until
from tests.toolserver import ToolServer

pytestmark = pytest.mark.integration

SCHEDULES = {
    "interval": {"interval": "10s"},
    "every-ten": {"cron": "*/10 * * * * *"},
    "off-by-three": {"cron": "3,13,23,33,43,53 * * * * *", "timeZone": "Asia/Kathmandu"},
    "off-by-six": {"cron": "6,16,26,36,46,56 * * * * *", "timeZone": "America/St_Johns"},
}
RESTARTS = 2
RUNS_PER_LIFE = 5


def start_all(processes: Processes, folder: Path) -> list[Running]:
    """Start two operators and three workers and wait until all are ready."""
    started = [processes.start("operator", wait=False, source="directory", directory=folder) for _ in range(2)]
    started += [processes.start("worker", wait=False, lease_seconds=10) for _ in range(3)]
    for one in started:
        until(lambda one=one: one.readiness() == {"status": "ready"}, what=one.log, seconds=60)  # type: ignore[misc]
    return started


def stop_all(started: list[Running]) -> None:
    """Ask all processes to go, and see that they do so in good order."""
    for one in started:
        one.send(signal.SIGTERM)
    for one in started:
        until(lambda one=one: one.process.poll() is not None, what=one.log)  # type: ignore[misc]
    assert [one.process.returncode for one in started] == [0] * len(started)


async def all_runs(pool: Pool) -> list[Run]:
    async with pool.connection() as connection:
        return await runs.list_(connection, namespace="default", limit=9999)


async def enough_runs(pool: Pool, *, more_than: int) -> None:
    """Wait until some runs more have ended."""
    async with asyncio.timeout(60):
        while sum(run.finished_at is not None for run in await all_runs(pool)) < more_than + RUNS_PER_LIFE:
            await asyncio.sleep(0.05)


async def nothing_left(pool: Pool) -> None:
    """Wait until every run has ended and every event has left."""
    async with asyncio.timeout(60):
        while True:
            async with pool.connection() as connection:
                outbox = await events.figures(connection)
            if not outbox.rows and all(run.finished_at for run in await all_runs(pool)):
                return
            await asyncio.sleep(0.05)


async def test_everything_happens_once_although_all_is_restarted(
    pool: Pool, toolserver: ToolServer, processes: Processes, valkey: str, tmp_path: Path
) -> None:
    steps = [{"id": name, "uses": name, "with": {"at": "${run.scheduledTime}"}} for name in ("fetch", "tell")]
    everything = {"policy": "All"}
    await declare(
        pool,
        tool("fetch", toolserver.url),
        tool("tell", toolserver.url),
        pipeline("briefing", *steps),
        *(
            task(name, pipelineRef={"name": "briefing"}, schedules=[schedule], catchUp=everything)
            for name, schedule in SCHEDULES.items()
        ),
    )

    for life in range(1 + RESTARTS):
        before = len(await all_runs(pool))
        started = start_all(processes, tmp_path)
        await enough_runs(pool, more_than=before)
        if life == RESTARTS:
            async with pool.connection() as connection:
                await connection.execute("UPDATE task_clock SET next_fire_at = NULL")
            await nothing_left(pool)
        stop_all(started)

    made = await all_runs(pool)
    assert len(made) >= RUNS_PER_LIFE * (1 + RESTARTS)
    assert {(run.phase, run.attempt) for run in made} == {("Succeeded", 1)}
    await check_ledger(pool, made)
    await check_steps(pool, made, toolserver)
    check_events(made, valkey)


async def check_ledger(pool: Pool, made: list[Run]) -> None:
    """Each nominal time since the declaration has one line, and each line has a run of its own."""
    by_task: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(made, key=lambda run: (run.scheduled_at, run.run_id)):
        by_task[run.task].append(run)
    async with pool.connection() as connection:
        rows: list[TaskRow] = await status.list_tasks(connection, namespace="default", limit=99)
        for row in rows:
            fires = (await status.fires(connection, namespace="default", name=row.name, limit=9999))[::-1]
            nominal = upcoming(row.spec, anchor=row.anchor, after=row.updated_at, limit=len(fires))
            assert [fire.scheduled_at for fire in fires] == nominal
            assert row.evaluated_at is not None
            assert nominal[-1] <= row.evaluated_at < nominal[-1] + timedelta(seconds=20)
            assert {fire.outcome for fire in fires} == {"Fired"}
            assert [(run.scheduled_at, run.run_id) for run in by_task[row.name]] == [
                (fire.scheduled_at, fire.run_id) for fire in fires
            ]


async def check_steps(pool: Pool, made: list[Run], toolserver: ToolServer) -> None:
    """Each step of each run has one result and had one effect."""
    expected = {f"{run.run_id}/{step}" for run in made for step in ("fetch", "tell")}
    assert len(toolserver.effects) == len(expected)
    assert {effect.key for effect in toolserver.effects} == expected
    async with pool.connection() as connection:
        for run in made:
            results = await runs.steps(connection, run_id=run.run_id)
            assert [(one.step_id, one.phase, one.attempt) for one in results] == [
                ("fetch", "Succeeded", 1),
                ("tell", "Succeeded", 1),
            ]
            assert run.scheduled_at is not None
            assert results[1].output == {"at": run.scheduled_at.isoformat().replace("+00:00", "Z")}


def check_events(made: list[Run], valkey: str) -> None:
    """The stream tells of each run what happened, in order and without gaps."""
    told: dict[UUID, dict[str, str]] = defaultdict(dict)
    with redis.Redis.from_url(valkey, decode_responses=True) as client:
        entries: Any = client.xrange(stream.STREAM)
    for _, entry in entries:
        if "/runs/" in entry["subject"]:
            # At least once: what is repeated has the id of before.
            told[UUID(entry["subject"].split("/")[3])].setdefault(entry["id"], entry["type"])
    story = ["run.created", "step.succeeded", "step.succeeded", "run.succeeded"]
    assert {run: list(types.values()) for run, types in told.items()} == {
        run.run_id: [f"io.ordinaut.{type_}" for type_ in story] for run in made
    }
