"""Shows that ten thousand Tasks are taken over in seconds, and that a restart with thousands of them writes nothing."""

import asyncio
import os

import pytest

from ordinaut.store.pool import Pool
from tests.cluster import operating, thousands
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import create, eventually, pipeline, stored, task
from tests.timing import at_most

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

STORED = 10_000

WRITTEN = int(os.environ.get("ORDINAUT_TEST_TASKS", "1000"))
"""Tasks whose statuses are written first, which takes the API server minutes for ten thousand."""


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


async def make(control_plane: ControlPlane, namespace: str, count: int) -> None:
    await create(control_plane, namespace, pipeline("hello"))
    crons = (f"{number % 60} {number % 24} * * *" for number in range(count))
    tasks = [task(f"t{number}", cron=cron) for number, cron in enumerate(crons)]
    await asyncio.to_thread(thousands.create, control_plane, namespace, tasks)


async def writes(control_plane: ControlPlane) -> int:
    return await asyncio.to_thread(control_plane.requests, "tasks")


async def test_ten_thousand_tasks_are_stored_within_fifteen_seconds_of_the_start(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await make(control_plane, namespace, STORED)
    async with operating.operating(control_plane.kubeconfig, database, [namespace], writes_status=False):

        async def all_stored() -> bool:
            async with pool.connection() as connection:
                row = await (await connection.execute("SELECT count(*) FROM task WHERE ready")).fetchone()
                return row == (STORED,)

        assert await eventually(all_stored, within=200) < at_most(15)


async def test_a_restart_with_thousands_of_unchanged_tasks_makes_no_write_to_the_api_server(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await make(control_plane, namespace, WRITTEN)
    before = await writes(control_plane)
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):

        async def all_written() -> bool:
            return await writes(control_plane) - before >= WRITTEN

        await eventually(all_written, within=250)
        assert set((await stored(pool, namespace)).values()) == {"Resolved"}
    assert await writes(control_plane) - before == WRITTEN

    before = await writes(control_plane)
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: operating.is_ready(operator), within=120)
        await asyncio.wait_for(operator.elector.won(), 60)
        # The status of one more Task, made now, is due after those of all others have been looked at.
        await create(control_plane, namespace, task("last"))

        async def last_written() -> bool:
            return bool(await operating.status_of(control_plane, namespace, "Task", "last"))

        await eventually(last_written, within=120)
        assert await writes(control_plane) - before == 2  # its creation, and its status
