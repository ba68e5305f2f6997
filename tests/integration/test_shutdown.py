"""How processes end when they are asked to, in the middle of their work."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from ordinaut.store.pool import Pool
from tests.cluster.processes import free_port
from tests.declaring import declare, pipeline, run_now, task, tool
from tests.integration.serving import RUNS, TASKS
from tests.running import Processes, until
from tests.timing import at_most
from tests.toolserver import ToolServer

pytestmark = pytest.mark.integration

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
CALLERS = 16
MANY = 60


async def test_an_api_in_full_use_finishes_what_it_has_begun(pool: Pool, processes: Processes) -> None:
    await declare(pool, task("t", LOG))
    run_id = await run_now(pool, namespace="default", name="t")
    port = free_port()
    api = processes.start("api", api_port=port)
    seen: Counter[str] = Counter()
    busy = asyncio.Event()

    async def call(client: httpx2.AsyncClient) -> None:
        while True:
            try:
                answer = await client.post(f"{TASKS}/t/run", json={})
            except httpx2.TransportError as error:
                # Refused, or hung up on before anything was answered: the caller may try another replica.
                seen[type(error).__name__] += 1
                return
            seen[str(answer.status_code)] += 1
            if seen["201"] + seen["200"] + seen["202"] >= CALLERS * 3:
                busy.set()

    async def wait_for_a_run(client: httpx2.AsyncClient) -> int:
        return (await client.get(f"{RUNS}/{run_id}/wait", params={"timeout": 60}, timeout=70)).status_code

    async def follow_a_run(client: httpx2.AsyncClient) -> bool:
        async with client.stream("GET", f"{RUNS}/{run_id}/events", timeout=70) as answer:
            return b"event: end" in b"".join([part async for part in answer.aiter_bytes()])

    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client, asyncio.timeout(60):
        waiting = asyncio.create_task(wait_for_a_run(client))
        following = asyncio.create_task(follow_a_run(client))
        callers = [asyncio.create_task(call(client)) for _ in range(CALLERS)]
        await busy.wait()
        api.send(signal.SIGTERM)
        await asyncio.gather(*callers)
        assert await waiting == 200
        assert await following
    await asyncio.to_thread(until, lambda: api.process.poll() is not None, what=api.log, seconds=at_most(8))

    assert api.process.returncode == 0
    assert "Traceback" not in api.log()
    answered = sum(count for kind, count in seen.items() if kind.isdecimal())
    assert {kind for kind in seen if kind.isdecimal()} <= {"201", "202", "200"}
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM run")).fetchone()
    assert row is not None
    # What was answered was done. What was cut off may have been, so that callers need an Idempotency-Key.
    assert answered + 1 <= row[0] <= answered + 1 + CALLERS


async def test_operator_and_worker_leave_in_order_with_everything_under_way(
    pool: Pool, processes: Processes, toolserver: ToolServer, tmp_path: Path
) -> None:
    toolserver.gate("slow")
    await declare(
        pool,
        tool("slow", toolserver.url),
        pipeline("p", {"id": "a", "uses": "slow", "with": {}}),
        *(task(f"t-{n}", pipelineRef={"name": "p"}, schedules=[{"interval": "10s"}]) for n in range(MANY)),
    )
    operator = processes.start("operator", source="directory", directory=tmp_path)
    worker = processes.start("worker", worker_slots=MANY, grace_seconds=1)

    for n in range(MANY):
        await run_now(pool, namespace="default", name=f"t-{n}")
    async with asyncio.timeout(60):
        while worker.metric("ordinaut_worker_slots_busy") < MANY:
            await asyncio.sleep(0.05)
    for one in (operator, worker):
        one.send(signal.SIGTERM)
    for one, seconds in ((operator, 8), (worker, 1 + 8)):
        await asyncio.to_thread(
            until, lambda one=one: one.process.poll() is not None, what=one.log, seconds=at_most(seconds)
        )

    assert (operator.process.returncode, worker.process.returncode) == (0, 0)
    assert "Traceback" not in operator.log() + worker.log()
    async with pool.connection() as connection:
        rows = await connection.execute("SELECT attempt, count(*) FROM due_work GROUP BY attempt")
        waiting = dict(await rows.fetchall())
        leases = await (await connection.execute("SELECT count(*) FROM work_lease")).fetchone()
    # Given back, and their delivery is not counted.
    assert set(waiting) == {1}
    assert waiting[1] >= MANY
    assert leases == (0,)
