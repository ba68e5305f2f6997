"""PostgreSQL or Valkey go away and come back: everything goes on by itself, nothing is lost, readiness says why."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ordinaut.events import stream
from ordinaut.store import runs
from ordinaut.store.pool import open_pool
from tests import running
from tests.declaring import declare_at, run_now, task
from tests.running import Processes, until
from tests.servers import StoppablePostgres, StoppableValkey
from tests.timing import at_most

OUTAGE = float(os.environ.get("ORDINAUT_TEST_OUTAGE_SECONDS", "8"))
"""How long a server is away; `make faults` makes it 30."""

EVERY_TEN_SECONDS = {"interval": "10s"}
LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


@pytest.fixture
def system(
    own_postgres: StoppablePostgres, own_valkey: StoppableValkey, tmp_path: Path
) -> Iterator[tuple[Processes, list[running.Running]]]:
    """An operator and two workers on servers that can be stopped."""
    with running.processes(database=own_postgres.url, redis=own_valkey.url) as processes:
        started = [
            processes.start("operator", source="directory", directory=tmp_path, recovery_seconds=3),
            processes.start("worker", lease_seconds=3),
            processes.start("worker", lease_seconds=3),
        ]
        yield processes, started


def stay_away() -> None:
    """Let the outage last."""
    end = time.monotonic() + OUTAGE
    until(lambda: time.monotonic() > end, what="the outage", seconds=OUTAGE + 5)


def query(url: str, work: Any) -> Any:
    """Return what an async function of a pool returns."""

    async def run() -> Any:
        async with open_pool(url, application="test", size=2) as pool:
            return await work(pool)

    return asyncio.run(run())


def run_to_the_end(url: str, name: str) -> str:
    """Run a task by hand and return its final phase."""

    async def work(pool: Any) -> str:
        run_id = await run_now(pool, namespace="default", name=name)
        async with asyncio.timeout(30):
            while True:
                async with pool.connection() as connection:
                    run = await runs.get(connection, namespace="default", run_id=run_id)
                if run is not None and run.finished_at:
                    return run.phase
                await asyncio.sleep(0.05)

    return str(query(url, work))


def test_postgresql_goes_away_and_comes_back(
    own_postgres: StoppablePostgres, system: tuple[Processes, list[running.Running]]
) -> None:
    _, started = system
    declare_at(own_postgres.url, task("t", LOG, schedules=[EVERY_TEN_SECONDS], catchUp={"policy": "All"}))
    assert run_to_the_end(own_postgres.url, "t") == "Succeeded"

    own_postgres.stop()
    for one in started:
        until(lambda one=one: "database" in one.readiness().get("reasons", {}), what=one.log)
    stay_away()
    assert [one.process.poll() for one in started] == [None, None, None]
    own_postgres.start()

    for one in started:
        until(lambda one=one: one.readiness() == {"status": "ready"}, what=one.log, seconds=at_most(10))
    assert run_to_the_end(own_postgres.url, "t") == "Succeeded"

    async def ledger(pool: Any) -> list[tuple[Any, ...]]:
        async with pool.connection() as connection:
            rows = await connection.execute(
                "SELECT f.scheduled_at, f.outcome, r.phase, lag(f.scheduled_at) OVER (ORDER BY f.scheduled_at)"
                " FROM fire f LEFT JOIN run r USING (run_id) ORDER BY 1"
            )
            return list(await rows.fetchall())

    until(lambda: all(row[2] == "Succeeded" for row in query(own_postgres.url, ledger)), what="all runs to succeed")
    rows = query(own_postgres.url, ledger)
    assert {row[1] for row in rows} <= {"Fired"}
    assert all((row[0] - row[3]).total_seconds() == 10 for row in rows if row[3])


def test_valkey_goes_away_and_comes_back(
    own_postgres: StoppablePostgres, own_valkey: StoppableValkey, system: tuple[Processes, list[running.Running]]
) -> None:
    _, (operator, *_workers) = system
    declare_at(own_postgres.url, task("t", LOG))
    assert run_to_the_end(own_postgres.url, "t") == "Succeeded"

    own_valkey.stop()
    assert run_to_the_end(own_postgres.url, "t") == "Succeeded"
    until(lambda: "redis" in operator.readiness().get("reasons", {}), what=operator.log)  # missed when there is news
    stay_away()
    until(lambda: operator.metric("ordinaut_outbox_rows") > 0, what="the lag to be measured")
    assert operator.metric("ordinaut_outbox_lag_seconds") > 0
    own_valkey.start()

    until(lambda: operator.readiness() == {"status": "ready"}, what=operator.log)
    with redis.Redis.from_url(own_valkey.url, decode_responses=True) as client:
        entries: Any = until(
            lambda: len(found := client.xrange(stream.STREAM)) >= 7 and found, what="all events in the stream"
        )
    # At least once: what was not confirmed is sent again, under the same ids.
    types = {entry["id"]: entry["type"].removeprefix("io.ordinaut.") for _, entry in reversed(entries)}
    assert list(types.values())[::-1] == ["task.applied", *["run.created", "step.succeeded", "run.succeeded"] * 2]
