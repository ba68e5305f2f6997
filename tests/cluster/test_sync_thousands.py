"""Shows that ten thousand Tasks are taken over in seconds, and that a restart with them writes nothing."""

import asyncio
import os
import time

import pytest

from ordinaut.store.pool import Pool
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import create, create_many, eventually, pipeline, stored, task

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

TASKS = int(os.environ.get("ORDINAUT_TEST_TASKS", "10000"))
SECONDS = 15.0


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


async def writes(control_plane: ControlPlane) -> int:
    return await asyncio.to_thread(control_plane.requests, "tasks")


async def test_thousands_of_tasks_are_stored_in_seconds_and_a_restart_writes_nothing(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, pipeline("hello"))
    crons = (f"{number % 60} {number % 24} * * *" for number in range(TASKS))
    await create_many(control_plane, namespace, (task(f"t{number}", cron=cron) for number, cron in enumerate(crons)))

    before = await writes(control_plane)
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        used = time.process_time()

        async def all_stored() -> bool:
            return len(await stored(pool, namespace)) == TASKS

        elapsed = await eventually(all_stored, within=120)
        used = time.process_time() - used
        # Other tests run beside this one: time in which this process did not get to run is not the operator's.
        assert min(elapsed, 1.5 * used) < SECONDS
        assert set((await stored(pool, namespace)).values()) == {"Resolved"}

        async def all_written() -> bool:
            return await writes(control_plane) - before >= TASKS

        await eventually(all_written, within=200)
    assert await writes(control_plane) - before == TASKS

    before = await writes(control_plane)
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: operating.is_ready(operator), within=120)
        await asyncio.wait_for(operator.elector.won(), 20)
        # The status of a last Task, made now, is due after those of all others have been looked at.
        await create(control_plane, namespace, task("last"))

        async def last_written() -> bool:
            status = await operating.status_of(control_plane, namespace, "Task", "last")
            return bool(status)

        await eventually(last_written, within=120)
        assert await writes(control_plane) - before == 2  # its creation, and its status
