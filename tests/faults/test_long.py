"""
Workers killed at random while many runs of several steps go on: nothing is lost and nothing is committed twice.

``ORDINAUT_TEST_KILLS`` says how many; ``ORDINAUT_TEST_SEED`` repeats the choices of an earlier test.
"""

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

import pytest

from ordinaut.states import FINAL_RUN_PHASES
from ordinaut.store import runs
from ordinaut.store.pool import Pool
from ordinaut.store.runs import Run
from tests.declaring import declare, run_now, task, tool
from tests.running import Processes, Running, until
from tests.toolserver import Answer, Effect, ToolServer

KILLS = int(os.environ.get("ORDINAUT_TEST_KILLS", "3"))
SEED = int(os.environ.get("ORDINAUT_TEST_SEED", time.time_ns() % 1_000_000))

STEPS = ["one", "two", "three", "four"]
WORKERS = 2
PAUSE = (0.01, 0.5)
"""Seconds from one kill to the next, at least and at most, once a worker is there to be killed."""

STEP_SECONDS = 0.02
RUNS_AT_ONCE = 30
"""Enough that some step of some run is under way at any moment."""


def start(processes: Processes) -> Running:
    return processes.start("worker", wait=False, lease_seconds=1, poll_seconds=0.2, log_level="WARNING")


def ready(workers: list[Running]) -> list[Running]:
    return [one for one in workers if one.readiness().get("status") == "ready"]


async def more_runs(pool: Pool) -> list[UUID]:
    return [await run_now(pool, namespace="default", name="t") for _ in range(RUNS_AT_ONCE)]


def unfinished(pool_runs: list[Run]) -> list[Run]:
    return [run for run in pool_runs if run.phase not in FINAL_RUN_PHASES]


async def all_runs(pool: Pool) -> list[Run]:
    async with pool.connection() as connection:
        return await runs.list_(connection, namespace="default", limit=1_000_000)


def slowly(effect: Effect) -> Answer:
    """Answer what was asked after a moment in which the caller may die."""
    time.sleep(STEP_SECONDS)
    return Answer(effect.input)


@pytest.mark.timeout(120 + 30 * KILLS)
async def test_killed_workers_lose_nothing_and_commit_nothing_twice(
    pool: Pool, toolserver: ToolServer, processes: Processes, tmp_path: Any
) -> None:
    print(f"ORDINAUT_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    toolserver.answers = dict.fromkeys(STEPS, slowly)
    steps = [{"id": name, "uses": name, "with": {"step": name}} for name in STEPS]
    await declare(pool, *(tool(name, toolserver.url) for name in STEPS), task("t", *steps))
    processes.start("operator", wait=False, source="directory", directory=tmp_path, max_deliveries=1000)
    workers = [start(processes) for _ in range(WORKERS)]

    made: list[UUID] = []
    for _ in range(KILLS):
        if len(unfinished(await all_runs(pool))) < RUNS_AT_ONCE:
            made += await more_runs(pool)
        until(lambda: ready(workers), what="a worker to be killed", seconds=90)
        end = time.monotonic() + chance.uniform(*PAUSE)
        until(lambda end=end: time.monotonic() > end, what="the moment of the next kill")  # type: ignore[misc]
        victim = chance.choice(ready(workers))
        workers.remove(victim)
        victim.kill()
        workers.append(start(processes))

    async with asyncio.timeout(90):
        while unfinished(await all_runs(pool)):
            await asyncio.sleep(0.1)
    await check(pool, made, toolserver)


async def check(pool: Pool, made: list[UUID], toolserver: ToolServer) -> None:
    """Hold the invariants against everything that PostgreSQL and the tools remember."""
    found = {run.run_id: run for run in await all_runs(pool)}
    assert found.keys() == set(made)
    assert Counter(run.phase for run in found.values()) == {"Succeeded": len(made)}
    async with pool.connection() as connection:
        work = await connection.execute("SELECT count(*) FROM live_work")
        assert await work.fetchone() == (0,)
        rows = await connection.execute(
            "SELECT id, events FROM outbox UNION ALL SELECT id, events FROM event_log ORDER BY id"
        )
        events = [event for _, written in await rows.fetchall() for event in written]
        for run_id in made:
            committed = await runs.steps(connection, run_id=run_id)
            assert [(step.step_id, step.phase) for step in committed] == [(name, "Succeeded") for name in STEPS]
            assert [step.output for step in committed] == [{"step": name} for name in STEPS]

    # The news of a commit is part of it: what was committed once is told once, in order.
    told: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if "run" in event and event["type"] != "run.redelivered":
            told[event["run"]].append(event["step"] if "step" in event else event["type"])
    assert dict(told) == {str(run_id): ["run.created", *STEPS, "run.succeeded"] for run_id in made}

    calls = Counter((effect.tool, effect.key) for effect in toolserver.effects)
    assert calls.keys() == {(name, f"{run_id}/{name}") for run_id in made for name in STEPS}
    print(f"{len(made)} runs, {KILLS} kills, {sum(calls.values()) - len(calls)} calls repeated")
